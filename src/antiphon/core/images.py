"""How large an image is, from the first bytes of its file: PNG, GIF, JPEG, WebP."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from typing import Final, TypeAlias

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

_HEAD: Final = 4 * 65536
"""Characters of base64 that are looked at: a JPEG may carry a preview in front of its size."""
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def size_of_url(url: str) -> Size | None:
    """The size of an image in a `data:` URL; None where it cannot be told."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    body = body[:_HEAD]
    try:
        return size_of(base64.b64decode(body[: len(body) // 4 * 4]))
    except (binascii.Error, ValueError):
        return None


def size_of(file: bytes) -> Size | None:
    """The size of the image that begins so."""
    for magic, read in _KINDS:
        if file.startswith(magic):
            try:
                width, height = read(file)
            except (struct.error, IndexError, ValueError):
                return None
            return (width, height) if width > 0 and height > 0 else None
    return None


def _png(file: bytes) -> Size:
    width, height = struct.unpack_from(">II", file, 16)
    return width, height


def _gif(file: bytes) -> Size:
    width, height = struct.unpack_from("<HH", file, 6)
    return width, height


def _webp(file: bytes) -> Size:
    kind = file[12:16]
    if kind == b"VP8X":
        return int.from_bytes(file[24:27], "little") + 1, int.from_bytes(file[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", file, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", file, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(file: bytes) -> Size:
    """The first frame header; segments before it are passed over."""
    at = 2
    while True:
        at = file.index(b"\xff", at)
        marker = file[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", file, at + 5)
            return width, height
        if marker == 0xFF:
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", file, at + 2)[0]


_KINDS: Final[tuple[tuple[bytes, Callable[[bytes], Size]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF8", _gif),
    (b"\xff\xd8", _jpeg),
    (b"RIFF", _webp),
)
