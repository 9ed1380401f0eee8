"""A generation as the body of a stateless request to `/v1/responses`.

Law: the endpoint keeps nothing (`store: false`), so that everything it needs is in the request, and what the client did
not ask for is not sent. What it gave in encrypted form goes back as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET

from antiphon.core.context import reasoning_from, type_of
from antiphon.core.dialect import NativeDialect
from antiphon.core.effects import Entry, Exchange, Generate, Offer
from antiphon.core.includes import ENCRYPTED, LOGPROBS
from antiphon.core.recall import (
    Output,
    Recalled,
    answered,
    call_id_of,
    called,
    expects_output,
    found_tools,
    hosted_output,
)
from antiphon.core.sampling import passed
from antiphon.core.sealed import is_exchange, reasoning_text, thought_of
from antiphon.wire.codec import builtins, encode
from antiphon.wire.content import (
    ComputerScreenshot,
    InputFile,
    InputImage,
    OutputText,
    Part,
    ReasoningText,
    Refusal,
    SummaryText,
    Text,
)
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    AdditionalTools,
    Compaction,
    CustomToolCall,
    Item,
    ItemReference,
    McpListTools,
    Message,
    Reasoning,
    ToolSearchOutput,
    item_id,
)
from antiphon.wire.responses import CreateResponse, ReasoningConfig, TextConfig, TextFormat
from antiphon.wire.tools import AllowedTools, CustomTool, NamedChoice

LEAST_TOKENS: Final = 16
"""The smallest `max_output_tokens` that OpenAI takes; what is left of a budget may be less."""
Json = dict[str, Any]


def native_body(wanted: Generate, dialect: NativeDialect, origin: str) -> Json:
    """The JSON object to POST to `/responses` of the endpoint called `origin`; always a stream.

    `tool_choice` auto and `parallel_tool_calls` true are the default everywhere: only other values are sent.
    """
    request = wanted.request
    offers = wanted.offers
    budget = wanted.max_output_tokens
    optional: Json = {
        "instructions": request.instructions,
        "tools": [_tool(offer, request, dialect) for offer in offers] or None,
        "tool_choice": _choice(wanted, dialect) if offers else None,
        "parallel_tool_calls": False if offers and not request.parallel_tool_calls else None,
        "text": _text(request.text),
        "reasoning": _reasoning(request.reasoning),
        "max_output_tokens": None if budget is None else max(budget, LEAST_TOKENS),
        "include": _include(request, dialect),
        **passed(request),
        "prompt_cache_options": None if (cached := request.prompt_cache_options) is None else builtins(cached),
        "prompt_cache_retention": request.prompt_cache_retention,
    }
    body: Json = {"model": wanted.model, "input": input_items(wanted.context, dialect, origin)}
    body.update((name, value) for name, value in optional.items() if value is not None)
    body["store"] = False
    body["stream"] = True
    return body


def marked(origin: str, encrypted_content: str) -> str:
    """Encrypted reasoning together with the name of the endpoint that it came from: no other can read it."""
    return f"{origin}:{encrypted_content}"


def input_items(context: Sequence[Entry], dialect: NativeDialect, origin: str) -> list[Json]:
    """The context as input items, in order; what has no form there is told in words."""
    writer = _Writer(dialect, origin, context)
    for entry in context:
        writer.write(entry)
    writer.flush()
    return writer.items


class _Writer:
    """Writes items. Held back are reasoning, which must be followed by what came of it, and the outputs of server-side
    calls, which come behind all calls of their round."""

    def __init__(self, dialect: NativeDialect, origin: str, context: Sequence[Entry]) -> None:
        self.items: list[Json] = []
        self._dialect = dialect
        self._mark = marked(origin, "")
        made = (entry.item for entry in context if entry.item is not None)
        self._ids = {item_id(item): call_id for item in made if (call_id := call_id_of(item))}
        self._answered = {self._call_id(told[0]) for e in context if e.item is not None and (told := answered(e.item))}
        self._reasoning_from = reasoning_from(dialect.send_reasoning, context)
        self._custom: set[str] = set()  # the ids of calls that are written as custom tools'
        self._place = -1
        self._thoughts: list[Json] = []
        self._outputs: list[Json] = []
        self._round: int | None = None

    def write(self, entry: Entry) -> None:
        self._place += 1
        item = entry.item
        if is_exchange(entry.exchange):
            self._exchange(entry.exchange)
            return
        match item:
            case Message():
                self._message(item)
            case Reasoning():
                self._reason(entry, item)
            case Compaction():
                self._said({"type": "compaction", "encrypted_content": item.encrypted_content})
            case McpListTools() | AdditionalTools() | ItemReference() | None:
                pass  # tools are offered as functions; references were resolved before
            case _:
                self._used(item)

    def flush(self) -> None:
        """Write the outputs that were held back."""
        self.items += self._outputs
        self._outputs, self._round = [], None

    def _said(self, item: Json) -> None:
        """Something that the model made: what it thought before comes with it."""
        self.flush()
        self.items += self._thoughts
        self.items.append(item)
        self._thoughts = []

    def _given(self, item: Json) -> None:
        """Something that it was given: a thought that led to nothing is left out, endpoints refuse it."""
        self.flush()
        self._thoughts = []
        self.items.append(item)

    def _kept(self, item: Item | None, fields: Json, status: str = "completed") -> Json:
        """With the id and status, where the endpoint wants them."""
        if not self._dialect.keep_ids:
            return fields
        return {
            **fields,
            "id": (item_id(item) if item is not None else None) or fields.get("call_id"),
            "status": status,
        }

    def _call_id(self, named: str) -> str:
        return self._ids.get(named) or named

    def _message(self, item: Message) -> None:
        if item.role == "assistant":
            fields: Json = {"type": "message", "role": "assistant", "content": [_spoken(part) for part in item.content]}
            if item.phase is not UNSET:
                fields["phase"] = item.phase
            self._said(self._kept(item, fields, item.status))
            return
        role = item.role if item.role in {"system", "developer"} else "user"
        if role == "developer" and not self._dialect.developer_role:
            role = "system"
        self._given({"type": "message", "role": role, "content": _parts(item.content)})

    def _reason(self, entry: Entry, item: Reasoning) -> None:
        thought = thought_of(entry)
        opaque = "" if thought is None else thought.opaque or ""
        summary = [{"type": "summary_text", "text": part.text} for part in item.summary]
        if self._dialect.encrypted_reasoning and opaque.startswith(self._mark):
            opaque = opaque.removeprefix(self._mark)  # bound to the id it was made under, which is not ours
            self._think({"type": "reasoning", "summary": summary, "encrypted_content": opaque})
        elif self._place >= self._reasoning_from and (text := reasoning_text(entry)):
            content = [{"type": "reasoning_text", "text": text}]
            self._think(self._kept(item, {"type": "reasoning", "summary": summary, "content": content}))

    def _think(self, item: Json) -> None:
        self.flush()
        self._thoughts.append(item)

    def _used(self, item: Item) -> None:
        """A call, an output, or a trace of something else that happened."""
        if (call := called(item)) is not None:
            given = hosted_output(item)
            if call.call_id in self._answered or expects_output(item) or given is not None:
                self._said(self._kept(item, self._made(item, call)))
            if given is not None:
                self._given(_output(call.call_id, given))
        elif (told := answered(item)) is not None:
            self._given(_output(self._call_id(told[0]), told[1], custom=told[0] in self._custom))
        else:
            words = found_tools(item) if isinstance(item, ToolSearchOutput) else encode(item).decode()
            content = [_output_text(f"[{type_of(item)}] {words}")]
            self._said(self._kept(item, {"type": "message", "role": "assistant", "content": content}))

    def _made(self, item: Item, call: Recalled) -> Json:
        """The call in the form in which it was offered."""
        if not (isinstance(item, CustomToolCall) and self._dialect.custom_tools):
            return _call(call.call_id, call.name, call.arguments)
        self._custom.add(call.call_id)
        return {"type": "custom_tool_call", "call_id": call.call_id, "name": call.name, "input": item.input}

    def _exchange(self, exchange: Exchange) -> None:
        if self._round != exchange.round:
            self.flush()
        outputs, self._outputs = self._outputs, []
        call = _call(exchange.call_id, exchange.name, exchange.arguments)
        self._said(self._kept(None, call))
        self._outputs = [*outputs, _output(exchange.call_id, exchange.output)]
        self._round = exchange.round


def _call(call_id: str, name: str, arguments: str) -> Json:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments or "{}"}


def _output(call_id: str, output: Output, *, custom: bool = False) -> Json:
    kind = "custom_tool_call_output" if custom else "function_call_output"
    told = output if isinstance(output, str) else _parts(output)
    return {"type": kind, "call_id": call_id, "output": told}


# content


def _spoken(part: Part) -> Json:
    """A part of what the assistant said. Annotations name files of ours, and say nothing to the model."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.refusal}
    text = part.text if isinstance(part, OutputText | Text | SummaryText | ReasoningText) else encode(part).decode()
    return _output_text(text)


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": []}


def _parts(content: Sequence[Part]) -> list[Json]:
    return [_part(part) for part in content]


def _part(part: Part) -> Json:
    """A part of what the model is given."""
    match part:
        case Text() | OutputText() | SummaryText() | ReasoningText():
            return {"type": "input_text", "text": part.text}
        case Refusal():
            return {"type": "input_text", "text": part.refusal}
        case InputImage() | ComputerScreenshot():
            if not part.image_url:
                raise _unsupported("Images by 'file_id' are not supported; give 'image_url'.")
            return {"type": "input_image", "image_url": part.image_url, "detail": part.detail}
        case InputFile() if part.file_id:
            raise _unsupported("Files by 'file_id' are not supported; give 'file_data' or 'file_url'.")
        case _:
            return builtins(part)


def _unsupported(words: str) -> InvalidRequestError:
    return InvalidRequestError(words, param="input", code="unsupported_value")


# parameters


def _tool(offer: Offer, request: CreateResponse, dialect: NativeDialect) -> Json:
    if _is_custom(offer, dialect):
        return _custom_tool(offer, request)
    fields: Json = {"type": "function", "name": offer.name}
    if offer.description is not None:
        fields["description"] = offer.description
    fields["parameters"] = offer.parameters or {"type": "object", "properties": {}}
    # left out, it would mean true; the client's own silence stays silence
    fields["strict"] = False if offer.strict is None and offer.receipt is not None else offer.strict
    return fields


def _is_custom(offer: Offer, dialect: NativeDialect) -> bool:
    return offer.kind == "custom" and dialect.custom_tools


def _custom_tool(offer: Offer, request: CreateResponse) -> Json:
    """As the client declares it; a member of a namespace under the name of its offer."""
    form: Json = {"type": "text"} if offer.grammar is None else {"type": "grammar", **builtins(offer.grammar)}
    description = offer.description
    declared = request.tools[offer.tool] if offer.tool < len(request.tools) else None
    if isinstance(declared, CustomTool):  # an offer also tells of the grammar in words
        form, description = declared.format, declared.description or None
    fields: Json = {"type": "custom", "name": offer.name, "format": form}
    return fields if description is None else {**fields, "description": description}


def _choice(wanted: Generate, dialect: NativeDialect) -> Any:
    choice = wanted.tool_choice
    if isinstance(choice, NamedChoice):
        named = next((offer for offer in wanted.offers if offer.name == choice.name), None)
        custom = named is not None and _is_custom(named, dialect)
        return {"type": "custom" if custom else "function", "name": choice.name}
    if isinstance(choice, AllowedTools):
        choice = choice.mode  # the offers are already no others
    return None if choice == "auto" else choice


def _text(text: TextConfig) -> Json | None:
    found: Json = {} if isinstance(text.format, TextFormat) else {"format": builtins(text.format)}
    if text.verbosity not in {None, "medium"}:
        found["verbosity"] = text.verbosity
    return found or None


def _reasoning(wanted: ReasoningConfig | None) -> Json | None:
    given: Json = {} if wanted is None else builtins(wanted)
    return {name: value for name, value in given.items() if value is not None} or None


def _include(request: CreateResponse, dialect: NativeDialect) -> list[str] | None:
    wanted = [ENCRYPTED] if dialect.encrypted_reasoning else []
    if LOGPROBS in request.include or request.top_logprobs:
        wanted.append(LOGPROBS)
    return wanted or None
