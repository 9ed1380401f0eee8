"""Vectors as they travel: packed, never as lists of Python's numbers."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Final

import msgspec

from antiphon.wire.errors import ModelError


class Vectors(msgspec.Struct, frozen=True):
    """Vectors of one dimension, one behind the other: little-endian float32. They need not be of length 1."""

    dimension: int
    packed: bytes

    def __len__(self) -> int:
        return len(self.packed) // (4 * self.dimension)


class VectorsError(Exception):
    """An answer whose vectors are of no use; the words say why."""


class _Embedding(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Embedding]


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error)


def vectors(document: bytes, count: int) -> Vectors:
    """The vectors in the answer to a request for the embeddings of `count` inputs, in their order. Raises VectorsError
    where they are not as many, not of one dimension, not numbers or zeros only, ModelError for what are none."""
    try:
        found = _ANSWER.decode(document).data
        packs = [_packed(each.embedding) for each in sorted(found, key=lambda each: each.index or 0)]
    except _UNREADABLE:
        raise ModelError("The model's endpoint sent what are no embeddings.") from None
    if len(packs) != count:
        raise VectorsError(f"sent {len(packs)} embeddings for {count} inputs")
    size = len(packs[0]) if packs else 0
    if not size or size % 4 or any(len(pack) != size for pack in packs):
        raise VectorsError("sent embeddings of different or no dimensions")
    for pack in packs:
        _use(pack)
    return Vectors(size // 4, b"".join(packs))


def _packed(given: str | list[float]) -> bytes:
    if isinstance(given, str):
        return base64.b64decode(given, validate=True)
    try:
        return struct.pack(f"<{len(given)}f", *given)
    except OverflowError:
        raise VectorsError("sent embeddings that are too large") from None


def _use(pack: bytes) -> None:
    """Raise unless it is a vector that can be compared with others. Numbers that are neither all zeros nor too large
    are known by their bytes; only what may be is looked at one by one."""
    highest = pack[3::4]  # sign and most of the exponent
    if pack.strip(b"\0\x80") and b"\x7f" not in highest and b"\xff" not in highest:
        return
    total = sum(map(abs, struct.unpack(f"<{len(pack) // 4}f", pack)))
    if not math.isfinite(total):  # float32 never add up to more than a float holds
        raise VectorsError("sent embeddings that are not numbers")
    if not total:
        raise VectorsError("sent an embedding of zeros")
