"""Stored items become the model's input: the messages of a chat completion (wire checklist E.1).

Calls and their outputs are paired by call id wherever they stand: calls made together form one assistant message, and
their outputs come right behind it. What an upstream cannot be told natively is told in words, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from antiphon.core.dialect import Dialect
from antiphon.core.effects import Entry, Exchange, Generate
from antiphon.core.parts import joined, parts_of, split_output
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.content import OutputText, Refusal
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Item,
    ItemReference,
    McpListTools,
    Message,
    Reasoning,
    item_id,
)
from antiphon.wire.items import identified as with_id

ChatMessage: TypeAlias = dict[str, Any]

PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fc_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctc_",
    "file_search_call": "fs_",
    "web_search_call": "ws_",
    "code_interpreter_call": "ci_",
    "image_generation_call": "ig_",
    "mcp_list_tools": "mcpl_",
    "mcp_call": "mcp_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
    "compaction": "cmp_",
}
"""Prefixes of item ids by type; every other type gets `item_`."""


def type_of(item: Item) -> str:
    """The item's type string."""
    return item.type if isinstance(item, Unknown) else str(item.__struct_config__.tag)


def identified(items: Iterable[Item], new_id: Callable[[str], str]) -> tuple[Entry, ...]:
    """The items as entries, each with an id: its own, or a fresh one."""
    return tuple(
        Entry(item if item_id(item) else with_id(item, new_id(PREFIXES.get(type_of(item), "item_")))) for item in items
    )


def merged(history: Sequence[Entry], given: Sequence[Entry]) -> tuple[Entry, ...]:
    """What of `given` is new. Clients repeat history together with `previous_response_id`: an item that the history
    holds under the same id, or a call or output under the same call id, is dropped (client_needs, input 4)."""
    if not history:
        return tuple(given)
    known_ids = {item_id(entry.item) for entry in history if entry.item is not None}
    known_calls = {_call_key(entry.item) for entry in history if entry.item is not None}
    known_calls.discard(None)
    return tuple(
        entry
        for entry in given
        if entry.item is not None
        and item_id(entry.item) not in known_ids
        and ((key := _call_key(entry.item)) is None or key not in known_calls)
    )


def _call_key(item: Item) -> tuple[type, str] | None:
    if isinstance(item, FunctionCall | FunctionCallOutput | CustomToolCall | CustomToolCallOutput):
        return (type(item), item.call_id)
    return None


def check_pairs(context: Sequence[Entry]) -> None:
    """Every call has its output and every output its call, as api.openai.com demands before it generates."""
    calls: set[str] = set()
    outputs: set[str] = set()
    for entry in context:
        item = entry.item
        if isinstance(item, FunctionCall | CustomToolCall):
            if item.status != "incomplete":  # one that was cut cannot be answered, and does not have to be
                calls.add(item.call_id)
        elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
            outputs.add(item.call_id)
    if orphans := outputs - calls:
        orphan = min(orphans)
        raise InvalidRequestError(f"No tool call found for function call output with call_id {orphan}.", param="input")
    if open_calls := calls - outputs:
        raise InvalidRequestError(f"No tool output found for function call {min(open_calls)}.", param="input")


def chat_messages(wanted: Generate, dialect: Dialect) -> list[ChatMessage]:
    """The conversation as chat messages in this dialect: instructions first, then the context in order."""
    writer = _Writer(dialect, wanted.context)
    if wanted.request.instructions:
        writer.messages.append({"role": "system", "content": wanted.request.instructions})
    for entry in wanted.context:
        writer.write(entry)
    writer.flush()
    return merged_system(writer.messages) if dialect.merge_system else writer.messages


def merged_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    """All system messages as one at the front, for templates that allow no other."""
    texts = [joined(m["content"]) for m in messages if m["role"] in {"system", "developer"}]
    rest = [m for m in messages if m["role"] not in {"system", "developer"}]
    return [{"role": "system", "content": "\n\n".join(texts)}, *rest] if texts else rest


class _Writer:
    """Writes messages; keeps the assistant message that is being put together."""

    def __init__(self, dialect: Dialect, context: Sequence[Entry]) -> None:
        self.messages: list[ChatMessage] = []
        self._dialect = dialect
        self._outputs = _outputs(context)
        self._reasoning_from = _reasoning_from(dialect, context)
        self._place = -1
        self._text: Any = None
        self._refusal: str | None = None
        self._thought: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._round: int | None = None

    def write(self, entry: Entry) -> None:
        self._place += 1
        if entry.exchange is not None:
            self._exchange(entry.exchange)
            return
        item = entry.item
        match item:
            case Message():
                self._message(item)
            case Reasoning():
                self._reason(item)
            case FunctionCall() | CustomToolCall():
                self._called(item)
            case FunctionCallOutput() | CustomToolCallOutput():
                self.flush()  # itself told behind its call; the next call begins another message
            case McpListTools() | ItemReference() | None:
                pass  # tools are declared by the request; references were resolved before
            case _:
                self._in_words(item)

    def flush(self) -> None:
        """End the assistant message that is being put together, and tell the outputs of its calls."""
        if self._text is not None or self._refusal is not None or self._calls:
            message: ChatMessage = {"role": "assistant", "content": self._text}
            if self._refusal is not None:
                message["refusal"] = self._refusal
            if self._thought:
                message[self._dialect.reasoning_field] = "".join(self._thought)
            if self._calls:
                message["tool_calls"] = self._calls
            self.messages.append(message)
            self._tell_outputs(self._calls)
        self._text = self._refusal = self._round = None
        self._thought, self._calls = [], []

    def _tell_outputs(self, calls: list[dict[str, Any]]) -> None:
        images: list[dict[str, Any]] = []
        for call in calls:
            output = self._outputs.get(call["id"])
            if output is None:
                continue
            text, shown = split_output(output, call["id"])
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
            images.extend(shown)
        if images:
            self.messages.append({"role": "user", "content": images})

    def _reason(self, item: Reasoning) -> None:
        if self._text is not None and not self._calls:
            self.flush()  # thought after an answer belongs to what comes next; between calls it keeps them together
        if self._place >= self._reasoning_from and item.content:
            self._thought.extend(part.text for part in item.content)

    def _message(self, item: Message) -> None:
        if item.role == "assistant":
            self._assistant(item)
            return
        self.flush()
        role = "user" if item.role not in {"system", "developer"} else item.role
        if role == "developer" and not self._dialect.developer_role:
            role = "system"
        self.messages.append({"role": role, "content": parts_of(item.content, plain=self._dialect.plain_text)})

    def _assistant(self, item: Message) -> None:
        if self._text is not None or self._refusal is not None or self._calls:
            self.flush()
        texts = [part.text for part in item.content if isinstance(part, OutputText)]
        refusals = [part.refusal for part in item.content if isinstance(part, Refusal)]
        self._text = "".join(texts) if texts or not refusals else None
        self._refusal = "".join(refusals) if refusals else None

    def _called(self, item: FunctionCall | CustomToolCall) -> None:
        if item.status == "incomplete" and item.call_id not in self._outputs:
            return  # it was cut: nobody ran it, and nobody can answer it
        wrapped = isinstance(item, CustomToolCall)  # a custom tool is shown to the model as a function of one string
        arguments = encode({"input": item.input}).decode() if wrapped else item.arguments or "{}"
        self._call(item.call_id, item.name, arguments)

    def _call(self, call_id: str, name: str, arguments: str) -> None:
        function = {"name": name, "arguments": arguments}
        self._calls.append({"id": call_id, "type": "function", "function": function})

    def _exchange(self, exchange: Exchange) -> None:
        if self._round is not None and self._round != exchange.round:
            self.flush()
        self._round = exchange.round
        self._outputs[exchange.call_id] = exchange.output
        self._call(exchange.call_id, exchange.name, exchange.arguments)

    def _in_words(self, item: Item) -> None:
        """An earlier use of a tool that this turn does not have: its item as text, so that the model knows of it."""
        self.flush()
        self.messages.append({"role": "assistant", "content": f"[{type_of(item)}] {encode(item).decode()}"})


def _outputs(context: Sequence[Entry]) -> dict[str, Any]:
    return {
        entry.item.call_id: entry.item.output
        for entry in context
        if isinstance(entry.item, FunctionCallOutput | CustomToolCallOutput)
    }


def _reasoning_from(dialect: Dialect, context: Sequence[Entry]) -> int:
    """The place from which reasoning is sent back."""
    if dialect.send_reasoning == "always":
        return 0
    if dialect.send_reasoning == "drop":
        return len(context)
    for place in range(len(context) - 1, -1, -1):
        item = context[place].item
        if isinstance(item, Message) and item.role == "user":
            return place
    return 0
