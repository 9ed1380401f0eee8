"""Ids that a request numbers, in its answer: `<id 1>` in the recording, and on replay the id of who asks. Pure.

Law: what is put in comes out byte for byte where the ids are the same. An id that is cut over chunks is numbered piece
by piece (`<id 1:0-9>`, `<id 1:9->`); what looked like a number before is marked by `<id 0>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_MARK: Final = re.compile(rb"<id (?P<number>\d{1,9})(?::(?P<start>\d{1,9})-(?P<end>\d{0,9}))?>")
_LIKE: Final = re.compile(rb"<id (?=\d{1,9}(?::\d{1,9}-\d{0,9})?>)")
_ESCAPE: Final = b"<id 0>"


class Numbers:
    """The numbers of ids: `{"file-abc...": "<id 1>"}`; `marked`: they stand in the content already, beside others."""

    def __init__(self, ids: Mapping[str, str], *, marked: bool = False) -> None:
        self.ids = ids
        self.marked = marked
        longest = sorted(ids, key=len, reverse=True)
        # an id that goes on is another one
        self.pattern = re.compile("(?:" + "|".join(map(re.escape, longest)) + ")(?![0-9A-Za-z])") if ids else None
        self._raw = None if self.pattern is None else re.compile(self.pattern.pattern.encode())

    def put(self, content: bytes) -> bytes:
        """The content with numbers in the places of ids; it was escaped before."""
        return content if self._raw is None else self._raw.sub(lambda found: self[found[0].decode()], content)

    def __getitem__(self, found: str) -> bytes:
        return self.ids[found].encode()


def escaped(content: bytes) -> bytes:
    """The content, where what looks like the number of an id is marked as none."""
    return _LIKE.sub(_ESCAPE, content)


def piece(number: str, start: int, end: int | None) -> bytes:
    """The number (`<id 1>`) of an id of which only this part stands in a chunk; None: the rest of it."""
    return f"{number[:-1]}:{start}-{'' if end is None else end}>".encode()


def restored(content: bytes, ids: Mapping[str, str]) -> bytes:
    """The content with ids in the places of their numbers. A number that nothing has stays."""
    if b"<id " not in content:
        return content
    named = {number: each.encode() for each, number in ids.items()}

    def put(found: re.Match[bytes]) -> bytes:
        if found[0] == _ESCAPE:
            return b"<id "
        held = named.get(f"<id {int(found['number'])}>")
        if held is None:
            return found[0]
        if found["start"] is None:
            return held
        return held[int(found["start"]) : int(found["end"]) if found["end"] else None]

    return _MARK.sub(put, content)
