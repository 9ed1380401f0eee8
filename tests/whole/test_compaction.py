"""Contexts that are too long: compacted by request, on the way, or cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from openai import BadRequestError

from antiphon.adapters.models.scripted import Scripted
from antiphon.adapters.seal import FILE
from antiphon.core.compaction import ASKED, TOLD
from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from tests.schemas import validate
from tests.shared import SHARED, needs_shared
from tests.whole.house import Json, Whole, text_of, whole

NOTES = "The user is called Ada and wants short answers."
LONG = "The quick brown fox jumps over the lazy dog. " * 150  # about 1,500 tokens
THRESHOLD = [{"type": "compaction", "compact_threshold": 1000}]


def says(text: str, **step: Any) -> Json:
    return {"acts": [{"act": "says", "text": text}], **step}


def summarises(text: str = NOTES, **step: Any) -> Json:
    """Only when a summary is asked for."""
    return says(text, when="is about to be replaced by notes", **step)


def overflows() -> Json:
    error = {"act": "fails", "error": "invalid_request", "code": "context_length_exceeded", "message": "Too long."}
    return {"acts": [error]}


@asynccontextmanager
async def house(data: Path, *steps: Json, **endpoint: Any) -> AsyncGenerator[Whole]:
    model = {"name": "s", "kind": "scripted", "steps": list(steps), **endpoint}
    async with whole(data, models=[model]) as served:
        yield served


def asked(served: Whole, place: int = -1) -> list[tuple[str, str]]:
    """What a generation of the scripted model was told."""
    model = cast("Scripted", served.composition.catalog.endpoints["s"])
    messages = chat_messages(model.asked[place], Dialect())
    return [(message["role"], message["content"]) for message in messages]


def generations(served: Whole) -> int:
    return len(cast("Scripted", served.composition.catalog.endpoints["s"]).asked)


def message(role: str, text: str) -> Json:
    return {"role": role, "content": text}


TALK = [message("user", "I am Ada."), message("assistant", "Hello Ada."), message("user", "Be short.")]


def kinds(items: Sequence[Json]) -> list[str]:
    return [item["type"] for item in items]


# by request


async def test_the_official_client_compacts_and_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path, summarises(), says("You are Ada.")) as served:
        made = await served.client.responses.compact(model="scripted", input=cast("Any", TALK), instructions="Be kind.")
        assert made.id.startswith("resp_")
        assert made.object == "response.compaction"
        assert asked(served) == [("system", "Be kind."), *((m["role"], m["content"]) for m in TALK), ("user", ASKED)]
        output = [item.model_dump(exclude_none=True, warnings=False) for item in made.output]
        assert kinds(output) == ["message", "message", "compaction"]
        assert [item["content"] for item in output[:2]] == [
            [{"type": "input_text", "text": "I am Ada."}],
            [{"type": "input_text", "text": "Be short."}],
        ]
        assert all(item["status"] == "completed" and item["id"].startswith("msg_") for item in output[:2])
        assert output[2]["id"].startswith("cmp_")
        assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
        assert made.usage.input_tokens_details is not None
        assert made.usage.output_tokens_details is not None

        answer = await served.client.responses.create(
            model="scripted", input=cast("Any", [*output, message("user", "Who am I?")])
        )
        assert answer.output_text == "You are Ada."
        assert asked(served) == [
            ("user", "I am Ada."),
            ("user", "Be short."),
            ("developer", TOLD + NOTES),
            ("user", "Who am I?"),
        ]


async def test_a_compacted_response_is_as_documented_and_not_stored(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello Ada."), summarises(), summarises("Newer notes.")) as served:
        first = await served.create(model="scripted", input="I am Ada.")
        body = {"model": "scripted", "previous_response_id": first["id"], "input": None}
        status, made = await served.ask("POST", "/responses/compact", body)
        assert status == 200
        if SHARED.is_dir():
            validate("CompactResource", made)
        assert list(made) == ["id", "object", "created_at", "output", "usage"]
        assert asked(served)[:-1] == [("user", "I am Ada."), ("assistant", "Hello Ada.")]
        for path in (f"/responses/{made['id']}", f"/responses/{made['id']}/input_items"):
            assert (await served.ask("GET", path))[0] == 404
        follow = {"model": "scripted", "input": "And?", "previous_response_id": made["id"]}
        status, answer = await served.ask("POST", "/responses", follow)
        assert (status, answer["error"]["code"]) == (400, "previous_response_not_found")
        status, again = await served.ask(
            "POST", "/responses/compact", {"model": "scripted", "input": [*made["output"], message("user", "And?")]}
        )
        assert status == 200
        assert kinds(again["output"]) == ["message", "message", "compaction"]
        assert (TOLD + NOTES) in dict(asked(served)[:-1])["developer"]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "Hi"}, "model", "missing_required_parameter"),
        ({"model": "scripted"}, "input", "missing_required_parameter"),
        ({"model": "nobody", "input": "Hi"}, "model", "model_not_found"),
        (
            {"model": "scripted", "previous_response_id": "resp_0"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        ({"model": "scripted", "previous_response_id": "msg_0"}, "previous_response_id", "invalid_value"),
        ({"model": "scripted", "input": "Hi", "stream": True}, "stream", "unknown_parameter"),
        ({"model": "scripted", "input": [{"type": "compaction", "encrypted_content": "x"}]}, None, None),
    ],
)
async def test_a_compaction_that_cannot_be_made_is_refused(
    tmp_path: Path, body: Json, param: str | None, code: str | None
) -> None:
    async with house(tmp_path) as served:
        status, answer = await served.ask("POST", "/responses/compact", body)
        assert status == 400
        assert answer["error"]["param"] == (param or "input[0].encrypted_content")
        assert answer["error"]["code"] == (code or "invalid_encrypted_content")


async def test_a_model_that_writes_no_summary_is_an_error(tmp_path: Path) -> None:
    async with house(tmp_path, says(" ")) as served:
        status, answer = await served.ask("POST", "/responses/compact", {"model": "scripted", "input": "Hi"})
        assert (status, answer["error"]["type"]) == (502, "server_error")


async def test_of_a_past_that_is_too_long_to_be_read_the_newer_part_is_summarised(tmp_path: Path) -> None:
    async with house(tmp_path, overflows(), summarises(), says("Hello.")) as served:
        status, made = await served.ask("POST", "/responses/compact", {"model": "scripted", "input": TALK})
        assert status == 200
        assert asked(served) == [("assistant", "Hello Ada."), ("user", "Be short."), ("user", ASKED)]
        await served.create(model="scripted", input=[*made["output"], message("user", "Hi")])
        notes = dict(asked(served))["developer"]
        assert notes == f"{TOLD}[Too long to be read: the oldest item was left out.]\n\n{NOTES}"


# on the way


async def test_a_long_context_is_compacted_within_the_stream_and_later_turns_start_there(tmp_path: Path) -> None:
    steps = (says("Hello Ada."), summarises(), says("Two."), says("Three."))
    async with house(tmp_path, *steps) as served:
        first = await served.create(model="scripted", input=f"I am Ada. {LONG}", context_management=THRESHOLD)
        assert kinds(first["output"]) == ["message"]  # there was nothing to summarise
        events = await served.stream(
            model="scripted", input="One and one?", previous_response_id=first["id"], context_management=THRESHOLD
        )
        second = events[-1]["response"]
        assert kinds(second["output"]) == ["compaction", "message"]
        assert [e["type"].removeprefix("response.") for e in events[2:5]] == [
            "output_item.added",
            "output_item.done",
            "output_item.added",
        ]
        told = [("developer", TOLD + NOTES), ("user", "One and one?")]
        assert asked(served) == told
        third = await served.create(model="scripted", input="And one?", previous_response_id=second["id"])
        assert asked(served) == [*told, ("assistant", "Two."), ("user", "And one?")]
        assert text_of(third) == "Three."
        listed = await served.client.responses.input_items.list(third["id"], order="asc", limit=100)
        assert kinds([item.model_dump() for item in listed.data]) == ["message"] * 3 + [
            "compaction",
            "message",
            "message",
        ]


async def test_a_stateless_client_may_drop_what_was_compacted(tmp_path: Path) -> None:
    asked_for: Json = {"model": "scripted", "store": False, "context_management": THRESHOLD}
    async with house(tmp_path, summarises(), says("Two."), says("Three."), says("Three.")) as served:
        history = [message("user", LONG), message("assistant", "Yes."), message("user", "One and one?")]
        first = await served.create(**asked_for, input=history)
        assert kinds(first["output"]) == ["compaction", "message"]
        more = [*first["output"], message("user", "And one?")]
        await served.create(**asked_for, input=more)
        dropped = asked(served)
        await served.create(**asked_for, input=[*history, *more])
        assert asked(served) == dropped
        assert dropped == [
            ("developer", TOLD + NOTES),
            ("user", "One and one?"),
            ("assistant", "Two."),
            ("user", "And one?"),
        ]


async def test_a_short_context_is_left_alone(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello.")) as served:
        response = await served.create(model="scripted", input=TALK, context_management=THRESHOLD)
        assert kinds(response["output"]) == ["message"]
        assert generations(served) == 1


async def test_a_summary_that_fails_fails_the_response(tmp_path: Path) -> None:
    async with house(tmp_path, says("")) as served:
        history = [message("user", LONG), message("assistant", "Yes."), message("user", "And?")]
        body = {"model": "scripted", "input": history, "context_management": THRESHOLD}
        status, answer = await served.ask("POST", "/responses", body)
        assert (status, answer["error"]["type"]) == (502, "server_error")


async def test_a_trigger_compacts_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello Ada."), summarises(), says("You are Ada.")) as served:
        first = await served.create(model="scripted", input="I am Ada.")
        trigger = {"type": "compaction_trigger"}
        second = await served.create(model="scripted", input=[trigger], previous_response_id=first["id"])
        assert kinds(second["output"]) == ["compaction"]
        third = await served.create(model="scripted", input="Who am I?", previous_response_id=second["id"])
        assert text_of(third) == "You are Ada."
        assert asked(served)[-2:] == [("developer", TOLD + NOTES), ("user", "Who am I?")]
        listed = await served.client.responses.input_items.list(second["id"])
        assert "compaction_trigger" not in kinds([item.model_dump() for item in listed.data])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([{"type": "compaction_trigger"}, message("user", "Hi")], "input[0]"),
        ([{"type": "compaction_trigger"}], "input"),
    ],
)
async def test_a_trigger_stands_last_and_has_something_to_compact(tmp_path: Path, given: Any, param: str) -> None:
    async with house(tmp_path) as served:
        status, answer = await served.ask("POST", "/responses", {"model": "scripted", "input": given})
        assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, param, "invalid_value")


# cut


async def test_an_input_longer_than_the_window_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello."), context_window=1000) as served:
        for stream in (False, True):
            with pytest.raises(BadRequestError) as refused:
                await served.client.responses.create(model="scripted", input=LONG, stream=stream)
            assert refused.value.code == "context_length_exceeded"
            assert refused.value.param == "input"
        assert generations(served) == 0
        assert text_of(await served.create(model="scripted", input="Hi")) == "Hello."


async def test_the_oldest_items_go_and_that_is_said(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello."), context_window=1000) as served:
        history = [message("system", "Be brief."), message("user", LONG), message("assistant", "Yes.")]
        body = {"model": "scripted", "input": [*history, message("user", "And?")], "truncation": "auto"}
        async with served.raw.post(f"{served.url}/v1/responses", json=body) as answer:
            assert answer.status == 200
            assert answer.headers["x-antiphon-warning"] == "truncation: the oldest item was not given to the model"
        assert asked(served) == [("system", "Be brief."), ("assistant", "Yes."), ("user", "And?")]


async def test_an_endpoint_that_says_too_long_is_asked_again_with_less(tmp_path: Path) -> None:
    async with house(tmp_path, overflows(), overflows(), says("Hello.")) as served:
        history = [message("user", f"{n}") for n in range(5)]
        body = {"model": "scripted", "input": history, "truncation": "auto"}
        async with served.raw.post(f"{served.url}/v1/responses", json=body) as answer:
            assert answer.status == 200
            assert text_of(await answer.json()) == "Hello."
            assert "the 3 oldest items" in answer.headers["x-antiphon-warning"]
        assert asked(served) == [("user", "3"), ("user", "4")]


@pytest.mark.parametrize("truncation", ["auto", "disabled"])
async def test_what_stays_too_long_is_refused(tmp_path: Path, truncation: str) -> None:
    async with house(tmp_path, overflows()) as served:
        body = {"model": "scripted", "input": "Hi", "truncation": truncation}
        status, answer = await served.ask("POST", "/responses", body)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


# keys


async def test_a_stored_chain_goes_on_when_the_key_has_changed(tmp_path: Path) -> None:
    history = [message("user", LONG), message("assistant", "Yes."), message("user", "One and one?")]
    async with house(tmp_path, summarises(), says("Two.")) as served:
        first = await served.create(model="scripted", input=history, context_management=THRESHOLD)
    (tmp_path / FILE).unlink()
    async with house(tmp_path, says("Three.")) as served:
        await served.create(model="scripted", input="And one?", previous_response_id=first["id"])
        assert asked(served)[0] == ("developer", TOLD + NOTES)


async def test_a_conversation_cannot_start_from_a_summary_that_nobody_can_read(tmp_path: Path) -> None:
    async with house(tmp_path, says("Hello.")) as served:
        items: Any = [{"type": "compaction", "encrypted_content": "forged"}, message("user", "Hi")]
        conversation = await served.client.conversations.create(items=items)
        body = {"model": "scripted", "input": "And?", "conversation": conversation.id}
        status, answer = await served.ask("POST", "/responses", body)
        assert (status, answer["error"]["param"]) == (400, "conversation")
        assert answer["error"]["code"] == "invalid_encrypted_content"


@needs_shared
async def test_the_recorded_case_below_the_threshold(tmp_path: Path) -> None:
    case = "test_context_management_no_compact_below_threshold[openai_client-txt=openai/gpt-4o]"
    async with whole(tmp_path, recordings={"dir": SHARED / "recordings", "case": case}) as served:
        response = await served.create(model="recorded/gpt-4o", input="Hello!", context_management=THRESHOLD)
        assert kinds(response["output"]) == ["message"]
