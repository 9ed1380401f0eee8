"""Deltas as recordings hold them: `{"TextDelta": {"text": "Hel"}}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast, get_args

import msgspec

from antiphon.core.deltas import Delta, Structure
from antiphon.replay.exchange import RecordingError
from antiphon.wire.codec import decode, encode

KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind for kind in (*get_args(Delta), *get_args(Structure)) if isinstance(kind, type)
}
_NAMED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def written(batch: Sequence[Delta]) -> list[bytes]:
    """Each delta as a JSON document, without what it says by default."""
    return [b'{"%s":%s}' % (type(delta).__name__.encode(), encode(_said(delta))) for delta in batch]


def read(documents: Sequence[bytes]) -> list[Delta]:
    """The deltas of these documents. Raises RecordingError."""
    try:
        return [_delta(document) for document in documents]
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise RecordingError("A recording holds what is no delta of a model.") from error


def ends(document: bytes) -> bool:
    """Whether this is the last delta of a generation."""
    return document.startswith(b'{"StepEnded":')


def _said(delta: Delta) -> dict[str, Any]:
    fields = msgspec.structs.fields(type(delta))
    return {field.name: value for field in fields if (value := getattr(delta, field.name)) != field.default}


def _delta(document: bytes) -> Delta:
    ((name, fields),) = _NAMED.decode(document).items()
    return cast("Delta", decode(fields, KINDS[name]))
