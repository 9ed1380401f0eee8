"""A chat completion request as a generation, for models that we run ourselves: messages become items.

Validates what it reads; parameters that such models have no use for are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from antiphon.core.effects import Entry, Generate, Offer
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import encode
from antiphon.wire.content import (
    Detail,
    InputAudio,
    InputFile,
    InputImage,
    InputPart,
    InputText,
    OutputText,
    ReasoningText,
    Refusal,
)
from antiphon.wire.invalid import read
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Item, Message, Reasoning
from antiphon.wire.responses import (
    CreateResponse,
    Effort,
    Include,
    JsonObjectFormat,
    JsonSchemaFormat,
    ReasoningConfig,
    ServiceTier,
    TextConfig,
    TextFormat,
    TopLogProbs,
    Verbosity,
)
from antiphon.wire.tools import ChoiceMode, NamedChoice, ToolChoice


class _Text(Struct, tag_field="type", tag="text"):
    text: str


class _RefusalPart(Struct, tag_field="type", tag="refusal"):
    refusal: str


class _Url(Struct):
    url: str
    detail: Detail = "auto"


class _Image(Struct, tag_field="type", tag="image_url"):
    image_url: _Url


class _Attached(Struct):
    file_data: str | UnsetType = UNSET
    file_id: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET


class _File(Struct, tag_field="type", tag="file"):
    file: _Attached


class _Audio(Struct, tag_field="type", tag="input_audio"):
    input_audio: dict[str, Any]


_Part: TypeAlias = _Text | _RefusalPart | _Image | _File | _Audio


class _Function(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    arguments: str = ""


class _Tool(Struct):
    type: str
    function: _Function | None = None


class _Call(Struct):
    id: str
    function: _Function


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[_Part, ...] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[_Call, ...] | None = None
    tool_call_id: str | None = None


class _Named(Struct):
    name: str


class _Entry(Struct):
    type: str
    function: _Named | None = None


class _Allowed(Struct):
    mode: Literal["auto", "required"]
    tools: tuple[_Entry, ...]


class _Choice(Struct):
    type: str
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class _Asked(Struct):
    messages: Annotated[tuple[_Message, ...], Meta(min_length=1)]
    tools: tuple[_Tool, ...] | None = None
    tool_choice: ChoiceMode | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogProbs | None = None
    reasoning_effort: Effort | None = None
    verbosity: Verbosity | None = None
    service_tier: ServiceTier | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    n: Literal[1] | None = None  # more than one answer is not given, so it is refused


LOGPROBS: Include = "message.output_text.logprobs"
_ASKED = msgspec.json.Decoder(_Asked)


def generate_of(request: ChatRequest) -> Generate:
    """What the client asked for; raises InvalidRequestError where the body is not a chat completion request."""
    asked = read(encode(request.body), _ASKED)
    offers = tuple(
        Offer(tool.function.name, tool.function.description, tool.function.parameters, tool.function.strict)
        for tool in asked.tools or ()
        if tool.function is not None
    )
    choice = asked.tool_choice
    if isinstance(choice, _Choice) and choice.allowed_tools is not None:
        names = {entry.function.name for entry in choice.allowed_tools.tools if entry.function is not None}
        offers = tuple(offer for offer in offers if offer.name in names)
        choice = choice.allowed_tools.mode
    return Generate(
        model=request.model,
        request=CreateResponse(
            model=request.model,
            stream=request.stream,
            parallel_tool_calls=asked.parallel_tool_calls is not False,
            temperature=asked.temperature,
            top_p=asked.top_p,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
            include=(LOGPROBS,) if asked.logprobs else (),
            top_logprobs=asked.top_logprobs if asked.logprobs else None,
            reasoning=None if asked.reasoning_effort is None else ReasoningConfig(effort=asked.reasoning_effort),
            text=TextConfig(format=_format(asked.response_format), verbosity=asked.verbosity),
            service_tier=asked.service_tier,
            prompt_cache_key=asked.prompt_cache_key,
            safety_identifier=asked.safety_identifier,
            user=asked.user,
        ),
        context=tuple(Entry(item) for message in asked.messages for item in _items(message)),
        offers=offers,
        tool_choice=_choice(choice),
        max_output_tokens=asked.max_completion_tokens or asked.max_tokens,
    )


def _items(message: _Message) -> Iterator[Item]:
    if message.role == "tool":
        output = message.content if isinstance(message.content, str) else _input(message)
        yield FunctionCallOutput(call_id=message.tool_call_id or "", output=output)
        return
    if message.role != "assistant":
        yield Message(role=message.role, content=_input(message))
        return
    if message.reasoning_content:
        yield Reasoning(content=(ReasoningText(text=message.reasoning_content),))
    if spoken := tuple(_output(message)):
        yield Message(role="assistant", content=spoken)
    for call in message.tool_calls or ():
        yield FunctionCall(call_id=call.id, name=call.function.name, arguments=call.function.arguments)


def _input(message: _Message) -> tuple[InputPart, ...]:
    if isinstance(message.content, str):
        return (InputText(text=message.content),)
    return tuple(_input_part(part) for part in message.content or ())


def _input_part(part: _Part) -> InputPart:
    match part:
        case _Text():
            return InputText(text=part.text)
        case _RefusalPart():
            return InputText(text=part.refusal)
        case _Image():
            return InputImage(image_url=part.image_url.url, detail=part.image_url.detail)
        case _File():
            file = part.file
            return InputFile(file_data=file.file_data, file_id=file.file_id, filename=file.filename)
        case _Audio():
            return InputAudio(input_audio=part.input_audio)


def _output(message: _Message) -> Iterator[OutputText | Refusal]:
    if isinstance(message.content, str):
        yield OutputText(text=message.content)
    else:
        for part in message.content or ():
            if isinstance(part, _Text):
                yield OutputText(text=part.text)
            elif isinstance(part, _RefusalPart):
                yield Refusal(refusal=part.refusal)
    if message.refusal:
        yield Refusal(refusal=message.refusal)


def _choice(choice: ChoiceMode | _Choice | None) -> ToolChoice:
    if not isinstance(choice, _Choice):
        return choice or "auto"
    return NamedChoice(type=choice.type, name=UNSET if choice.function is None else choice.function.name)


def _format(wanted: _Format | None) -> TextFormat | JsonObjectFormat | JsonSchemaFormat:
    if wanted is None or wanted.type == "text":
        return TextFormat()
    return wanted.json_schema or JsonObjectFormat()
