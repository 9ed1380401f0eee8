"""The reference library and ours over the same scripts: every difference is one that the specification lists.

What the reference never tells (`UNTOLD`) is left out of what ours tells; a script on which the rest differs has to show
one of the defects of `DEFECTS`, and a script that shows none has to give the same. Each defect has a witness, on which
the two do differ. `ANTIPHON_LONG=1` plays 1,000 scripts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ogx_client.lib.agents import agent as reference
from ogx_client.lib.agents.client_tool import client_tool as reference_tool
from openai import OpenAI

from antiphon.agent import AsyncAgent, client_tool
from antiphon.agent.events import (
    AnnotationDelta,
    ApprovalRequested,
    ReasoningDelta,
    RefusalDelta,
    StepProgress,
    ToolCallCompletedDelta,
    ToolCallDelta,
)
from tests.agent.grammar import check
from tests.agent.scripts import CUT, SAYS, SCRIPTS, THINKS, Ask, Reply, Say, Script, Think, Wish, Work
from tests.agent.site import Fault, Ledger, Site, open_site
from tests.agent.turns import OPTIONS, Chunks, agent, play
from tests.long import amount

PLAYED: Final = amount(60, 1000)
UNTOLD: Final = (
    ToolCallDelta,
    ToolCallCompletedDelta,
    ReasoningDelta,
    RefusalDelta,
    AnnotationDelta,
)
"""No argument deltas came from real servers; reasoning, refusals and annotations were invisible, and so was the end of
a call of the client."""
SEEN: Final = {"file_search_call", "web_search_call", "mcp_call", "mcp_list_tools"}
"""Tools of servers that the reference knows."""


# the same tools, with docstrings that both read


def double(n: int) -> int:
    """Double it.

    :param n: the number
    """
    return 2 * n


def web_search(n: int) -> str:
    """A function of ours that has the name of a server's tool.

    :param n: the page
    """
    return f"page {n}"


def breaks(n: int) -> str:
    """It never works.

    :param n: the number
    """
    raise RuntimeError(f"broken at {n}")


TOOLS: Final = (double, web_search, breaks)


# what was told, in a form that both have


def trace(chunks: list[Any]) -> list[Any]:
    """The chunks of either library. Ids and texts are the server's; only the turn and the session have random ones."""
    told: list[Any] = []
    for event in (chunk.event for chunk in chunks):
        match event.event_type:
            case "step_started":
                told.append(("started", _number(event), event.step_type, event.metadata))
            case "step_progress":
                if not isinstance(event.delta, UNTOLD):
                    told.append(("told", _number(event), _delta(event.delta)))
            case "step_completed":
                told.append(("completed", _number(event), _result(event.result)))
            case "turn_completed":
                told.append(("turn_completed", event.final_text, [*event.response_ids], event.num_steps))
            case "approval_requested":
                pass
            case _:
                told.append((event.event_type, getattr(event, "error_message", "")))
    return told


def _number(event: Any) -> str:
    return event.step_id.rpartition("_")[2]  # the reference has events of no step


def _delta(delta: Any) -> Any:
    if delta.delta_type == "text":
        return delta.text
    return delta.delta_type, delta.call_id, delta.tool_type, delta.tool_name


def _result(result: Any) -> Any:
    """Without arguments and results of tools of the server, which the reference does not show; an output that is an
    error is told by both in words of their own, a text as JSON by the reference."""
    if hasattr(result, "stop_reason"):
        calls = [(call.call_id, call.tool_name, call.arguments) for call in result.function_calls]
        return result.response_id, result.text_content, calls, result.stop_reason
    return [(call.call_id, call.tool_name) for call in result.tool_calls]


class Stage(NamedTuple):
    """Where scripts are played. The client is shared: it takes longer to make than a script to play."""

    site: Site
    client: OpenAI

    def at(self, ledger: Ledger) -> OpenAI:
        """The official client, before this server."""
        return self.client.with_options(base_url=self.site.serve(ledger))


class Played(NamedTuple):
    """What came of a script: the trace, and the input of the requests behind the first."""

    told: list[Any]
    inputs: list[list[str]]


def ours(stage: Stage, script: Script) -> tuple[Played, Chunks]:
    ledger = Ledger(script.replies)
    made = agent(stage.at(ledger), tools=TOOLS)
    chunks = play(made, [{"role": "user", "content": "Hi"}], made.create_session("s"))
    return Played(trace(chunks), _inputs(ledger)), chunks


def theirs(stage: Stage, script: Script) -> Played:
    ledger = Ledger(script.replies)
    chunks: list[Any] = []
    client = stage.at(ledger)
    made = reference.Agent(client, model="m", instructions="", tools=[*TOOLS])
    session = made.create_session("s")
    try:
        chunks.extend(made.create_turn([{"role": "user", "content": "Hi"}], session, stream=True))
    except Exception as error:  # noqa: BLE001 - the reference lets anything escape; that is one of the findings
        return Played([*trace(chunks), ("raised", type(error).__name__)], _inputs(ledger))
    return Played(trace(chunks), _inputs(ledger))


def _inputs(ledger: Ledger) -> list[list[str]]:
    """The calls that each request answers."""
    return [[item["call_id"] for item in body["input"] if "call_id" in item] for body in ledger.requests]


# the defects


@dataclass(frozen=True)
class Defect:
    """`words` of the specification; `shown`: whether a turn over these replies can show it; a `witness` that does."""

    words: str
    shown: Callable[[Reply], bool]
    witness: tuple[Reply, ...]


SAID: Final = Say((("text", ("Hi",)),))
DOUBLE: Final = Ask("double", '{"n": 1}')
SEARCH: Final = Work("file_search_call")


def one(*parts: Any, **fields: Any) -> Reply:
    """A reply whose parts come one after another."""
    return Reply(groups=tuple((part,) for part in parts), **fields)


def spread(reply: Reply) -> bool:
    """A tool of the server runs behind a call."""
    parts = reply.parts
    asks = [place for place, part in enumerate(parts) if isinstance(part, Ask)]
    return bool(asks) and any(isinstance(part, Work) and part.type in SEEN for part in parts[asks[0] :])


def mixed(reply: Reply) -> bool:
    """A tool of the server runs while something else does."""
    return any(len(group) > 1 and any(isinstance(part, Work) for part in group) for group in reply.groups)


def works(*types: str) -> Callable[[Reply], bool]:
    return lambda reply: any(isinstance(part, Work) and part.type in types for part in reply.parts)


def ends(*endings: str) -> Callable[[Reply], bool]:
    return lambda reply: reply.ending in endings


DEFECTS: Final = {
    "calls_around_a_server_tool": Defect(
        "With call, server tool, call in one response the first call was never answered (and without the second, the "
        "step at the end did not say that calls are left: rule 4).",
        spread,
        (one(DOUBLE, SEARCH, DOUBLE),),
    ),
    "interleaved_server_tools": Defect(
        "Interleaved server tools crossed ids.",
        mixed,
        (Reply(((SEARCH, Work("mcp_call")),), order=(0, 1)),),
    ),
    "a_function_named_web_search": Defect(
        "A client function named `web_search` was taken for a server tool.",
        lambda reply: any(isinstance(part, Ask) and part.name == "web_search" for part in reply.parts),
        (one(Ask("web_search", '{"n": 1}')),),
    ),
    "incomplete": Defect(
        "`response.incomplete` after a tool call returned the stale first response as success.",
        ends("incomplete", "filtered"),
        (one(DOUBLE), one(SAID, ending="incomplete")),
    ),
    "transport": Defect(
        "HTTP errors escaped without `turn_failed` (and so did transport errors; a cut stream was a success: rule 1).",
        ends(*CUT),
        (one(SAID, ending="broken", at=0.5),),
    ),
    "error_event": Defect(
        "`error` closes the open step and ends in `turn_failed` (rule 1): the reference does not hear it.",
        ends("error"),
        (one(SAID, ending="error"),),
    ),
    "failed_with_an_open_step": Defect(
        "`response.failed` closes the open step (rule 1): the reference leaves it open.",
        ends("failed"),
        (one(SAID, ending="failed"),),
    ),
    "created_alone": Defect(
        "`response.created` or `in_progress`, whichever is first, opens an inference step (rule 2).",
        lambda reply: not reply.in_progress,
        (one(SAID, in_progress=False),),
    ),
    "tools_of_the_server_unseen": Defect(
        "Server tools are told by the type of the item, every type (rule 3).",
        works("code_interpreter_call", "image_generation_call"),
        (one(Work("code_interpreter_call"), SAID),),
    ),
    "custom_calls": Defect(
        "tool_type: function, custom, ... (by ITEM type, never by name): a custom call was never answered.",
        lambda reply: any(isinstance(part, Ask) and part.custom for part in reply.parts),
        (one(Ask("note", "text", custom=True)),),
    ),
    "approvals": Defect(
        "... and approvals were invisible.",
        lambda reply: any(isinstance(part, Wish) for part in reply.parts),
        (one(Wish()),),
    ),
}


@pytest.fixture(scope="module")
def stage() -> Generator[Stage]:
    quiet: dict[str, Any] = {"api_key": "unused", "base_url": "http://127.0.0.1", "max_retries": 0, "timeout": 20.0}
    with open_site() as site, OpenAI(**quiet) as client:
        yield Stage(site, client)


def explained(script: Script, reached: int) -> list[str]:
    """The defects that the replies that were reached can show."""
    replies = script.replies[:reached]
    return [name for name, defect in DEFECTS.items() if any(map(defect.shown, replies))]


QUIET: Final[dict[str, Any]] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
}


@settings(max_examples=PLAYED, **QUIET)
@given(SCRIPTS)
def test_every_difference_is_a_listed_defect(stage: Stage, script: Script) -> None:
    mine, chunks = ours(stage, script)
    other = theirs(stage, script)
    check(chunks)
    reached = max(len(mine.inputs), len(other.inputs))
    assert mine == other or explained(script, reached), "a difference that nothing explains"


ASKS: Final = st.builds(
    Ask,
    st.sampled_from(["double", "breaks", "nobody"]),
    st.sampled_from(['{"n": 1}', "{}"]),
    st.just(value=False),
    st.booleans(),
)
WORKS: Final = st.builds(Work, st.sampled_from(sorted(SEEN)), st.booleans())
SOUND: Final = st.builds(
    Reply,
    groups=st.lists(st.tuples(st.one_of(SAYS, THINKS, WORKS, ASKS)), max_size=5).map(tuple),
    created=st.booleans(),
    strange=st.booleans(),
).filter(lambda reply: not spread(reply))


@settings(max_examples=PLAYED, **QUIET)
@given(st.builds(Script, st.lists(SOUND, min_size=1, max_size=3).map(tuple)))
def test_scripts_that_show_no_defect_give_the_same(stage: Stage, script: Script) -> None:
    assert explained(script, 9) == []
    mine, chunks = ours(stage, script)
    check(chunks)
    assert mine == theirs(stage, script)


@pytest.mark.parametrize("name", DEFECTS)
def test_each_listed_defect_is_seen(stage: Stage, name: str) -> None:
    script = Script(DEFECTS[name].witness)
    mine, chunks = ours(stage, script)
    check(chunks)
    assert mine != theirs(stage, script), "the reference has been mended: take the defect off the list"
    assert name in explained(script, len(mine.inputs))


PLAIN: Final = {
    "text": Script((one(SAID),)),
    "a call": Script((one(SAID, DOUBLE), one(SAID))),
    "two calls at once": Script((one(DOUBLE, DOUBLE, created=False), one(SAID))),
    "a search": Script((one(SEARCH, SAID),)),
    "all tools that both know": Script((one(*map(Work, sorted(SEEN)), SAID),)),
    "a call, then a search": Script((one(DOUBLE), one(SEARCH, SAID))),
    "a search, then a call": Script((one(SAID, SEARCH, DOUBLE), one(SAID))),
    "arguments at the end": Script((one(Ask("double", '{"n": 1}', streamed=False)),)),
    "thoughts": Script((one(Think(("Hm",)), SAID),)),
    "a tool that breaks": Script((one(Ask("breaks", '{"n": 1}'), Ask("nobody", "{}")),)),
    "events of the future": Script((one(SAID, strange=True),)),
}
"""Turns in which the reference is right."""


@pytest.mark.parametrize("name", PLAIN)
def test_where_the_reference_is_right_both_are_the_same(stage: Stage, name: str) -> None:
    mine, _ = ours(stage, PLAIN[name])
    assert explained(PLAIN[name], 9) == []
    assert mine == theirs(stage, PLAIN[name])


# defects that are not in the events of a turn


def test_an_http_error_escaped(stage: Stage) -> None:
    ledgers = Ledger([Fault(500)]), Ledger([Fault(500)])
    client = stage.at(ledgers[0])
    made = agent(client)
    chunks = play(made, "Hi", made.create_session())
    check(chunks)
    client = stage.at(ledgers[1])
    other = reference.Agent(client, model="m", instructions="")
    session = other.create_session("s")
    with pytest.raises(Exception, match="broken"):
        list(cast("Any", other.create_turn([{"role": "user", "content": "Hi"}], session)))


def test_the_loop_had_no_bound(stage: Stage) -> None:
    rounds = [one(DOUBLE)] * 12
    ledgers = Ledger(rounds), Ledger(rounds)
    client = stage.at(ledgers[0])
    made = agent(client, tools=TOOLS)
    chunks = play(made, "Hi", made.create_session())
    check(chunks)
    client = stage.at(ledgers[1])
    other = reference.Agent(client, model="m", instructions="", tools=[*TOOLS])
    list(cast("Any", other.create_turn([{"role": "user", "content": "Hi"}], other.create_session("s"))))
    assert (len(ledgers[0].requests), len(ledgers[1].requests)) == (10, 13)


def test_leaving_the_iterator_poisoned_the_session(stage: Stage) -> None:
    ledgers = Ledger([one(DOUBLE)]), Ledger([one(DOUBLE)])
    client = stage.at(ledgers[0])
    made = agent(client, tools=TOOLS)
    session = made.create_session()
    with made.create_turn("Hi", session) as turn:
        for chunk in turn:
            if chunk.event.event_type == "step_completed":
                break
    check(play(made, "And?", session))
    assert ledgers[0].refused == []
    client = stage.at(ledgers[1])
    other = reference.Agent(client, model="m", instructions="", tools=[*TOOLS])
    session = other.create_session("s")
    said: Any = [{"role": "user", "content": "Hi"}]
    left: Any = other.create_turn(said, session)
    for chunk in left:
        if chunk.event.event_type == "step_completed":
            break
    left.close()
    with pytest.raises(Exception, match="No tool output found"):
        list(cast("Any", other.create_turn(said, session)))
    assert ledgers[1].refused


async def test_the_asynchronous_agent_never_worked() -> None:
    made: Any = reference.AsyncAgent(None, model="m", instructions="")
    with pytest.raises(AttributeError, match="initialize"):
        async for _ in await made.create_turn([], "conv_1"):
            pass
    assert inspect.isclass(AsyncAgent)  # ours is in every other test


def test_an_optional_parameter_became_a_required_string() -> None:
    def look(place: str, radius: int | None = None) -> str:
        """Look around.

        :param place: where
        :param radius: how far
        """
        return place

    mine = client_tool(look).get_input_schema()
    assert mine["required"] == ["place"]
    assert {"type": "integer"} in mine["properties"]["radius"]["anyOf"]
    other = reference_tool(cast("Any", look)).get_input_schema()
    assert cast("Any", other)["properties"]["radius"]["type"] == "string"


def test_what_the_reference_never_tells_is_told(stage: Stage) -> None:
    spoken = Say((("text", ("Hi",)), ("refusal", ("No.",))), cites=True)
    script = Script((one(Think(("Hm",)), DOUBLE, spoken), one(Wish(), SEARCH)))
    _, chunks = ours(stage, script)
    check(chunks)
    deltas = {type(chunk.event.delta) for chunk in chunks if isinstance(chunk.event, StepProgress)}
    assert deltas >= set(UNTOLD)
    assert any(isinstance(chunk.event, ApprovalRequested) for chunk in chunks)
    told = theirs(stage, script).told
    assert OPTIONS["retries"] == 0
    assert not any(entry[0] == "approval_requested" for entry in told)
