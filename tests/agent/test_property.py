"""Random legal scripts of a server: every turn obeys the grammar, tells all that the server said, and leaves a session
that can be used. Both agents tell the same.

`ANTIPHON_LONG=1` plays 10,000 scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI

from antiphon.agent.events import (
    AnnotationDelta,
    ApprovalRequested,
    InferenceStepResult,
    ReasoningDelta,
    RefusalDelta,
    StepCompleted,
    StepProgress,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    TurnCompleted,
)
from tests.agent.grammar import canonical, check, failed
from tests.agent.scripts import SCRIPTS, Json, Script
from tests.agent.site import CALLS, Ledger, Site, async_direct, direct, open_site, unsettled
from tests.agent.turns import Chunks, agent, aplay, async_agent, play
from tests.long import amount

SCRIPTS_PLAYED: Final = amount(200, 10_000)
OVER_HTTP: Final = amount(20, 500)
TURNS: Final = 6
"""More than a script has replies."""
QUIET: Final = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

ANSWERS: Final[dict[str, bool | str | None]] = {"yes": True, "no": "Not today.", "later": None}
MANNERS: Final[st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries(
    {
        "continuity": st.sampled_from(["conversation", "response", "stateless"]),
        "collapse_empty_steps": st.booleans(),
        "approve": st.sampled_from([None, *ANSWERS]),
        "background": st.sampled_from([None, None, True]),
    }
)
"""Ways of an agent."""


def told(chunks: Chunks) -> dict[str, Any]:
    """What a turn told of what a server said."""
    deltas = [chunk.event.delta for chunk in chunks if isinstance(chunk.event, StepProgress)]

    def said(kind: type) -> str:
        return "".join(delta.text for delta in deltas if isinstance(delta, kind))  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType] - of the kinds with a text

    results = [chunk.event.result for chunk in chunks if isinstance(chunk.event, StepCompleted)]
    calls = [call for result in results if isinstance(result, InferenceStepResult) for call in result.function_calls]
    return {
        "text": said(TextDelta),
        "refusal": said(RefusalDelta),
        "reasoning": said(ReasoningDelta),
        "annotations": sum(isinstance(delta, AnnotationDelta) for delta in deltas),
        "arguments": "".join(delta.arguments_delta for delta in deltas if isinstance(delta, ToolCallDelta)),
        "approvals": sum(isinstance(chunk.event, ApprovalRequested) for chunk in chunks),
        "calls": sorted((call.call_id, call.tool_name) for call in calls),
    }


def said(events: list[Json]) -> dict[str, Any]:
    """The same, from the events that the server sent."""

    def joined(*kinds: str) -> str:
        return "".join(
            event["delta"] for event in events if event["type"] in {f"response.{kind}.delta" for kind in kinds}
        )

    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"]["type"] for event in events if event["type"] == "response.output_item.done"]
    written = ("function_call_arguments", "custom_tool_call_input", "mcp_call_arguments", "code_interpreter_call_code")
    return {
        "text": joined("output_text"),
        "refusal": joined("refusal"),
        "reasoning": joined("reasoning_summary_text", "reasoning_text"),
        "annotations": sum(event["type"] == "response.output_text.annotation.added" for event in events),
        "arguments": joined(*written),
        "approvals": done.count("mcp_approval_request"),
        "calls": sorted((item["call_id"], item["name"]) for item in added if item["type"] in CALLS),
    }


def judge(turns: list[Chunks], ledger: Ledger, *, collapsed: bool) -> None:
    """The turns of one session, the last of which met a server that is well."""
    for chunks in turns:
        check(chunks, collapsed=collapsed)
    assert ledger.refused == [], "the session was poisoned"
    assert ledger.repeated == []
    last = turns[-1][-1].event
    assert isinstance(last, TurnCompleted), last
    assert last.final_text == "Goodbye."
    assert unsettled(ledger.context(ledger.requests[-1])) is None
    sent = _sum([said(ledger.heard[name]) for name in ledger.written])
    heard = _sum([told(chunks) for chunks in turns])
    if any(failed(chunks) for chunks in turns):  # a call that was being written belongs to no step any more
        assert {*heard["calls"]} <= {*sent["calls"]}
        sent["calls"] = heard["calls"]
    assert heard == sent
    finals = {
        item["call_id"]: item for _, found in ledger.written.values() for item in found.finished if "call_id" in item
    }
    for call in _answered(turns):
        item = finals[call.call_id]
        assert call.arguments == (item.get("input", item.get("arguments")) or ("" if "input" in item else "{}"))


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    whole = parts[0]
    for part in parts[1:]:
        whole = {key: value + part[key] for key, value in whole.items()}
    return whole


def _answered(turns: list[Chunks]) -> list[ToolCall]:
    """The calls that were run."""
    results = [chunk.event.result for chunks in turns for chunk in chunks if isinstance(chunk.event, StepCompleted)]
    rounds = [result for result in results if not isinstance(result, InferenceStepResult)]
    return [call for result in rounds for call in result.tool_calls if call.tool_type in {"function", "custom"}]


def sync_turns(client: Any, ledger: Ledger, manners: dict[str, Any]) -> list[Chunks]:
    made = agent(client, **manners)
    session = made.create_session("s")
    turns = [play(made, "Hi", session)]
    while ledger.left and len(turns) < TURNS:
        turns.append(play(made, [{"role": "user", "content": "And?"}], session))
    return [*turns, play(made, "Bye", session)]


async def async_turns(client: Any, ledger: Ledger, manners: dict[str, Any]) -> list[Chunks]:
    made = async_agent(client, **manners)
    session = await made.create_session("s")
    turns = [await aplay(made, "Hi", session)]
    while ledger.left and len(turns) < TURNS:
        turns.append(await aplay(made, [{"role": "user", "content": "And?"}], session))
    return [*turns, await aplay(made, "Bye", session)]


def ways(manners: dict[str, Any]) -> dict[str, Any]:
    """As the options of an agent, without what is not said."""
    said = {name: value for name, value in manners.items() if value is not None}
    if said["continuity"] == "stateless":
        said.pop("background", None)  # which is refused
    if (answer := said.pop("approve", "")) in ANSWERS:
        said["approve"] = lambda _: ANSWERS[answer]  # pyright: ignore[reportUnknownLambdaType] - any approval
    return said


def alike(one: list[Chunks], other: list[Chunks], ledgers: tuple[Ledger, Ledger], *, collapsed: bool) -> None:
    """The turns of both agents are good, and the same."""
    judge(one, ledgers[0], collapsed=collapsed)
    judge(other, ledgers[1], collapsed=collapsed)
    assert [canonical(chunks) for chunks in one] == [canonical(chunks) for chunks in other]
    assert ledgers[0].requests == ledgers[1].requests


@pytest.fixture(scope="module")
def runner() -> Generator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    with open_site() as opened:
        yield opened


@pytest.fixture(scope="module")
def clients(runner: asyncio.Runner) -> Generator[tuple[OpenAI, AsyncOpenAI]]:
    """Both official clients; their connections are shared by all scripts."""
    quiet: dict[str, Any] = {"api_key": "unused", "base_url": "http://127.0.0.1", "max_retries": 0, "timeout": 20.0}
    client, async_client = OpenAI(**quiet), AsyncOpenAI(**quiet)
    yield client, async_client
    client.close()
    runner.run(async_client.close())


@settings(max_examples=SCRIPTS_PLAYED, deadline=None, database=None, derandomize=True, suppress_health_check=QUIET)
@given(script=SCRIPTS, manners=MANNERS)
def test_every_legal_script_makes_legal_turns_and_leaves_a_good_session(
    runner: asyncio.Runner, script: Script, manners: dict[str, Any]
) -> None:
    ledgers = Ledger(script.replies), Ledger(script.replies)
    turns = sync_turns(direct(ledgers[0]), ledgers[0], ways(manners))
    again = runner.run(async_turns(async_direct(ledgers[1]), ledgers[1], ways(manners)))
    alike(turns, again, ledgers, collapsed=manners["collapse_empty_steps"])


@settings(max_examples=OVER_HTTP, deadline=None, database=None, derandomize=True, suppress_health_check=QUIET)
@given(script=SCRIPTS, manners=MANNERS)
def test_the_same_over_http_through_the_official_clients(
    runner: asyncio.Runner,
    site: Site,
    clients: tuple[OpenAI, AsyncOpenAI],
    script: Script,
    manners: dict[str, Any],
) -> None:
    ledgers = Ledger(script.replies), Ledger(script.replies)
    client, async_client = clients
    turns = sync_turns(client.with_options(base_url=site.serve(ledgers[0])), ledgers[0], ways(manners))
    async_client = async_client.with_options(base_url=site.serve(ledgers[1]))
    again = runner.run(async_turns(async_client, ledgers[1], ways(manners)))
    alike(turns, again, ledgers, collapsed=manners["collapse_empty_steps"])


def test_scripts_hold_what_they_are_meant_to() -> None:
    """Turns of every end, and sessions that go on, are among those that are played."""
    ends: set[str] = set()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(SCRIPTS)
    def look(script: Script) -> None:
        for chunks in sync_turns(direct(ledger := Ledger(script.replies)), ledger, {}):
            fault = failed(chunks)
            last = chunks[-1].event
            ends.add(fault.error_code if fault else last.stop_reason if isinstance(last, TurnCompleted) else "")

    look()
    assert ends >= {"end_of_turn", "max_output_tokens", "content_filter", "approval", "server_error", "stream_cut"}
