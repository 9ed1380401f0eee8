"""Embeddings as they were asked for, whatever form an endpoint chose: numbers, or their bytes as base64."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from antiphon.core.usage import estimate
from antiphon.wire.codec import encode
from antiphon.wire.embeddings import EmbeddingsRequest, Encoding
from antiphon.wire.errors import ModelError

_OPENS: Final[dict[Encoding, bytes]] = {"float": b"[", "base64": b'"'}


class _Vector(Struct):
    embedding: Raw
    object: str | None = None
    index: int | None = None


class _Answer(Struct):
    data: tuple[_Vector, ...]
    object: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_ANY: Final = msgspec.json.Decoder(dict[str, Any])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error, struct.error, TypeError)


def answered(document: bytes, request: EmbeddingsRequest) -> bytes:
    """The endpoint's answer to this request: untouched where it is complete and in the form that was asked for, else
    mended. Raises ModelError for what are no embeddings, or not one for each input."""
    try:
        answer = _ANSWER.decode(document)
        if len(answer.data) != len(request.inputs):
            raise ModelError(
                f"The model's endpoint sent {len(answer.data)} embeddings for {len(request.inputs)} inputs."
            )
        return document if _as_asked(answer, request.encoding) else _mended(document, request)
    except _UNREADABLE:
        raise ModelError("The model's endpoint sent what are no embeddings.") from None


def packed(numbers: list[float]) -> str:
    """The numbers as base64 of little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def unpacked(text: str) -> list[float]:
    """The inverse of `packed`."""
    content = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def _as_asked(answer: _Answer, encoding: Encoding) -> bool:
    if answer.object != "list" or answer.model is None or not answer.usage:
        return False
    opening = _OPENS[encoding]
    return all(
        bytes(memoryview(vector.embedding)[:1]) == opening and vector.object == "embedding" and vector.index == place
        for place, vector in enumerate(answer.data)
    )


def _mended(document: bytes, request: EmbeddingsRequest) -> bytes:
    """The answer in full; fields that we do not know stay."""
    answer = _ANY.decode(document)
    vectors = [{"object": "embedding", "index": place, **vector} for place, vector in enumerate(answer["data"])]
    vectors.sort(key=_index)
    for vector in vectors:
        vector["embedding"] = _encoded(vector["embedding"], request.encoding)
    if not answer.get("usage"):
        tokens = sum(estimate(given) if isinstance(given, str) else len(given) for given in request.inputs)
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    model = answer.get("model") or request.model
    return encode({**answer, "object": "list", "data": vectors, "model": model})


def _index(vector: dict[str, Any]) -> int:
    index: int = vector["index"]
    return index


def _encoded(vector: Any, encoding: Encoding) -> Any:
    if not isinstance(vector, str | list):
        raise TypeError("no vector")
    if encoding == "float":
        return unpacked(vector) if isinstance(vector, str) else vector  # pyright: ignore[reportUnknownVariableType] (any JSON)
    return vector if isinstance(vector, str) else packed(vector)  # pyright: ignore[reportUnknownArgumentType] (see above)
