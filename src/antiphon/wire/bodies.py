"""The bodies of the smaller endpoints: embeddings, completions, stored chat completions, prompts.

Law: as in `requests`. What belongs to the upstream is checked and then kept whole, with what we do not know in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from antiphon.wire.chat import UpdateChatCompletion
from antiphon.wire.completions import CompletionParams, CompletionRequest
from antiphon.wire.content import InputFile, InputImage, InputText
from antiphon.wire.embeddings import MOST_INPUTS, EmbeddingsParams, EmbeddingsRequest
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import (
    array_too_long,
    decode_object,
    invalid,
    invalid_type,
    missing_parameter,
    plain,
    read,
    unknown_parameter,
)
from antiphon.wire.pages import Query
from antiphon.wire.prompts import CreatePrompt, DefaultPrompt, UpdatePrompt

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

VariablePart = InputText | InputImage | InputFile
"""What the variable of a prompt may be besides a string."""

_KINDS: Final[dict[type, str]] = {str: "a string", int: "an integer", tuple: "an array of integers"}
_METADATA: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)


# passed to the upstream


def parse_embeddings(body: bytes) -> EmbeddingsRequest:
    """The body of POST /v1/embeddings. Raises InvalidRequestError."""
    fields, params = _passed(body, EmbeddingsParams)
    given = params.input
    return EmbeddingsRequest(
        model=params.model,
        encoding=params.encoding_format or "float",
        inputs=(given,) if isinstance(given, str) else _inputs(given),
        body=fields,
    )


def _inputs(given: Sequence[str | int | tuple[int, ...]]) -> tuple[str | tuple[int, ...], ...]:
    """The elements of the array; one of tokens is one input. All elements are of the first one's kind."""
    wanted = _KINDS[type(given[0])]
    for place, element in enumerate(given):
        if _KINDS[type(element)] != wanted:
            raise invalid_type(f"input[{place}]", wanted, list(element) if isinstance(element, tuple) else element)
    if isinstance(given[0], int):
        return (cast("tuple[int, ...]", tuple(given)),)
    if len(given) > MOST_INPUTS:
        raise array_too_long("input", MOST_INPUTS, len(given))
    return cast("tuple[str | tuple[int, ...], ...]", tuple(given))


def parse_completion(body: bytes) -> CompletionRequest:
    """The body of POST /v1/completions. Raises InvalidRequestError."""
    fields, params = _passed(body, CompletionParams)
    if params.stream_options is not None and not params.stream:
        raise InvalidRequestError(
            "The parameter 'stream_options' is only allowed when 'stream' is true.",
            param="stream_options",
            code="unsupported_parameter",
        )
    return CompletionRequest(model=params.model, stream=params.stream or False, body=fields)


def _passed(body: bytes, wanted: type[S]) -> tuple[dict[str, Any], S]:
    """The whole object, and what we read of it."""
    decode_object(body)
    fields = plain(body)
    try:
        return fields, msgspec.convert(fields, wanted)
    except msgspec.ValidationError as error:
        raise invalid(error, fields, "", wanted) from None


# stored chat completions


def parse_chat_update(body: bytes, *, strict: bool = True) -> UpdateChatCompletion:
    """The body of POST /v1/chat/completions/{id}; null metadata is an empty map. Raises InvalidRequestError."""
    fields = decode_object(body)
    if "metadata" not in fields:
        raise missing_parameter("metadata")
    found = parse_fields(fields, UpdateChatCompletion, strict=strict)
    return UpdateChatCompletion(metadata=found.get("metadata", {}))


def parse_metadata(query: Query) -> dict[str, str]:
    """The `metadata[key]=value` pairs of a query."""
    found: dict[str, str] = {}
    for name, value in query.items():
        if key := _METADATA.fullmatch(name):
            found[key[1]] = value if isinstance(value, str) else value[-1]
    return found


# prompts


def parse_prompt(body: bytes, *, strict: bool = True) -> CreatePrompt:
    """The body of POST /v1/prompts. Raises InvalidRequestError."""
    return parse_object(body, CreatePrompt, strict=strict)


def parse_prompt_update(body: bytes, *, strict: bool = True) -> UpdatePrompt:
    """The body of POST /v1/prompts/{id}. Raises InvalidRequestError."""
    return parse_object(body, UpdatePrompt, strict=strict)


def parse_prompt_default(body: bytes, *, strict: bool = True) -> DefaultPrompt:
    """The body of POST /v1/prompts/{id}/default. Raises InvalidRequestError."""
    return parse_object(body, DefaultPrompt, strict=strict)


def parse_variable(value: Any, path: str) -> str | VariablePart:
    """The variable of a prompt that stands at `path`. Raises InvalidRequestError."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise invalid_type(path, "one of a string or object", value)
    given = {name: held for name, held in cast("dict[str, Any]", value).items() if held is not None}
    if "type" not in given:
        raise missing_parameter(f"{path}.type")
    try:
        return msgspec.convert(given, VariablePart)
    except msgspec.ValidationError as error:
        raise invalid(error, given, path, VariablePart) from None


# fields


def parse_object(body: bytes, wanted: type[S], *, strict: bool) -> S:
    """A JSON object whose parameters are the fields of this struct. Raises InvalidRequestError."""
    found = parse_fields(decode_object(body), wanted, strict=strict)
    for field in msgspec.structs.fields(wanted):
        if field.required and field.name not in found:
            raise missing_parameter(field.name)
    return wanted(**found)


def parse_fields(fields: dict[str, Raw], wanted: type[Struct], *, strict: bool) -> dict[str, Any]:
    """The parameters that are present and not null, by the types that the struct declares."""
    types = {field.name: field.type for field in msgspec.structs.fields(wanted)}
    found: dict[str, Any] = {}
    for name, raw in fields.items():
        if name in types:
            value = read(raw, Decoder(types[name] | None), name)
            if value is not None:
                found[name] = value
        elif strict:
            raise unknown_parameter(name)
    return found
