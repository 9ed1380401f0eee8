"""WebSockets through the whole server on a real port: responses, chains, lanes, and what is not served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sockets import Json, check_events, connected
from tests.whole.house import text_of, whole
from tests.whole.scripts import SAYS, model_of, scripted, texts, waiting

ORPHAN: list[Json] = [{"type": "function_call_output", "call_id": "call_unknown", "output": "x"}]


# one response after another


async def test_a_message_creates_a_response_as_a_post_does(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        response = await socket.create(input="Hi", stream=True, stream_options={"include_obfuscation": False})
        assert text_of(response) == "Hello"
        assert (await served.client.responses.retrieve(response["id"])).output_text == "Hello"


async def test_responses_follow_each_other_on_one_connection(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One")
        second = await socket.create(input="Two")
        assert first["id"] != second["id"]
        assert texts(served) == ["Two"]


async def test_requests_that_come_at_once_are_answered_in_order(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        for number in range(10):
            await socket.send(input="Hi", metadata={"n": str(number)})
        await socket.raw("garbage")
        await socket.send(input="Hi", metadata={"n": "10"})
        turns = [(await socket.turn())[-1]["response"]["metadata"]["n"] for _ in range(10)]
        assert turns == [str(number) for number in range(10)]
        assert (await socket.error())["code"] == "invalid_json"
        await socket.turn()
        assert len(model_of(served).asked) == 11


async def test_the_path_without_v1_is_served_too(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url, "/responses") as socket:
        assert text_of(await socket.create(input="Hi")) == "Hello"


async def test_a_failed_model_ends_the_response_once(tmp_path: Path) -> None:
    """No `error` event goes before `response.failed`: either alone would be the end for a client."""
    fails = {"acts": [{"act": "says", "text": "Hel"}, {"act": "fails", "error": "rate_limit"}]}
    async with whole(tmp_path, **scripted(fails, SAYS)) as served, connected(served.url) as socket:
        await socket.send(input="Hi")
        events = await socket.turn()
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["error"]["code"] == "rate_limit_exceeded"
        assert text_of(await socket.create(input="Hi")) == "Hello"


# chains


async def test_a_chain_that_nothing_stores_goes_on_where_it_was_made(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One", store=False)
        second = await socket.create(input="Two", store=False, previous_response_id=first["id"])
        await socket.create(input="Three", store=False, previous_response_id=second["id"])
        assert texts(served) == ["One", "Hello", "Two", "Hello", "Three"]
        await socket.create(input="Other", store=False, previous_response_id=first["id"])
        assert texts(served) == ["One", "Hello", "Other"]
        status, _ = await served.ask("GET", f"/responses/{first['id']}")
        assert status == 404


async def test_another_connection_does_not_know_the_chain(tmp_path: Path) -> None:
    """Recovery: the client sends the whole context again on the new connection."""
    async with whole(tmp_path, **scripted(SAYS)) as served:
        async with connected(served.url) as socket:
            first = await socket.create(input="One", store=False)
        async with connected(served.url) as socket:
            error = await socket.refusal(input="Two", store=False, previous_response_id=first["id"])
            assert (error["status"], error["code"]) == (400, "previous_response_not_found")
            assert error["param"] == "previous_response_id"
            again: list[Any] = [
                {"role": "user", "content": "One"},
                *first["output"],
                {"role": "user", "content": "Two"},
            ]
            second = await socket.create(input=again, store=False)
            await socket.create(input="Three", store=False, previous_response_id=second["id"])
            assert texts(served) == ["One", "Hello", "Two", "Hello", "Three"]
        status, answer = await served.ask(
            "POST", "/responses", {"model": "m", "input": "x", "previous_response_id": first["id"]}
        )
        assert (status, answer["error"]["code"]) == (400, "previous_response_not_found")


async def test_a_stored_chain_goes_on_anywhere(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served:
        async with connected(served.url) as socket:
            first = await socket.create(input="One")
        async with connected(served.url) as socket:
            second = await socket.create(input="Two", previous_response_id=first["id"])
        await served.create(model="m", input="Three", previous_response_id=second["id"])
        assert texts(served) == ["One", "Hello", "Two", "Hello", "Three"]


async def test_a_stored_response_behind_one_that_is_not_goes_on_here(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One", store=False)
        second = await socket.create(input="Two", store=True, previous_response_id=first["id"])
        await socket.create(input="Three", previous_response_id=second["id"])
        assert texts(served) == ["One", "Hello", "Two", "Hello", "Three"]


@pytest.mark.parametrize(
    "failing",
    [
        {"input": ORPHAN},
        {"input": "x", "nonsense": 1},
        {"input": "x", "model": "nobody"},
        {"input": "boom"},
    ],
)
async def test_a_failed_continuation_forgets_what_it_continued(tmp_path: Path, failing: Json) -> None:
    fails = {"acts": [{"act": "fails"}], "when": "boom"}
    async with whole(tmp_path, **scripted(fails, SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One", store=False)
        await socket.send(store=False, previous_response_id=first["id"], **failing)
        while (event := await socket.event())["type"] not in {"error", "response.failed"}:
            pass
        error = await socket.refusal(input="Two", store=False, previous_response_id=first["id"])
        assert error["code"] == "previous_response_not_found", event
        assert text_of(await socket.create(input="Three", store=False)) == "Hello"


async def test_a_connection_remembers_a_bounded_number_of_responses(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"websocket": {"memory_responses": 2}, **scripted(SAYS)}
    async with whole(tmp_path, **settings) as served, connected(served.url) as socket:
        ids = [(await socket.create(input="Hi", store=False))["id"] for _ in range(3)]
        error = await socket.refusal(input="More", store=False, previous_response_id=ids[0])
        assert error["code"] == "previous_response_not_found"
        await socket.create(input="More", store=False, previous_response_id=ids[1])


async def test_a_warm_up_makes_an_empty_response_that_can_be_continued(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        await socket.send(input="Instructions", store=False, generate=False)
        events = await socket.turn()
        assert [event["type"][9:] for event in events] == ["created", "in_progress", "completed"]
        warm = events[-1]["response"]
        assert (warm["output"], warm["usage"]["total_tokens"]) == ([], 0)
        assert not model_of(served).asked
        await socket.create(input="Hi", store=False, previous_response_id=warm["id"])
        assert texts(served) == ["Instructions", "Hi"]
        await socket.create(generate=False, store=False)


async def test_a_stored_warm_up_can_be_continued_anywhere(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served:
        async with connected(served.url) as socket:
            warm = await socket.create(input="Instructions", generate=False)
        await served.create(model="m", input="Hi", previous_response_id=warm["id"])
        assert texts(served) == ["Instructions", "Hi"]


async def test_a_compacted_context_begins_a_new_chain(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One")
        asked = {"model": "m", "previous_response_id": first["id"]}
        status, compacted = await served.ask("POST", "/responses/compact", asked)
        assert status == 200, compacted
        again: list[Any] = [*compacted["output"], {"role": "user", "content": "Two"}]
        second = await socket.create(input=again, store=False, previous_response_id=None)
        await socket.create(input="Three", store=False, previous_response_id=second["id"])
        assert texts(served)[0] == "One"
        assert texts(served)[-3:] == ["Two", "Hello", "Three"]


# lanes


async def test_lanes_run_side_by_side_and_events_say_whose_they_are(tmp_path: Path) -> None:
    steps = (waiting("slow"), SAYS)
    async with whole(tmp_path, **scripted(*steps)) as served, connected(served.url) as socket:
        await socket.send(input="slow", stream_id="a")
        await model_of(served).reached("slow")
        await socket.send(input="behind it", stream_id="a")
        await socket.send(input="quick", stream_id="b.1")
        found: dict[str | None, list[Json]] = {}
        ended: list[str] = []
        while len(ended) < 3:
            event = await socket.event()
            found.setdefault(event["response"]["id"] if "response" in event else None, []).append(event)
            if event["type"] == "response.completed":
                ended.append(event["stream_id"])
                model_of(served).open("slow")
        assert ended == ["b.1", "a", "a"]


async def test_events_of_one_lane_are_a_stream(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        lanes = [f"lane-{number}" for number in range(20)]
        for lane in lanes:
            await socket.send(input="Hi", stream_id=lane)
        events: dict[str, list[Json]] = {lane: [] for lane in lanes}
        left = len(lanes)
        while left:
            event = await socket.event()
            events[event["stream_id"]].append(event)
            left -= event["type"] == "response.completed"
        for lane in lanes:
            check_events(events[lane])


async def test_a_lane_can_go_on_from_another(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        first = await socket.create(input="One", store=False, stream_id="a")
        await socket.create(input="Two", store=False, stream_id="b", previous_response_id=first["id"])
        assert texts(served) == ["One", "Hello", "Two"]


async def test_an_error_names_its_lane(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        assert (await socket.refusal(input="x", nonsense=1, stream_id="a"))["stream_id"] == "a"
        assert (await socket.refusal(input="x", model="nobody", stream_id="b"))["stream_id"] == "b"
        error = await socket.refusal(input="x", stream_id="not a lane")
        assert (error["param"], error["stream_id"]) == ("stream_id", None)


async def test_requests_beyond_the_bound_are_refused_and_the_others_served(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"websocket": {"lanes": 1, "waiting": 2}, **scripted(waiting("gate"), SAYS)}
    async with whole(tmp_path, **settings) as served, connected(served.url) as socket:
        await socket.send(input="gate")
        await model_of(served).reached("gate")
        for lane in ("a", "b", "c"):
            await socket.send(input="Hi", stream_id=lane)
        await socket.event()
        await socket.event()
        error = await socket.error()
        assert (error["status"], error["code"], error["stream_id"]) == (429, "rate_limit_exceeded", "c")
        model_of(served).open("gate")
        ended: list[str | None] = []
        while len(ended) < 3:
            event = await socket.event()
            if event["type"] == "response.completed":
                ended.append(event.get("stream_id"))
        assert ended == [None, "a", "b"]


# what is not served


async def test_background_is_refused(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(SAYS)) as served, connected(served.url) as socket:
        error = await socket.refusal(input="x", background=True)
        assert (error["param"], error["code"]) == ("background", "unsupported_parameter")


async def test_input_for_a_response_that_is_being_made_is_given_back(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(waiting("gate"), SAYS)) as served, connected(served.url) as socket:
        await socket.send(input="gate", store=False, stream_id="a")
        response = (await socket.event())["response"]["id"]
        await socket.event()
        message = {"role": "user", "content": "Wait"}
        steer = {"type": "response.steer", "previous_response_id": response, "input": [message]}
        inject = {"type": "response.inject", "response_id": response, "input": [message]}
        await socket.raw(json.dumps(steer))
        failed = await socket.event()
        assert (failed["type"], failed["stream_id"]) == ("response.steer.failed", "a")
        assert failed["steer"] == {"input": [message], "previous_response_id": response}
        assert failed["error"]["code"] == "steering_not_supported"
        await socket.raw(json.dumps(inject))
        failed = await socket.event()
        assert (failed["type"], failed["response_id"], failed["input"]) == (
            "response.inject.failed",
            response,
            [message],
        )
        model_of(served).open("gate")
        while (await socket.event())["type"] != "response.completed":
            pass
        for asked, code in ((steer, "response_already_completed"), ({**steer, "previous_response_id": "resp_x"}, None)):
            await socket.raw(json.dumps(asked))
            assert (await socket.event())["error"]["code"] == (code or "response_not_found")
        await socket.raw(json.dumps({"type": "response.inject"}))
        assert (await socket.error())["param"] == "response_id"
