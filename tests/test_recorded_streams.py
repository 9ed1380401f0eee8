"""Every recorded chat stream, through the assembler: legal order, valid events, nothing lost.

The events are checked three ways: by the grammar, against OpenAI's document, and by the official client's types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.responses import Response as ClientResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from antiphon.core.chunks import ChunkReader
from antiphon.core.effects import Offer, Outcome
from antiphon.wire.codec import encode
from tests.core.plays import SEARCH, Play
from tests.grammar import check
from tests.recorded import Recording, chat_streams
from tests.schemas import validate
from tests.shared import SHARED, needs_shared

CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CLIENT_RESPONSE = TypeAdapter(ClientResponse)
GROUPS = 16


def group(number: int) -> Sequence[Recording]:
    return chat_streams()[number::GROUPS]


def played(recording: Recording, *offers: Offer) -> Play:
    """The recorded generation as a run: each chunk is a batch; a server-side call is answered and ends there. What was
    called had been offered, all of it by the client where no other offers are given."""
    play = Play(*(offers or [Offer(name) for name in dict(arguments(recording))]))
    reader = ChunkReader()
    for chunk in recording.chunks:
        play.tell(*reader.feed([encode(chunk)]))
    play.tell(reader.ended())
    return play


def texts(recording: Recording, *names: str) -> str:
    deltas = [choice["delta"] for chunk in recording.chunks for choice in chunk["choices"][:1]]
    return "".join(next((delta[name] for name in names if delta.get(name)), "") for delta in deltas)


def arguments(recording: Recording) -> list[tuple[str, str]]:
    calls: dict[int, list[str]] = {}
    for chunk in recording.chunks:
        for choice in chunk["choices"][:1]:
            for call in choice["delta"].get("tool_calls") or ():
                known = calls.setdefault(call["index"], ["", ""])
                known[0] += call["function"].get("name") or ""
                known[1] += call["function"].get("arguments") or ""
    return [(name, written or "{}") for name, written in calls.values()]


@needs_shared
@pytest.mark.parametrize("number", range(GROUPS))
def test_every_recorded_stream_becomes_a_legal_response_and_loses_nothing(number: int) -> None:
    for recording in group(number):
        play = played(recording)
        check(play.events)
        items = play.output
        said = "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"])
        assert said == texts(recording, "content"), recording.name
        thought = "".join(part["text"] for item in items if item["type"] == "reasoning" for part in item["content"])
        assert thought == texts(recording, "reasoning_content", "reasoning"), recording.name
        called = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
        assert called == arguments(recording), recording.name


@needs_shared
@pytest.mark.parametrize("number", range(GROUPS))
def test_every_event_is_valid_and_parses_in_the_official_client(number: int) -> None:
    for recording in group(number):
        play = played(recording)
        seen: dict[str, int] = {}
        for event in play.events:
            seen[event["type"]] = seen.get(event["type"], 0) + 1
            if event["type"].endswith(".delta") and seen[event["type"]] > 3:
                continue  # the thousandth delta is validated like the first three
            validate("ResponseStreamEvent", event)
            parsed = CLIENT_EVENT.validate_python(event)
            assert parsed.type == event["type"]
        final = play.events[-1]["response"]
        validate("Response", final)
        assert CLIENT_RESPONSE.validate_python(final).id == final["id"]


@needs_shared
def test_recorded_searches_become_server_side_items() -> None:
    found = 0
    for recording in chat_streams():
        names = [name for name, _ in arguments(recording)]
        if not names or set(names) != {"web_search"}:
            continue
        found += 1
        play = played(recording, SEARCH)
        calls = play.calls()
        assert [(call.name, call.arguments) for call in calls] == arguments(recording)
        play.tell(*[Outcome(call.call_id, "{}") for call in calls])
        play.cancel()
        check(play.events, terminal=False)
        for event in play.events:
            validate("ResponseStreamEvent", event)
    assert found >= 10


def test_the_recordings_are_all_there() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared folder is not beside this checkout")
    assert len(chat_streams()) >= 523
