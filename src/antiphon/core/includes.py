"""What of an item is shown: some fields of server-side tools are left out unless the client asked with `include`.

What clients gave themselves is always shown: whoever reads a conversation back must get the images it put there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from antiphon.wire.content import OutputText, Part
from antiphon.wire.items import CodeInterpreterCall, FileSearchCall, Item, Message, Reasoning, WebSearchCall
from antiphon.wire.responses import Response

SOURCES: Final = "web_search_call.action.sources"
FILE_RESULTS: Final = "file_search_call.results"
OUTPUTS: Final = "code_interpreter_call.outputs"
LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"


def shown(item: Item, include: Collection[str]) -> Item:
    """The item without what was not asked for; the same object where nothing has to go."""
    match item:
        case WebSearchCall(action=dict() as action) if "sources" in action and SOURCES not in include:
            return replace(item, action={key: value for key, value in action.items() if key != "sources"})
        case FileSearchCall(results=tuple()) if FILE_RESULTS not in include:
            return replace(item, results=None)
        case CodeInterpreterCall(outputs=tuple()) if OUTPUTS not in include:
            return replace(item, outputs=None)
        case Message(role="assistant") if LOGPROBS not in include and _has_logprobs(item):
            return replace(item, content=tuple(map(_without_logprobs, item.content)))
        case Reasoning(encrypted_content=str()) if ENCRYPTED not in include and (item.content or item.summary):
            return replace(item, encrypted_content=UNSET)
        case _:
            return item


def shown_all(items: Iterable[Item], include: Collection[str]) -> tuple[Item, ...]:
    """`shown` of each."""
    return tuple(shown(item, include) for item in items)


def shown_response(response: Response, include: Collection[str]) -> Response:
    """The response with its output as `shown`. One that was made with `top_logprobs` shows its log probabilities."""
    if response.top_logprobs:
        include = {*include, LOGPROBS}
    output = shown_all(response.output, include)
    if all(new is old for new, old in zip(output, response.output, strict=True)):
        return response
    return replace(response, output=output)


def _has_logprobs(message: Message) -> bool:
    return any(isinstance(part, OutputText) and part.logprobs for part in message.content)


def _without_logprobs(part: Part) -> Part:
    return replace(part, logprobs=()) if isinstance(part, OutputText) else part
