"""A stored response, and what came before it, as the store has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, UnsetType

from antiphon.core.effects import Entry
from antiphon.core.includes import ENCRYPTED, FILE_RESULTS, LOGPROBS, SOURCES
from antiphon.ports.storage import Storage
from antiphon.replay.runs.steps import Handed, Telling, UntoldError, events_in, handed, telling
from antiphon.wire.content import OutputText
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse, Include, ReasoningConfig, Response


class Past(Struct, frozen=True):
    """One response of a story: its new input and its output; its events, where they are kept."""

    response: Response
    input: tuple[Entry, ...]
    output: tuple[Entry, ...]
    events: tuple[dict[str, Any], ...] = ()

    @property
    def told(self) -> Telling:
        """What its run was told. Raises UntoldError."""
        return telling(self.response, self.output, self.events)

    @property
    def handed(self) -> list[Handed]:
        """What the calls of the server's tools gave."""
        return [found for entry in self.output if (found := handed(entry)) is not None]


class Story(Struct, frozen=True):
    """A chain of responses, the first one first; of a conversation `before` is what was in it."""

    pasts: tuple[Past, ...]
    before: tuple[Entry, ...] = ()


async def story(store: Storage, project: str, response_id: str) -> Story:
    """The response with its chain, or with what its conversation held. Raises UntoldError."""
    chain: list[Response] = []
    wanted: str | None = response_id
    while wanted is not None:
        response = await store.response(project, wanted)
        if response is None:
            what = "there is no such response" if not chain else f"its chain begins with {wanted}, which is gone"
            raise UntoldError(what)
        if response.status not in {"completed", "incomplete", "failed"}:
            raise UntoldError(f"{response.id} has the status '{response.status}'")
        chain.append(response)
        wanted = response.previous_response_id
    pasts: list[Past] = []
    known = 0
    for response in reversed(chain):
        entries = await store.chain(project, response.id)
        if entries is None:
            raise UntoldError(f"the items of {response.id} are gone")
        made = len(response.output)
        here = tuple(entries[known:])
        events = await _events(store, project, response)
        pasts.append(Past(response, here[: len(here) - made], here[len(here) - made :], events))
        known = len(entries)
    return Story(tuple(pasts), await _before(store, project, pasts[-1]))


async def _events(store: Storage, project: str, response: Response) -> tuple[dict[str, Any], ...]:
    """All events of a background response that was streamed; none of any other."""
    frames: list[bytes] = []
    after = -1
    while response.background:
        batches = await store.batches(project, response.id, after)
        if not batches:
            break
        frames += [batch.frames for batch in batches]
        after = batches[-1].last
    return tuple(events_in(b"".join(frames)))


async def _before(store: Storage, project: str, past: Past) -> tuple[Entry, ...]:
    """What its conversation held when the response began."""
    conversation = past.response.conversation
    if isinstance(conversation, UnsetType):
        return ()
    entries = await store.conversation_entries(project, conversation.id)
    if entries is None:
        raise UntoldError(f"its conversation {conversation.id} is gone")
    own = {id_of(entry) for entry in (*past.input, *past.output)}
    first = next((place for place, entry in enumerate(entries) if id_of(entry) in own), None)
    if first is None:
        raise UntoldError(f"its items are not in its conversation {conversation.id} any more")
    return tuple(entries[:first])


def id_of(entry: Entry) -> str | None:
    """The id of the entry's item."""
    return getattr(entry.item, "id", None) or None


def request_of(past: Past) -> CreateResponse:
    """The request that made this response, as far as the response tells: a parameter that has its default is taken for
    one that was not given. It is streamed."""
    response = past.response
    return CreateResponse(
        model=response.model,
        input=tuple(entry.item for entry in past.input if entry.item is not None),
        instructions=response.instructions,
        previous_response_id=response.previous_response_id,
        conversation=response.conversation or None,
        store=True,
        background=response.background,
        stream=True,
        include=tuple(_included(past)),
        tools=response.tools,
        tool_choice=response.tool_choice,
        parallel_tool_calls=response.parallel_tool_calls,
        max_tool_calls=response.max_tool_calls,
        max_output_tokens=response.max_output_tokens,
        temperature=_given(response.temperature, 1.0),
        top_p=_given(response.top_p, 1.0),
        top_logprobs=response.top_logprobs or None,
        presence_penalty=_given(response.presence_penalty, 0.0),
        frequency_penalty=_given(response.frequency_penalty, 0.0),
        text=response.text,
        reasoning=None if response.reasoning == ReasoningConfig() else response.reasoning,
        truncation=response.truncation,
        metadata=response.metadata,
        safety_identifier=response.safety_identifier,
        prompt_cache_key=response.prompt_cache_key,
        prompt_cache_options=response.prompt_cache_options or None,
        user=response.user,
    )


def forgotten(pasts: Sequence[Past]) -> list[str]:
    """Paths in what models were asked (see canon.Rules) of which the store does not know whether they were given: the
    responses have the defaults there."""
    found = ["service_tier", "tools.*.function.strict"]
    found += [name for name, default in _DEFAULTS.items() if all(getattr(p.response, name) == default for p in pasts)]
    return found


_DEFAULTS: Final = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


def _given(value: float, default: float) -> float | None:
    return None if value == default else value


def _included(past: Past) -> Sequence[Include]:
    """What the request must have asked for, to be shown what its events show."""
    shown = [event["item"] for event in past.events if event["type"] == "response.output_item.done"]
    found: list[Include] = []
    if any(item.get("results") is not None for item in shown if item["type"] == "file_search_call"):
        found.append(FILE_RESULTS)
    if any("sources" in (item.get("action") or {}) for item in shown if item["type"] == "web_search_call"):
        found.append(SOURCES)
    if any(item.get("encrypted_content") for item in shown if item["type"] == "reasoning"):
        found.append(ENCRYPTED)
    if not past.response.top_logprobs and any(_weighed(entry) for entry in past.output):
        found.append(LOGPROBS)
    return found


def _weighed(entry: Entry) -> bool:
    """Whether the entry holds log probabilities."""
    item = entry.item
    return isinstance(item, Message) and any(isinstance(part, OutputText) and part.logprobs for part in item.content)
