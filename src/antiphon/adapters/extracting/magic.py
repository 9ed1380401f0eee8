"""What a file is by its first bytes, for those types that names often get wrong and for those that hold no text."""

from __future__ import annotations

import re
from typing import Final

HEAD: Final = 4096
"""Bytes that are looked at."""
PDF: Final = "pdf"
ZIP: Final = "zip"
EPUB: Final = "epub"
OLE: Final = "ole"
"""What Word, PowerPoint and Excel wrote before 2007, and what they write encrypted documents in."""

_READ: Final = ((b"%PDF-", PDF), (b"PK\x03\x04", ZIP), (b"PK\x05\x06", ZIP), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE))
_REFUSED: Final = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"BM....\0\0\0\0", "a BMP image"),
    (b"II\\*\0|MM\0\\*", "a TIFF image"),
    (b"\0\0[\x01\x02]\0", "an icon"),
    (b"RIFF....WEBP", "a WebP image"),
    (b"RIFF....(?:WAVE|AVI )|FORM....AIF", "audio or video"),
    (b"\0\0..ftyp|ID3[\x02-\x04]\0|fLaC\0|OggS\0|\x1aE\xdf\xa3|\xff[\xfb\xf3\xf2]|FLV\x01", "audio or video"),
    (b"\x1f\x8b|BZh[1-9]1AY&SY|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|\\(\xb5/\xfd|Rar!\x1a\x07", "an archive"),
    (b".{257}ustar", "an archive"),
    (b"\x7fELF|MZ(?=.{0,4000}\0)|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|\xfe\xed\xfa\xcf|\0asm", "a program"),
    (b"SQLite format 3\0|PAR1(?=.{0,4000}\0)", "a database"),
    (b"OTTO\0|\0\x01\0\0\0|wOF[F2]", "a font"),
    (rb"\{\\rtf1", "an RTF document"),
)
_WORDS: Final = tuple(words for _, words in _REFUSED)
_PATTERN: Final = re.compile(b"|".join(b"(%s)" % pattern for pattern, _ in _REFUSED), re.DOTALL)
_PAGE: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?>(?:<!--(?>.*?-->)\s*)*)<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL
)


def container(head: bytes) -> str | None:
    """`PDF`, `EPUB`, `ZIP`, `OLE`, or None."""
    head = head[:HEAD].lstrip()
    if head.startswith(b"PK\x03\x04") and b"mimetypeapplication/epub+zip" in head[:128]:
        return EPUB
    return next((name for mark, name in _READ if head.startswith(mark)), None)


def refused(head: bytes) -> str | None:
    """What a file is that holds no text, in words as `a PNG image`; None when it may hold text."""
    found = _PATTERN.match(head[:HEAD])
    return _WORDS[found.lastindex - 1] if found and found.lastindex else None


def page(head: bytes) -> bool:
    """Whether it begins as a page of HTML does."""
    return _PAGE.match(head[:HEAD]) is not None
