"""Citations of files in what the model writes: `<|file-...|>` marks become annotations.

Law: a mark never reaches a client. The cleaned text and its annotations depend on the text alone, not on how it was cut
into pieces; what may become a mark is held back, for at most `LONGEST` characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from antiphon.core.deltas import TextDelta
from antiphon.core.effects import Entry
from antiphon.wire.content import FileCitation, LogProb
from antiphon.wire.items import FileSearchCall

Files: TypeAlias = Mapping[str, str]
"""Filenames by file id: the files that can be cited."""

LONGEST: Final = 256
"""Characters between `<|` and `>`: a few ids. What is longer is no mark."""

_MARK: Final = re.compile(rf"<[|\uff5c]([^<>\n]{{0,{LONGEST}}})>")  # some models write the wide bar
_BEGUN: Final = re.compile(rf"<(?:[|\uff5c][^<>\n]{{0,{LONGEST}}})?\Z")
_APART: Final = re.compile(r"[\s|\uff5c,;:='\"`\[\]()]+")
_LIKE: Final = re.compile(r"file-\w[\w.-]*|file_id|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def mark(file_id: str) -> str:
    """How the model is asked to cite the file."""
    return f"<|{file_id}|>"


def files_of(entries: Iterable[Entry]) -> dict[str, str]:
    """The files that searches in these entries have found."""
    found: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry.item, FileSearchCall):
            for result in entry.item.results or ():
                if isinstance(file_id := result.get("file_id"), str):
                    found[file_id] = str(result.get("filename") or "")
    return found


class Token:
    """Log probabilities, and how many characters of their text are not told yet."""

    __slots__ = ("left", "logprobs", "whole")

    def __init__(self, left: int, logprobs: tuple[LogProb, ...]) -> None:
        self.left = left
        self.logprobs = logprobs
        self.whole = True


class Scanner:
    """Takes the marks out of one part of text.

    A citation's `index` is the place of its mark in the cleaned text. A space in front of a mark goes with it. A mark
    that names no known file leaves nothing; text between `<|` and `>` that names no file at all is text.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._held = ""
        self._tokens: list[Token] = []  # of what is held
        self._length = 0
        self._made: set[tuple[str, int]] = set()

    def feed(self, delta: TextDelta) -> list[TextDelta | FileCitation]:
        """What can be told now, in order. Log probabilities stay with their tokens; those of a token that has a part in
        a mark are dropped."""
        text = delta.text
        if not self._held and "<" not in text and not text.endswith(" "):  # most pieces
            self._length += len(text)
            return [delta]
        self._tokens += _tokens(delta)
        return self._scan(self._held + text)

    def end(self) -> list[TextDelta | FileCitation]:
        """What was held back: a mark that was never closed is text."""
        said: list[TextDelta | FileCitation] = []
        held, self._held = self._held, ""
        self._say(held, said)
        return said

    def _scan(self, text: str) -> list[TextDelta | FileCitation]:
        said: list[TextDelta | FileCitation] = []
        done = at = 0
        while (start := text.find("<", at)) >= 0:
            found = _MARK.match(text, start)
            if found is None:
                if _BEGUN.match(text, start):
                    break
                at = start + 1
                continue
            at = found.end()
            cited = self._cited(found[1])
            if cited is None:
                continue
            end = _unspaced(text, start, done)
            self._say(text[done:end], said)
            self._take(at - end, removed=True)
            said += [citation for citation in map(self._citation, cited) if citation is not None]
            done = at
        end = _unspaced(text, start if start >= 0 else len(text), done)
        self._say(text[done:end], said)
        self._held = text[end:]
        return said

    def _cited(self, body: str) -> list[str] | None:
        """The known files that a mark names; None: it is no mark."""
        words = [word for word in (*_APART.split(body), body.strip("|\uff5c ")) if word]
        if not any(self._known(word) or _LIKE.fullmatch(word) for word in words):
            return None
        return list(dict.fromkeys(known for word in words if (known := self._known(word))))

    def _known(self, word: str) -> str | None:
        """The file that is meant, also where its prefix is missing or not written as it is, and by its name where no
        other is called so."""
        bare = re.sub(r"^file[-_]", "", word, flags=re.IGNORECASE)
        named = [file_id for file_id, name in self._files.items() if name == word]
        spelled = (word, f"file-{bare}", *(named if len(named) == 1 else ()))
        return next((file_id for file_id in spelled if file_id in self._files), None)

    def _citation(self, file_id: str) -> FileCitation | None:
        """None for one that this place has already."""
        place = (file_id, self._length)
        if place in self._made:
            return None
        self._made.add(place)
        return FileCitation(file_id=file_id, filename=self._files[file_id], index=self._length)

    def _say(self, text: str, said: list[TextDelta | FileCitation]) -> None:
        logprobs = self._take(len(text), removed=False)
        if text or logprobs:
            self._length += len(text)
            said.append(TextDelta(text, logprobs))

    def _take(self, length: int, *, removed: bool) -> tuple[LogProb, ...]:
        """Go over so many characters; the log probabilities of the tokens that end there and lost nothing."""
        ended: list[LogProb] = []
        while self._tokens and (self._tokens[0].left <= length):
            token = self._tokens.pop(0)
            length -= token.left
            if token.whole and not (removed and token.left):
                ended += token.logprobs
        if self._tokens and length:
            self._tokens[0].left -= length
            self._tokens[0].whole = self._tokens[0].whole and not removed
        return tuple(ended)


def _unspaced(text: str, end: int, start: int) -> int:
    """Without the space at the end."""
    return end - 1 if end > start and text[end - 1] == " " else end


def _tokens(delta: TextDelta) -> list[Token]:
    """One for each token where they spell the text, else one for all of it."""
    if "".join(each.token for each in delta.logprobs) == delta.text:
        return [Token(len(each.token), (each,)) for each in delta.logprobs]
    return [Token(len(delta.text), delta.logprobs)]
