"""Stored items become the model's input: the messages of a chat completion (wire checklist E.1).

Calls and their outputs are paired by call id wherever they stand: calls made together form one assistant message, and
their outputs come right behind it. What an upstream cannot be told natively is told in words, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from antiphon.core.dialect import Dialect, SendReasoning
from antiphon.core.effects import Entry, Exchange, Generate
from antiphon.core.parts import joined, parts_of, split_output
from antiphon.core.recall import (
    Output,
    Recalled,
    answered,
    answered_id_of,
    as_object,
    call_id_of,
    called,
    expects_output,
    found_tools,
    hosted_output,
)
from antiphon.core.sealed import is_exchange, reasoning_text
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.content import InputText, OutputText, Refusal, Text
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import (
    AdditionalTools,
    Item,
    ItemReference,
    LocalShellCallOutput,
    McpListTools,
    Message,
    Reasoning,
    ToolSearchOutput,
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
    "tool_search_call": "tsc_",
    "tool_search_output": "tso_",
    "local_shell_call": "lsh_",
    "local_shell_call_output": "lsh_",
    "shell_call": "sh_",
    "shell_call_output": "sho_",
    "apply_patch_call": "apc_",
    "apply_patch_call_output": "apco_",
    "computer_call": "cu_",
    "computer_call_output": "cuo_",
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
        Entry(item if item_id(item) else with_id(item, new_id(PREFIXES.get(type_of(item), "item_"))))
        for item in map(_paired, items)
    )


def _paired(item: Item) -> Item:
    """The item with its call's id where that belongs: OpenAI's document has it in the `id` of a shell's output."""
    if isinstance(item, LocalShellCallOutput) and item.id and not item.call_id:
        return msgspec.structs.replace(item, call_id=item.id, id=UNSET)
    return item


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
    key = call_id_of(item) or answered_id_of(item)
    return None if key is None else (type(item), key)


def check_pairs(context: Sequence[Entry]) -> None:
    """Every call has its output and every output its call, as api.openai.com demands before it generates. One that was
    cut needs none: nobody could run it."""
    ids = _by_item(context)
    calls = {call_id_of(entry.item): entry.item for entry in context if entry.item is not None}
    outputs: dict[str, Item] = {}
    for entry in context:
        if entry.item is not None and (key := answered_id_of(entry.item)) is not None:
            outputs.setdefault(ids.get(key, key), entry.item)
    if orphans := outputs.keys() - calls.keys():
        orphan = min(orphans)
        kind = _spoken(outputs[orphan])
        raise InvalidRequestError(f"No tool call found for {kind} with call_id {orphan}.", param="input")
    owed = {key: item for key, item in calls.items() if key is not None and expects_output(item)}
    if unanswered := owed.keys() - outputs.keys():
        call_id = min(unanswered)
        raise InvalidRequestError(f"No tool output found for {_spoken(owed[call_id])} {call_id}.", param="input")


def _spoken(item: Item) -> str:
    """The item's type in words."""
    return type_of(item).replace("_", " ")


def call_ids(context: Collection[Entry]) -> set[str]:
    """The ids of all calls in it."""
    found = {entry.exchange.call_id for entry in context if entry.exchange is not None}
    found.update(key for entry in context if entry.item is not None and (key := call_id_of(entry.item)))
    return found


def _by_item(context: Sequence[Entry]) -> dict[str, str]:
    """The call ids by the ids of their items: some clients name the one where the other is asked for."""
    found: dict[str, str] = {}
    for entry in context:
        item = None if is_exchange(entry.exchange) else entry.item
        if item is not None and (call_id := call_id_of(item)) and (own := item_id(item)):
            found[own] = call_id
    return found


def instructed(instructions: str | None, context: Sequence[Entry]) -> tuple[Entry, ...]:
    """The context behind the instructions of its request."""
    if not instructions:
        return tuple(context)
    return (Entry(Message(role="developer", content=(InputText(text=instructions),))), *context)


def texts_given(context: Sequence[Entry]) -> Iterator[str]:
    """All texts in a context that the model did not write: instructions, messages of users, and what tools gave."""
    for entry in context:
        item = entry.item
        if is_exchange(entry.exchange):
            yield entry.exchange.output
        elif isinstance(item, Message):
            if item.role != "assistant":
                yield from _texts(item.content)
        elif item is not None and (told := answered(item)) is not None:
            yield from _texts(told[1])
        elif item is not None and (given := hosted_output(item)) is not None:
            yield given


def _texts(output: Output) -> Iterator[str]:
    if isinstance(output, str):
        yield output
        return
    yield from (part.text for part in output if isinstance(part, InputText | Text))


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
        self._outputs: dict[str, Output] = _outputs(context)
        self._reasoning_from = reasoning_from(dialect.send_reasoning, context)
        self._place = -1
        self._text: Any = None
        self._refusal: str | None = None
        self._thought: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._round: int | None = None

    def write(self, entry: Entry) -> None:
        self._place += 1
        if is_exchange(entry.exchange):
            self._exchange(entry.exchange)
            return
        item = entry.item
        match item:
            case Message():
                self._message(item)
            case Reasoning():
                self._reason(entry)
            case McpListTools() | AdditionalTools() | ItemReference() | None:
                pass  # tools are offered as functions; references were resolved before
            case _:
                self._used(item)

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

    def _reason(self, entry: Entry) -> None:
        if self._text is not None and not self._calls:
            self.flush()  # thought after an answer belongs to what comes next; between calls it keeps them together
        if self._place >= self._reasoning_from and (text := reasoning_text(entry)):
            self._thought.append(text)

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

    def _used(self, item: Item) -> None:
        """A call, an output, or a trace of something else that happened."""
        if (call := called(item)) is not None:
            self._called(item, call)
        elif answered_id_of(item) is not None:
            self.flush()  # itself told behind its call; the next call begins another message
        else:
            self._in_words(item)

    def _called(self, item: Item, call: Recalled) -> None:
        if call.call_id not in self._outputs and not expects_output(item):
            return  # it was cut: nobody ran it, and nobody can answer it
        self._call(call.call_id, call.name, call.arguments)

    def _call(self, call_id: str, name: str, arguments: str) -> None:
        function = {"name": name, "arguments": arguments}
        self._calls.append({"id": call_id, "type": "function", "function": function})

    def _exchange(self, exchange: Exchange) -> None:
        if self._round is not None and self._round != exchange.round:
            self.flush()
        self._round = exchange.round
        self._outputs[exchange.call_id] = exchange.output
        self._call(exchange.call_id, exchange.name, as_object(exchange.arguments))

    def _in_words(self, item: Item) -> None:
        """What has no form as a call: its item as text, so that the model knows of it."""
        self.flush()
        words = found_tools(item) if isinstance(item, ToolSearchOutput) else encode(item).decode()
        self.messages.append({"role": "assistant", "content": f"[{type_of(item)}] {words}"})


def _outputs(context: Sequence[Entry]) -> dict[str, Output]:
    """What the model is told of each call, by its id."""
    ids = _by_item(context)
    found: dict[str, Output] = {}
    for entry in context:
        item = entry.item
        if is_exchange(entry.exchange):
            continue  # it brings its output itself
        if item is not None and (given := hosted_output(item)) is not None:
            found[call_id_of(item) or ""] = given
        elif item is not None and (told := answered(item)) is not None:
            found[ids.get(told[0], told[0])] = told[1]
    return found


def reasoning_from(which: SendReasoning, context: Sequence[Entry]) -> int:
    """The place from which reasoning is sent back."""
    if which == "always":
        return 0
    if which == "drop":
        return len(context)
    for place in range(len(context) - 1, -1, -1):
        item = context[place].item
        if isinstance(item, Message) and item.role == "user":
            return place
    return 0
