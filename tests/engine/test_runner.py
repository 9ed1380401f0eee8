"""Runs over a real store: what is stored, what is told, what happens when things break."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.models.scripted import Calling, Calls, Cuts, Fails, Says, Step, Waits
from antiphon.core.limits import Limits
from antiphon.ports.store import PageQuery
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import InvalidRequestError, ModelError, NotFoundError, OverloadedError, RateLimitError
from antiphon.wire.items import Message
from antiphon.wire.requests import parse_create
from tests.engine.stage import DEADLINE, Stage, staged
from tests.grammar import check

SEARCH: dict[str, Any] = {"type": "web_search"}
CODE: dict[str, Any] = {"type": "code_interpreter", "container": {"type": "auto"}}


def says(*pieces: str) -> Step:
    return Step((Says(pieces),))


def searches(*queries: str) -> Step:
    return Step((Calls(tuple(Calling("web_search", {"query": query}, id=f"c{n}") for n, query in enumerate(queries))),))


def request(**body: Any) -> Any:
    return parse_create(json.dumps({"model": "scripted", "input": "Hi", **body}).encode())


def text_of(response: Any) -> str:
    return "".join(part.text for item in response.output if hasattr(item, "content") for part in item.content)


def asked(stage: Stage, turn: int = -1) -> list[str]:
    """The texts the model was given, oldest first."""
    messages = [entry.item for entry in stage.model.asked[turn].context if isinstance(entry.item, Message)]
    return ["".join(getattr(part, "text", "") for part in message.content) for message in messages]


async def test_a_streamed_turn_is_legal_and_is_what_is_stored(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hel", "lo")) as stage:
        events = await stage.stream(input="Hi")
        check(events)
        stored = await stage.runner.retrieve("default", events[-1]["response"]["id"])
        assert text_of(stored) == "Hello"
        assert stored.status == "completed"


async def test_non_streaming_is_the_last_event_of_streaming(tmp_path: Path) -> None:
    async with staged(tmp_path, says("Hello")) as stage:
        response = await stage.create(input="Hi")
        assert response == await stage.runner.retrieve("default", response.id)


async def test_a_chain_carries_the_history_and_branches(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one"), says("two"), says("three")) as stage:
        first = await stage.create(input="1")
        await stage.create(input="2", previous_response_id=first.id)
        assert asked(stage) == ["1", "one", "2"]
        branch = await stage.create(input="3", previous_response_id=first.id)
        assert asked(stage) == ["1", "one", "3"]
        listed = await stage.runner.input_items("default", branch.id, PageQuery(order="asc"))
        assert len(listed.items) == 3


async def test_a_chain_survives_a_restart(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one")) as stage:
        first = await stage.create(input="1")
    async with staged(tmp_path, says("two")) as stage:
        await stage.create(input="2", previous_response_id=first.id)
        assert asked(stage) == ["1", "one", "2"]


async def test_instructions_are_not_inherited(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one"), says("two")) as stage:
        first = await stage.create(input="1", instructions="Be brief.")
        second = await stage.create(input="2", previous_response_id=first.id)
        assert second.instructions is None
        assert stage.model.asked[-1].request.instructions is None


async def test_a_turn_with_a_server_tool_is_remembered_with_its_result(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("cats"), says("Cats."), says("Again.")) as stage:
        events = await stage.stream(input="Hi", tools=[SEARCH])
        check(events)
        await stage.create(input="More", previous_response_id=events[-1]["response"]["id"])
        exchanges = [e.exchange.output for e in stage.model.asked[-1].context if e.exchange is not None]
        assert exchanges == ["results for cats"]


async def test_server_tools_of_one_round_run_concurrently(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("a", "b", "c"), says("ok")) as stage:
        stage.searches.gate.clear()
        turn = asyncio.ensure_future(stage.stream(input="Hi", tools=[SEARCH]))
        await stage.searches.busy(3)
        stage.searches.gate.set()
        check(await turn)
        assert stage.searches.most == 3


async def test_the_limit_of_parallel_tools_holds(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("a", "b", "c"), says("ok"), limits=Limits(parallel_tools=2)) as stage:
        stage.searches.gate.clear()
        turn = asyncio.ensure_future(stage.create(input="Hi", tools=[SEARCH]))
        await stage.searches.busy(2)
        stage.searches.gate.set()
        await turn
        assert stage.searches.most == 2


async def test_long_tool_output_is_cut_and_that_is_said(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("x" * 500), says("ok"), limits=Limits(tool_output=100)) as stage:
        await stage.create(input="Hi", tools=[SEARCH])
        exchange = stage.model.asked[-1].context[-1].exchange
        assert exchange is not None
        assert exchange.output.endswith("[cut: the first 100 of 512 bytes]")


async def test_a_fault_in_a_tool_ends_in_a_failed_response(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("boom"), says("never")) as stage:
        events = await stage.stream(input="Hi", tools=[SEARCH])
        check(events)
        assert events[-1]["response"]["error"] == {"code": "server_error", "message": "The server had an error."}


async def test_a_model_error_before_any_output_is_raised_and_the_row_is_terminal(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Fails("rate_limit", "Slow down.", retry_after=3),)), says("ok")) as stage:
        with pytest.raises(RateLimitError) as caught:
            await stage.create(input="Hi")
        assert caught.value.retry_after == 3
        events = await stage.stream(input="Hi")
        assert events[-1]["type"] == "response.completed"


async def test_a_model_error_in_a_stream_is_told_as_failed(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Says(("Hel",)), Fails("model", "The endpoint broke.")))) as stage:
        events = await stage.stream(input="Hi")
        check(events)
        assert events[-1]["type"] == "response.failed"
        stored = await stage.runner.retrieve("default", events[-1]["response"]["id"])
        assert stored.status == "failed"
        assert stored.error is not None
        assert stored.error.message == "The endpoint broke."


async def test_a_cut_stream_leaves_what_was_said_and_the_chain_goes_on(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Says(("Hel",)), Cuts())), says("two")) as stage:
        response = await stage.create(input="1")
        assert response.status == "failed"
        assert text_of(response) == "Hel"
        following = await stage.create(input="2", previous_response_id=response.id)
        assert following.status == "completed"


async def test_a_reader_that_leaves_stops_the_upstream_and_the_row_is_terminal(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Says(("Hel",)), Waits(gate="never")))) as stage:
        journal = await stage.runner.start("default", request(stream=True))
        await stage.model.reached("never")
        assert (await stage.runner.retrieve("default", journal.response_id)).status == "in_progress"
        journal.abandon()
        async with asyncio.timeout(DEADLINE):
            response = await journal.last()
        assert response.status == "cancelled"
        assert stage.model.closed == 1
        assert (await stage.runner.retrieve("default", journal.response_id)).status == "cancelled"


async def test_tools_of_an_abandoned_run_are_stopped(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("a")) as stage:
        stage.searches.gate.clear()
        journal = await stage.runner.start("default", request(tools=[SEARCH]))
        await stage.searches.busy(1)
        journal.abandon()
        async with asyncio.timeout(DEADLINE):
            await journal.last()
        assert stage.searches.cancelled == 1


async def test_a_run_that_takes_too_long_fails(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Says(("x",)), Waits(gate="never"))), limits=Limits(run_seconds=0.05)) as stage:
        response = await stage.create(input="Hi")
        assert response.status == "failed"


async def test_store_false_leaves_nothing_behind(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one")) as stage:
        response = await stage.create(input="Hi", store=False)
        with pytest.raises(NotFoundError):
            await stage.runner.retrieve("default", response.id)
        with pytest.raises(InvalidRequestError) as caught:
            await stage.create(input="Hi", previous_response_id=response.id)
        assert caught.value.code == "previous_response_not_found"
        item_id = getattr(response.output[0], "id", "")
        with pytest.raises(NotFoundError, match="Items are not persisted"):
            await stage.create(input=[{"type": "item_reference", "id": item_id}])


async def test_an_item_reference_stands_for_the_stored_item(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one"), says("two")) as stage:
        first = await stage.create(input="1")
        item_id = getattr(first.output[0], "id", "")
        await stage.create(input=[{"type": "item_reference", "id": item_id}, {"role": "user", "content": "2"}])
        assert asked(stage) == ["one", "2"]


async def test_another_projects_response_is_one_that_does_not_exist(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one")) as stage:
        response = await stage.create(input="1")
        for unknown in (response.id, "resp_" + "0" * 48):
            with pytest.raises(NotFoundError) as caught:
                await stage.runner.retrieve("other", unknown)
            assert caught.value.message == f"Response with id '{unknown}' not found."


async def test_turns_of_a_conversation_are_appended_and_a_second_writer_is_locked_out(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Waits(gate="go"), Says("one"))), says("two")) as stage:
        await stage.store.create_conversation("default", Conversation(id="conv_1", created_at=1), ())
        first = await stage.runner.start("default", request(conversation="conv_1"))
        with pytest.raises(InvalidRequestError) as caught:
            await stage.create(input="x", conversation="conv_1")
        assert caught.value.code == "conversation_locked"
        stage.model.open("go")
        async with asyncio.timeout(DEADLINE):
            await first.last()
        await stage.create(input="2", conversation="conv_1")
        assert asked(stage) == ["Hi", "one", "2"]
        entries = await stage.store.conversation_entries("default", "conv_1")
        assert entries is not None
        assert len(entries) == 4


async def test_a_failed_turn_adds_nothing_to_its_conversation_and_unlocks_it(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Fails(),)), says("two")) as stage:
        await stage.store.create_conversation("default", Conversation(id="conv_1", created_at=1), ())
        with pytest.raises(ModelError):
            await stage.create(input="1", conversation="conv_1")
        await stage.create(input="2", conversation="conv_1")
        assert asked(stage) == ["2"]


async def test_a_refused_request_unlocks_its_conversation(tmp_path: Path) -> None:
    async with staged(tmp_path, says("ok")) as stage:
        await stage.store.create_conversation("default", Conversation(id="conv_1", created_at=1), ())
        with pytest.raises(InvalidRequestError):
            await stage.create(input="1", conversation="conv_1", model="nobody")
        await stage.create(input="2", conversation="conv_1")


async def test_store_false_in_a_conversation_reads_it_and_adds_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one"), says("two")) as stage:
        await stage.store.create_conversation("default", Conversation(id="conv_1", created_at=1), ())
        await stage.create(input="1", conversation="conv_1")
        await stage.create(input="2", conversation="conv_1", store=False)
        assert asked(stage) == ["1", "one", "2"]
        entries = await stage.store.conversation_entries("default", "conv_1")
        assert entries is not None
        assert len(entries) == 2


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"model": "nobody"}, "model_not_found", "model"),
        ({"previous_response_id": "resp_nobody"}, "previous_response_not_found", "previous_response_id"),
        ({"tools": [CODE], "tool_choice": {"type": "code_interpreter"}}, "unsupported_value", "tools[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, None, "input"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(
    tmp_path: Path, body: dict[str, Any], code: str, param: str
) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(InvalidRequestError) as caught:
            await stage.create(**{"input": "Hi", **body})
        assert (caught.value.code, caught.value.param) == (code, param)


async def test_an_unknown_conversation_is_not_found(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(NotFoundError, match="Conversation with id 'conv_x' not found"):
            await stage.create(input="Hi", conversation="conv_x")


async def test_a_tool_that_is_not_served_is_ignored_with_a_warning(tmp_path: Path) -> None:
    async with staged(tmp_path, says("ok")) as stage:
        journal = await stage.runner.start("default", request(tools=[CODE]))
        assert "code_interpreter" in journal.warnings[0]
        async with asyncio.timeout(DEADLINE):
            assert (await journal.last()).status == "completed"


async def test_allowed_tools_are_all_that_the_model_is_shown(tmp_path: Path) -> None:
    async with staged(tmp_path, says("ok")) as stage:
        tools: list[dict[str, Any]] = [SEARCH, {"type": "function", "name": "f", "parameters": {}}]
        choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
        await stage.create(input="Hi", tools=tools, tool_choice=choice)
        assert [offer.name for offer in stage.model.asked[0].offers] == ["f"]
        assert stage.model.asked[0].tool_choice == "required"


async def test_a_hosted_tool_is_forced_by_its_type(tmp_path: Path) -> None:
    async with staged(tmp_path, searches("a"), says("ok")) as stage:
        await stage.create(input="Hi", tools=[SEARCH], tool_choice={"type": "web_search"})
        assert getattr(stage.model.asked[0].tool_choice, "name", "") == "web_search"
        assert stage.model.asked[1].tool_choice == "auto"


async def test_the_limit_of_live_runs_holds(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Waits(gate="never"),)), limits=Limits(live_runs=1)) as stage:
        await stage.runner.start("default", request())
        with pytest.raises(OverloadedError):
            await stage.create(input="Hi")


async def test_one_project_leaves_room_for_another(tmp_path: Path) -> None:
    limits = Limits(live_runs=3, live_runs_project=1)
    async with staged(tmp_path, Step((Waits(gate="never"),)), Step((Waits(gate="never"),)), limits=limits) as stage:
        await stage.runner.start("default", request())
        with pytest.raises(OverloadedError):
            await stage.create(input="Hi")
        await stage.runner.start("other", request())


async def test_a_run_that_has_ended_or_never_began_takes_no_room(tmp_path: Path) -> None:
    async with staged(tmp_path, *(says("ok") for _ in range(3)), limits=Limits(live_runs=1)) as stage:
        for _ in range(3):
            with pytest.raises(InvalidRequestError):
                await stage.create(input="Hi", previous_response_id="resp_unknown")
            assert (await stage.create(input="Hi")).status == "completed"


async def test_room_is_taken_before_anything_is_waited_for(tmp_path: Path) -> None:
    async with staged(tmp_path, *(Step((Waits(gate="never"),)) for _ in range(4)), limits=Limits(live_runs=2)) as stage:
        for number in range(4):
            await stage.store.create_conversation("default", Conversation(id=f"conv_{number}", created_at=1), ())
        asked = [stage.runner.start("default", request(conversation=f"conv_{number}")) for number in range(4)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, OverloadedError) for each in found] == [False, False, True, True]


async def test_draining_cancels_what_does_not_end_in_time_and_stores_it(tmp_path: Path) -> None:
    async with staged(tmp_path, Step((Says(("Hel",)), Waits(gate="never")))) as stage:
        journal = await stage.runner.start("default", request())
        await stage.model.reached("never")
        await stage.runner.drain(0.01)
        assert (await stage.runner.retrieve("default", journal.response_id)).status == "cancelled"
        with pytest.raises(OverloadedError):
            await stage.create(input="Hi")


async def test_deleting_breaks_the_chain(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one"), says("two")) as stage:
        first = await stage.create(input="1")
        await stage.runner.delete("default", first.id)
        with pytest.raises(NotFoundError):
            await stage.runner.delete("default", first.id)
        with pytest.raises(InvalidRequestError):
            await stage.create(input="2", previous_response_id=first.id)


async def test_a_foreground_response_cannot_be_cancelled(tmp_path: Path) -> None:
    async with staged(tmp_path, says("one")) as stage:
        first = await stage.create(input="1")
        with pytest.raises(InvalidRequestError, match="background=true"):
            await stage.runner.cancel("default", first.id)
