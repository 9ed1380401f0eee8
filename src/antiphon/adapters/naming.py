"""Names of blobs as parts of a path: no project's name, whatever it holds, leads anywhere else, and no two of them to
the same place, also where letters do not differ by case.
"""

from __future__ import annotations

import re
from typing import Final

from antiphon.ports.blobs import NoBlobError
from antiphon.wire.errors import StoreError

_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_MOST: Final = 200
"""Bytes of a part of a path; file systems take 255."""
_NAME: Final = re.compile(r"[a-z]+[_-][A-Za-z0-9]{1,128}")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


def folded(project: str) -> str:
    """The project's name as a part of a path: everything but a-z, 0-9, `-` and `_` as `%XX` of UTF-8."""
    raw = project.encode("utf-8", "surrogatepass")
    name = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    if not 0 < len(name) <= _MOST:
        raise StoreError("The project's name is too long for files to be kept under it.")
    return name


def unfolded(name: str) -> str | None:
    """The project whose folder it is; None for a name that is not ours."""
    raw = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), name.encode("utf-8", "surrogateescape"))
    try:
        project = raw.decode("utf-8", "surrogatepass")
        return project if folded(project) == name else None
    except (UnicodeError, StoreError):
        return None


def safe(name: str) -> bool:
    """Whether a blob can be called so: ids of ours can."""
    return _NAME.fullmatch(name) is not None


def place(project: str, name: str) -> tuple[str, str]:
    """Folder and file; NoBlobError for a name that no blob of ours has."""
    if not safe(name):
        raise NoBlobError(name)
    return folded(project), name
