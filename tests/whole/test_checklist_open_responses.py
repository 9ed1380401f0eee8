"""What Open Responses demands: its own document, and what its compliance suite asks of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

import jsonschema
import pytest

from antiphon.wire.codec import builtins
from antiphon.wire.errors import ServerError
from antiphon.wire.events import Event, event_type, nested_error_event
from tests.recorded import chat_streams
from tests.shared import SHARED, needs_shared
from tests.sockets import connected
from tests.test_recorded_streams import played
from tests.upstream import Upstream, speech
from tests.whole.house import DEADLINE, Json, Whole, fast, text_of, whole
from tests.whole.scripts import scripted
from tests.wire.test_events import EVENTS

PREFIX = "#/components/schemas/"
F: Json = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Validator(Protocol):
    def validate(self, instance: object) -> None: ...


@cache
def document() -> Json:
    return json.loads((SHARED / "spec" / "openresponses-openapi.json").read_bytes())


@cache
def validator(name: str) -> Validator:
    schema: Json = {"$ref": PREFIX + name, "components": document()["components"]}
    return cast("Validator", jsonschema.Draft202012Validator(schema))


@cache
def event_schemas() -> dict[str, str]:
    """The schema of each event that the document knows, by the event's type."""
    answer = document()["paths"]["/responses"]["post"]["responses"]["200"]["content"]["text/event-stream"]["schema"]
    names = [branch["$ref"].removeprefix(PREFIX) for branch in answer["oneOf"]]
    schemas = document()["components"]["schemas"]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


def fits(events: Sequence[Json]) -> None:
    for event in events:
        if name := event_schemas().get(event["type"]):
            validator(name).validate(event)


def says(text: str, **step: Any) -> Json:
    return {"acts": [{"act": "says", "text": text}], **step}


def calls(name: str) -> Json:
    return {"acts": [{"act": "calls", "calls": [{"name": name, "arguments": {}, "id": "call_1"}]}]}


ANSWERS: dict[str, Json] = {
    "text": says("Hello"),
    "a call": calls("weather"),
    "a refusal": {"acts": [{"act": "refuses", "text": "No."}]},
    "a summary": {"acts": [{"act": "reasons", "text": "Hm."}, {"act": "says", "text": "Yes."}]},
    "an answer that was cut": {"acts": [{"act": "says", "text": "Hel"}], "finish": "length"},
}


def asked(upstream: Upstream) -> Any:
    return upstream.exchanges[-1].json


@needs_shared
def test_every_event_that_it_knows_fits_the_document() -> None:
    nested = nested_error_event(ServerError("Broken."))
    nested.sequence_number = 7
    samples: list[Event] = [*(event for event in EVENTS if event_type(event) != "error"), nested]
    tested = {event_type(event) for event in samples} & event_schemas().keys()
    assert event_schemas().keys() - tested == {"response.reasoning.delta", "response.reasoning.done"}
    for event in samples:
        event.sequence_number = 7
        fits([builtins(event)])


@needs_shared
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_response_fits_the_document(answer: str, tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ANSWERS[answer])) as served:
        response = await served.create(model="m", input="Hi", tools=[F], reasoning={"summary": "auto"})
        validator("ResponseResource").validate(response)
        required = document()["components"]["schemas"]["ResponseResource"]["required"]
        assert len(required) == 31
        assert set(required) <= response.keys()
        for item in response["output"]:
            assert item["id"]
            assert None not in item.values()
        _, page = await served.ask("GET", f"/responses/{response['id']}/input_items")
        for item in page["data"]:
            validator("ItemField").validate(item)


@needs_shared
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_stream_fits_the_document(answer: str, tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ANSWERS[answer])) as served:
        events = await served.stream(model="m", input="Hi", tools=[F], reasoning={"summary": "auto"})
        assert {event["type"] for event in events} <= event_schemas().keys()
        fits(events)


@needs_shared
async def test_what_waits_and_what_fails_fits_the_document(tmp_path: Path) -> None:
    fails: Json = {"acts": [{"act": "says", "text": "Hel"}, {"act": "fails", "error": "rate_limit"}]}
    async with whole(tmp_path, **scripted(says("Hello"), fails)) as served:
        queued = await served.stream(model="m", input="Hi", background=True)
        failed = await served.stream(model="m", input="Hi")
        assert queued[1]["type"] == "response.queued"
        assert failed[-1]["type"] == "response.failed"
        fits([event for event in [*queued, *failed] if event["type"] != "error"])  # flat in a stream, as OpenAI has it


@needs_shared
async def test_an_error_on_a_websocket_fits_the_document(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(says("Hello"))) as served, connected(served.url) as socket:
        for wrong in ({"previous_response_id": "resp_unknown"}, {"input": 1}, {"background": True}):
            await socket.send(**{"input": "Hi", **wrong})
            validator("WebSocketErrorEvent").validate(await socket.event())
        await socket.send(input="Hi")
        fits(await socket.turn())


@needs_shared
def test_what_models_really_said_fits_the_document() -> None:
    for recording in chat_streams()[::8]:
        first = {event["type"]: event for event in reversed(played(recording).events)}
        fits([*first.values()])


@needs_shared
async def test_a_compaction_fits_the_document(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(says("Notes."))) as served:
        talk = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello Ada."}]
        status, made = await served.ask("POST", "/responses/compact", {"model": "m", "input": talk})
        assert status == 200
        validator("CompactResource").validate(made)
        assert made["usage"]["input_tokens_details"] is not None
        for item in made["output"]:
            assert item["id"]


async def test_a_phase_is_accepted_and_kept(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Ada."))
        said = [{"type": "output_text", "text": "Hello Ada."}]
        talk: list[Json] = [
            {"type": "message", "role": "user", "content": "I am Ada."},
            {"type": "message", "role": "assistant", "phase": "commentary", "content": said},
            {"type": "message", "role": "user", "content": "Who am I?"},
        ]
        response = await served.create(model="m", input=talk)
        assert [one["content"] for one in asked(upstream)["messages"]] == ["I am Ada.", "Hello Ada.", "Who am I?"]
        assert "phase" not in response["output"][0]
        _, page = await served.ask("GET", f"/responses/{response['id']}/input_items?order=asc")
        assert [item.get("phase") for item in page["data"]] == [None, "commentary", None]
        assert ["phase" in item for item in page["data"]] == [False, True, False]


async def test_a_system_message_reaches_the_model(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Ahoy"))
        talk = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Hi"}]
        assert text_of(await served.create(model="m", input=talk)) == "Ahoy"
        assert asked(upstream)["messages"] == talk


async def test_an_image_without_detail_reaches_the_model(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("A dot."))
        content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]
        await served.create(model="m", input=[{"role": "user", "content": content}])
        image = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "auto"}}
        assert asked(upstream)["messages"][0]["content"][1] == image


async def test_a_function_without_strict_is_called_without_being_forced(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(calls("weather"))) as served:
        response = await served.create(model="m", input="How is the weather?", tools=[F])
        assert [(item["type"], item["name"]) for item in response["output"]] == [("function_call", "weather")]
        assert response["output"][0]["call_id"] == "call_1"
        assert response["tools"][0]["strict"] is True


async def test_an_unknown_call_id_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        output = {"type": "function_call_output", "call_id": "call_unknown", "output": "1"}
        for stream in (False, True):
            body = {"model": "m", "input": [output], "stream": stream}
            status, answer = await served.ask("POST", "/responses", body)
            assert (status, answer["error"]["param"]) == (400, "input")
            assert "call_unknown" in answer["error"]["message"]
        assert upstream.exchanges == []


async def test_seventeen_requests_at_once(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(says("Hello", repeat=True))) as served, asyncio.timeout(DEADLINE):
        answers = await asyncio.gather(*(one(served, place) for place in range(17)))
        assert answers == ["Hello"] * 17
        assert len((await served.ask("GET", "/responses?limit=100"))[1]["data"]) == 17


async def one(served: Whole, place: int) -> str:
    """A response, streamed or not."""
    if place % 2:
        return text_of(await served.create(model="m", input="Hi"))
    return text_of((await served.stream(model="m", input="Hi"))[-1]["response"])
