"""From the bytes of a request to its frozen struct.

Law: every parameter is read once, by the type that its struct declares; null is absent; what is wrong is an
InvalidRequestError and nothing else. Only what concerns several parameters is written out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.json import Decoder

from antiphon.wire.chat import ChatParams, ChatRequest
from antiphon.wire.codec import builtins
from antiphon.wire.compact import CompactRequest, CountRequest
from antiphon.wire.content import InputText
from antiphon.wire.conversations import (
    MOST_ITEMS,
    CreateConversation,
    CreateConversationItems,
    ForkConversation,
    UpdateConversation,
)
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import (
    decode_object,
    invalid,
    invalid_value,
    missing_parameter,
    plain,
    quoted,
    read,
    unknown_parameter,
    wrong_prefix,
)
from antiphon.wire.items import AdditionalTools, Item, Message, ToolSearchOutput
from antiphon.wire.pages import Query, listed
from antiphon.wire.parsing import CONVERSATION_ROLES, parse_items, parse_tool_choice, parse_tools
from antiphon.wire.responses import (
    INCLUDES,
    ConversationRef,
    CreateResponse,
    Include,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningConfig,
    Response,
    ResponseStatus,
    TextConfig,
    TextFormat,
    Verbosity,
)
from antiphon.wire.tools import AllowedTools, NamespaceTool, Tool
from antiphon.wire.tools import echo as echo_tool

T = TypeVar("T")
Reader = Callable[[Raw], object]
"""Reads one parameter; None: absent."""

TOLERATED: Final = ("client_metadata",)
"""Parameters of no effect that real clients send although OpenAI does not document them: `client_metadata` (the codex
CLI names its session there). Any other unknown parameter is refused when strict."""


class CreateFrame(Struct, frozen=True, kw_only=True):
    """A `response.create` message of a WebSocket. `generate` false: a warm-up that wants no output."""

    request: CreateResponse
    stream_id: str | None = None
    generate: bool = True


class _Text(Struct, frozen=True):
    """`text` as clients send it."""

    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Verbosity | None = None


_Input: TypeAlias = Annotated[str, Meta(max_length=10_485_760)] | list[Raw] | None
_FewItems: TypeAlias = Annotated[list[Raw], Meta(max_length=MOST_ITEMS)] | None
_SomeItems: TypeAlias = Annotated[list[Raw], Meta(min_length=1, max_length=MOST_ITEMS)]
_StreamId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.-]+$")] | None

_INPUT: Final = Decoder[str | list[Raw] | None](_Input)
_TOOLS: Final = Decoder[list[Raw] | None](list[Raw] | None)
_CONVERSATION: Final = Decoder[str | ConversationRef | None](str | ConversationRef | None)
_REASONING: Final = Decoder[ReasoningConfig | None](ReasoningConfig | None)
_TEXT: Final = Decoder[_Text | None](_Text | None)
_FEW_ITEMS: Final = Decoder[list[Raw] | None](_FewItems)
_SOME_ITEMS: Final = Decoder[list[Raw]](_SomeItems)
_BOOL: Final = Decoder[bool | None](bool | None)
_STREAM_ID: Final = Decoder[str | None](_StreamId)
_NULL: Final = Raw(b"null")
_TRUE: Final = Raw(b"true")


# responses


def parse_create(body: bytes, *, strict: bool = True) -> CreateResponse:
    """The body of POST /v1/responses; `strict` refuses unknown parameters. Raises InvalidRequestError."""
    request = _create(decode_object(body), strict=strict)
    _require_input(request)
    return request


def parse_compact(body: bytes, *, strict: bool = True) -> CompactRequest:
    """The body of POST /v1/responses/compact. Raises InvalidRequestError."""
    found = _read_fields(decode_object(body), _COMPACT, strict=strict)
    if "model" not in found:
        raise missing_parameter("model")
    request = CompactRequest(**found)
    if not request.input and request.previous_response_id is None:
        raise InvalidRequestError(
            "One of 'input' or 'previous_response_id' must be provided.",
            param="input",
            code="missing_required_parameter",
        )
    if request.previous_response_id is not None and not request.previous_response_id.startswith("resp_"):
        raise wrong_prefix("previous_response_id", request.previous_response_id, "resp_")
    return request


def parse_count(body: bytes, *, strict: bool = True) -> CountRequest:
    """The body of POST /v1/responses/input_tokens, which may be empty. Raises InvalidRequestError."""
    request = CountRequest(**_read_fields(decode_object(body or b"{}"), _COUNT, strict=strict))
    as_create = as_response(request, request.model or "")
    _check_ids(as_create)
    _check_together(as_create)
    _check_choice(as_create)
    return request


def as_response(request: CompactRequest | CountRequest, model: str) -> CreateResponse:
    """The response that such a request speaks of; it is never stored."""
    names = {field.name for field in msgspec.structs.fields(CreateResponse)}
    fields: dict[str, Any] = {name: getattr(request, name) for name in request.__struct_fields__ if name in names}
    fields |= {"model": model, "store": False}
    return CreateResponse(**fields)


def parse_frame(body: bytes, *, strict: bool = True) -> CreateFrame:
    """A client's message on a WebSocket: a create body with `type`. It is always a stream, whatever its `stream` says;
    `background` is refused. Raises InvalidRequestError."""
    fields = decode_object(body)
    kind = plain(fields.pop("type", _NULL))
    if kind is None:
        raise missing_parameter("type")
    if kind != "response.create":
        raise invalid_value("type", kind, ("response.create",))
    if read(fields.pop("background", _NULL), _BOOL, "background"):
        raise _unsupported("background", "Background responses cannot be created over a WebSocket.")
    fields.pop("stream_options", None)
    fields["stream"] = _TRUE
    stream_id = read(fields.pop("stream_id", _NULL), _STREAM_ID, "stream_id")
    generate = read(fields.pop("generate", _NULL), _BOOL, "generate") is not False
    request = _create(fields, strict=strict)
    if generate:
        _require_input(request)
    return CreateFrame(request=request, stream_id=stream_id, generate=generate)


def echo(
    request: CreateResponse,
    *,
    id: str,  # noqa: A002 - the wire's name
    created_at: int,
    status: ResponseStatus,
    model: str,
) -> Response:
    """The response as `response.created` shows it: every parameter as it applies, nothing produced yet.

    `service_tier` is "auto" until the end tells which was used; `created_at` is epoch seconds.
    """
    retention = "in_memory" if request.prompt_cache_retention == "in-memory" else request.prompt_cache_retention
    return Response(
        id=id,
        created_at=created_at,
        status=status,
        background=request.background,
        frequency_penalty=request.frequency_penalty or 0.0,
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        model=model,
        parallel_tool_calls=request.parallel_tool_calls,
        presence_penalty=request.presence_penalty or 0.0,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        prompt_cache_retention=retention,
        reasoning=request.reasoning or ReasoningConfig(),
        safety_identifier=request.safety_identifier,
        service_tier=request.service_tier or "auto",
        store=request.store,
        temperature=1.0 if request.temperature is None else request.temperature,
        text=request.text,
        tool_choice=request.tool_choice,
        tools=tuple(map(echo_tool, request.tools)),
        top_logprobs=request.top_logprobs or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
        truncation=request.truncation,
        user=request.user,
        metadata=request.metadata,
        conversation=_or_unset(request.conversation),
        prompt=_or_unset(request.prompt),
        prompt_cache_options=_or_unset(request.prompt_cache_options),
    )


def parse_include(query: Query) -> tuple[Include, ...]:
    """The `include` of a query, in all its spellings. Raises InvalidRequestError."""
    found = listed(query, "include")
    for place, value in enumerate(found):
        if value not in INCLUDES:
            raise invalid_value(f"include[{place}]", value, INCLUDES)
    return cast("tuple[Include, ...]", found)


def _create(fields: dict[str, Raw], *, strict: bool) -> CreateResponse:
    found = _read_fields(fields, _CREATE, strict=strict)
    if "model" not in found and "prompt" not in found:
        raise missing_parameter("model")
    found.setdefault("model", "")  # the prompt may name one
    request = CreateResponse(**found)
    _check_ids(request)
    _check_together(request)
    _check_choice(request)
    return request


def _input(raw: Raw) -> tuple[Item, ...] | None:
    found = read(raw, _INPUT, "input")
    if isinstance(found, str):
        return (Message(role="user", content=(InputText(text=found),)),)
    return found if found is None else parse_items(found, "input")


def _tools(raw: Raw) -> tuple[Tool, ...] | None:
    found = read(raw, _TOOLS, "tools")
    return found if found is None else parse_tools(found, "tools")


def _conversation(raw: Raw) -> ConversationRef | None:
    found = read(raw, _CONVERSATION, "conversation")
    return ConversationRef(id=found) if isinstance(found, str) else found


def _text(raw: Raw) -> TextConfig | None:
    found = read(raw, _TEXT, "text")
    if found is None:
        return None
    return TextConfig(format=found.format or TextFormat(), verbosity=found.verbosity or "medium")


def _reasoning(raw: Raw) -> ReasoningConfig | None:
    found = read(raw, _REASONING, "reasoning")
    if found is None:
        return None
    return ReasoningConfig(
        effort=found.effort,
        summary=found.summary,
        generate_summary=found.generate_summary or UNSET,
        context=found.context or UNSET,
        mode=found.mode or UNSET,
    )


def _check_ids(request: CreateResponse) -> None:
    """Ids of another kind are told from ids that do not exist, and first."""
    previous, conversation = request.previous_response_id, request.conversation
    if previous is not None and not previous.startswith("resp_"):
        raise wrong_prefix("previous_response_id", previous, "resp_")
    if conversation is not None and not conversation.id.startswith("conv_"):
        raise wrong_prefix("conversation", conversation.id, "conv_")


def _check_together(request: CreateResponse) -> None:
    """Parameters that exclude or need each other."""
    if request.conversation is not None and request.previous_response_id is not None:
        raise InvalidRequestError(
            "Mutually exclusive parameters: only one of 'conversation' and 'previous_response_id' may be given.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )
    if request.background and not request.store:
        raise _unsupported("background", "Background responses are stored: 'background' needs 'store' to be true.")
    if request.stream_options is not None and not request.stream:
        raise _unsupported("stream_options", "The parameter 'stream_options' is only allowed when 'stream' is true.")


def _require_input(request: CreateResponse) -> None:
    """There is something to answer."""
    if not request.input and request.previous_response_id is request.conversation is request.prompt is None:
        raise InvalidRequestError(
            "One of 'input', 'previous_response_id', 'conversation' or 'prompt' must be provided.",
            param="input",
            code="missing_required_parameter",
        )


# the tool choice


def _check_choice(request: CreateResponse) -> None:
    """What must be called was offered. Tools may also come by way of input items; then anything may be named."""
    choice = request.tool_choice
    if choice in ("auto", "none") or any(isinstance(item, _BRINGS_TOOLS) for item in request.input):
        return
    if isinstance(choice, str):
        if not request.tools:
            raise _refused("tool_choice", "Tool choice 'required' needs at least one tool in 'tools'.")
        return
    offered = {reference for tool in request.tools for reference in _references(tool)}
    wanted = choice.tools if isinstance(choice, AllowedTools) else [builtins(choice)]
    for entry in wanted:
        kind, name = _reference(entry)
        if (kind, name) not in offered:
            raise _refused("tool_choice", f"Tool choice {quoted(name or kind)} not found in 'tools' parameter.")


def _references(tool: Tool) -> Iterable[tuple[str, str]]:
    """How a tool choice may name this tool."""
    if isinstance(tool, NamespaceTool):
        yield from (reference for member in tool.tools for reference in _references(member))
    yield _reference(builtins(tool))


def _reference(fields: Mapping[str, object]) -> tuple[str, str]:
    """The kind of a tool without version, and the name that tells it from others of its kind, if it has one."""
    kind = str(fields.get("type", ""))
    name = fields.get("server_label" if kind == "mcp" else "name", "")
    family = _VERSION.sub("", kind)
    return _SYNONYMS.get(family, family), name if isinstance(name, str) else ""


# conversations


def parse_conversation(body: bytes, *, strict: bool = True) -> CreateConversation:
    """The body of POST /v1/conversations, which may be empty. Raises InvalidRequestError."""
    return CreateConversation(**_read_fields(decode_object(body or b"{}"), _CONVERSATION_FIELDS, strict=strict))


def parse_conversation_update(body: bytes, *, strict: bool = True) -> UpdateConversation:
    """The body of POST /v1/conversations/{id}; null metadata is an empty map. Raises InvalidRequestError."""
    fields = decode_object(body)
    if "metadata" not in fields:
        raise missing_parameter("metadata")
    found = _read_fields(fields, _UPDATE_FIELDS, strict=strict)
    return UpdateConversation(metadata=found.get("metadata", {}))


def parse_conversation_items(body: bytes, *, strict: bool = True) -> tuple[Item, ...]:
    """The items in the body of POST /v1/conversations/{id}/items, 1 to 20. Raises InvalidRequestError."""
    fields = decode_object(body)
    if "items" not in fields:
        raise missing_parameter("items")
    return CreateConversationItems(**_read_fields(fields, _ITEMS_FIELDS, strict=strict)).items


def parse_fork(body: bytes, *, strict: bool = True) -> ForkConversation:
    """The body of POST /v1/conversations/{id}/fork, which may be empty. Raises InvalidRequestError."""
    return ForkConversation(**_read_fields(decode_object(body or b"{}"), _FORK_FIELDS, strict=strict))


def _few_items(raw: Raw) -> tuple[Item, ...] | None:
    found = read(raw, _FEW_ITEMS, "items")
    return found if found is None else parse_items(found, "items", CONVERSATION_ROLES)


def _some_items(raw: Raw) -> tuple[Item, ...]:
    return parse_items(read(raw, _SOME_ITEMS, "items"), "items", CONVERSATION_ROLES)


# chat completions


def parse_chat(body: bytes) -> ChatRequest:
    """The body of POST /v1/chat/completions. It is checked and then kept whole, with what we do not know in it: that is
    the upstream's to judge. Raises InvalidRequestError."""
    decode_object(body)
    fields = plain(body)
    try:
        params = msgspec.convert(fields, ChatParams)
    except msgspec.ValidationError as error:
        raise invalid(error, fields, "", ChatParams) from None
    if params.top_logprobs is not None and not params.logprobs:
        raise _unsupported("top_logprobs", "The parameter 'top_logprobs' is only allowed when 'logprobs' is true.")
    if params.stream_options is not None and not params.stream:
        raise _unsupported("stream_options", "The parameter 'stream_options' is only allowed when 'stream' is true.")
    return ChatRequest(
        model=params.model,
        stream=params.stream or False,
        body=fields,
        store=params.store or False,
        metadata=params.metadata or {},
    )


# tables


def _read_fields(fields: Mapping[str, Raw], readers: Mapping[str, Reader], *, strict: bool) -> dict[str, Any]:
    """The parameters that are present and not null."""
    found: dict[str, Any] = {}
    for name, raw in fields.items():
        reader = readers.get(name)
        if reader is not None:
            if (value := reader(raw)) is not None:
                found[name] = value
        elif strict and name not in TOLERATED:
            raise unknown_parameter(name)
    return found


def _readers(wanted: type[Struct], own: Mapping[str, Reader]) -> dict[str, Reader]:
    """How to read each parameter of a struct: by the type it has there, or in its own way."""
    return {field.name: own.get(field.name) or _reader(field) for field in msgspec.structs.fields(wanted)}


def _reader(field: msgspec.structs.FieldInfo) -> Reader:
    decoder = Decoder(field.type | None)
    return lambda raw: read(raw, decoder, field.name)


def _refused(param: str, text: str, code: str = "invalid_value") -> InvalidRequestError:
    return InvalidRequestError(text, param=param, code=code)


def _unsupported(param: str, text: str) -> InvalidRequestError:
    return _refused(param, text, "unsupported_parameter")


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


_BRINGS_TOOLS: Final = AdditionalTools | ToolSearchOutput
_VERSION: Final = re.compile(r"(_preview)?(_\d{4}_\d\d_\d\d)?$")
_SYNONYMS: Final = {"computer_use": "computer"}

_CREATE: Final = _readers(
    CreateResponse,
    {
        "input": _input,
        "tools": _tools,
        "tool_choice": parse_tool_choice,
        "conversation": _conversation,
        "text": _text,
        "reasoning": _reasoning,
    },
)
_COMPACT: Final = _readers(CompactRequest, {"input": _input})
_COUNT: Final = _readers(
    CountRequest,
    {
        "input": _input,
        "tools": _tools,
        "tool_choice": parse_tool_choice,
        "conversation": _conversation,
        "text": _text,
        "reasoning": _reasoning,
    },
)
_CONVERSATION_FIELDS: Final = _readers(CreateConversation, {"items": _few_items})
_UPDATE_FIELDS: Final = _readers(UpdateConversation, {})
_FORK_FIELDS: Final = _readers(ForkConversation, {})
_ITEMS_FIELDS: Final = _readers(CreateConversationItems, {"items": _some_items})
