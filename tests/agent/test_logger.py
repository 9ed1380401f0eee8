"""The event logger: the strings of every event, whole turns and chunk by chunk."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ogx_client.lib.agents import turn_events as reference
from ogx_client.lib.agents.event_logger import AgentEventLogger as ReferenceLogger

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    AnnotationDelta,
    Approval,
    ApprovalRequested,
    InferenceStepResult,
    ReasoningDelta,
    RefusalDelta,
    StepCompleted,
    StepDelta,
    StepProgress,
    StepStarted,
    StopReason,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    ToolResponse,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
)
from antiphon.agent.logger import AgentEventLogger

CALL = ToolCall("call_1", "add", '{"a": 1}')


def chunks(*events: AgentEvent) -> list[AgentStreamChunk]:
    return [AgentStreamChunk(event) for event in events]


def progress(delta: StepDelta) -> AgentEvent:
    return StepProgress("s", "inference", "t", delta)


def thought(text: str = "", *calls: ToolCall, reason: StopReason = "end_of_turn") -> AgentEvent:
    return StepCompleted("s", "inference", "t", InferenceStepResult("s", "resp_1", text, calls, reason))


def worked(content: object, *, failed: bool = False, call: ToolCall = CALL) -> AgentEvent:
    told = ToolResponse(call_id=call.call_id, tool_name=call.tool_name, content=content, is_error=failed, metadata={})
    return StepCompleted("s", "tool_execution", "t", ToolExecutionStepResult("s", (call,), (told,)))


BEGUN = StepStarted("s", "inference", "t")
TURN = TurnStarted("t", "conv_1")
OVER = TurnCompleted("t", "conv_1", "Hi", ("resp_1",), 1)
CLIENT = StepStarted("s", "tool_execution", "t", {"server_side": False})
SERVER = {"server_side": True, "tool_type": "file_search", "tool_name": "file_search_call"}


def told(*events: AgentEvent) -> str:
    return "".join(AgentEventLogger().log(chunks(*events)))


def test_text_comes_as_it_is_written() -> None:
    pieces = list(AgentEventLogger().log(chunks(TURN, BEGUN, progress(TextDelta("Hel")), progress(TextDelta("lo")))))
    assert pieces == ["🤔 ", "Hel", "lo"]


def test_a_turn_with_a_call_reads_as_with_the_reference() -> None:
    issued = progress(ToolCallIssuedDelta("call_1", "function", "add", ""))
    arguments = progress(ToolCallDelta("call_1", '{"a": 1}'))
    log = told(
        TURN,
        BEGUN,
        issued,
        arguments,
        thought("", CALL, reason="tool_calls"),
        CLIENT,
        worked("3"),
        BEGUN,
        progress(TextDelta("Three")),
        thought("Three"),
        OVER,
    )
    assert log == (
        '🤔 \n📞 Function call: add({"a": 1})\n🔧 Executing function tools (client-side)...\n  → add: 3\n🤔 Three\n'
    )


def as_the_reference(value: Any) -> Any:
    """The same event, result or delta in the reference's class of that name."""
    if not dataclasses.is_dataclass(value):
        return value
    kind: Any = getattr(reference, type(value).__name__, None)
    if kind is None:
        return value
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    held = {field.name: as_the_reference(getattr(value, field.name)) for field in dataclasses.fields(value)}
    extra: dict[str, Any] = {"server_tool_executions": []} if "server_tool_executions" in known else {}
    return kind(**extra, **{name: one for name, one in held.items() if name in known})


def test_the_same_events_give_the_same_strings_as_the_reference() -> None:
    events = [
        *(TURN, BEGUN, progress(TextDelta("Let me look.")), thought("", reason="server_tool_call")),
        *(StepStarted("s", "tool_execution", "t", SERVER), BEGUN),
        *(progress(ToolCallIssuedDelta("call_1", "function", "add", CALL.arguments)), thought("", CALL)),
        *(CLIENT, worked("x" * 150), BEGUN, progress(TextDelta("Three")), thought("Three"), OVER),
        TurnFailed("t", "c", "no", "server_error"),
    ]
    theirs = ReferenceLogger().log(reference.AgentStreamChunk(as_the_reference(event)) for event in events)
    assert told(*events) == "".join(theirs)


def test_a_server_tool_tells_its_result() -> None:
    search = ToolCall("fs_1", "file_search_call", "", "file_search")
    log = told(StepStarted("s", "tool_execution", "t", SERVER), worked({"results": [1]}, call=search))
    assert log == '\n🔧 Executing file_search (server-side)...\n  → file_search: {"results": [1]}\n'


def test_an_mcp_call_is_named() -> None:
    assert "Executing mcp_call look_up (" in told(
        StepStarted("s", "tool_execution", "t", {"server_side": True, "tool_type": "mcp_call", "tool_name": "look_up"})
    )


def test_listed_tools_are_named() -> None:
    content = {"tools": [{"name": "look_up", "description": ""}, {"name": "buy"}]}
    listed = ToolCall("mcpl_1", "mcp_list_tools", "{}", "mcp_list_tools")
    assert told(worked(content, call=listed)) == "  → mcp_list_tools: look_up, buy\n"


def test_a_long_result_is_cut_at_100_characters() -> None:
    assert told(worked("x" * 101)) == f"  → add: {'x' * 100}...\n"
    assert told(worked("x" * 100)) == f"  → add: {'x' * 100}\n"


def test_a_tool_that_failed_says_so() -> None:
    assert told(worked("boom", failed=True)) == "  → add: error: boom\n"


def test_reasoning_refusals_citations_and_approvals_are_told() -> None:
    log = told(
        progress(ReasoningDelta("Let me ")),
        progress(ReasoningDelta("see")),
        progress(TextDelta("Well")),
        progress(AnnotationDelta({"type": "file_citation", "filename": "a.md"})),
        progress(AnnotationDelta({})),
        progress(RefusalDelta(" no")),
        ApprovalRequested("s", "t", Approval("mcpr_1", "shop", "buy", '{"n": 1}')),
    )
    assert log == '💭 Let me see\nWell [a.md] no\n🔐 Approval needed: shop.buy({"n": 1})\n'


def test_a_cut_answer_and_a_failure_are_told() -> None:
    assert "max_output_tokens" in told(TurnCompleted("t", "c", "", (), 1, stop_reason="max_output_tokens"))
    assert told(TurnFailed("t", "c", "no such model", "not_found")) == "\n❌ Turn failed: no such model\n"


def test_chunks_may_be_given_one_at_a_time() -> None:
    events = [TURN, BEGUN, progress(TextDelta("Hi")), thought("Hi", CALL, reason="tool_calls"), OVER]
    logger = AgentEventLogger()
    assert "".join(line for event in events for line in logger.log(chunks(event))) == told(*events)


def test_a_call_that_two_steps_hold_is_told_once() -> None:
    assert told(TURN, thought("", CALL), thought("", CALL)).count("📞") == 1


async def test_chunks_of_an_async_turn_are_told() -> None:
    async def arriving() -> AsyncIterator[AgentStreamChunk]:
        for chunk in chunks(TURN, BEGUN, progress(TextDelta("Hi"))):
            yield chunk

    assert [line async for line in AgentEventLogger().alog(arriving())] == ["🤔 ", "Hi"]
    assert [line async for line in AgentEventLogger().alog(chunks(BEGUN))] == ["🤔 "]


def test_the_plain_logger_does_not_load_rich(tmp_path: Path) -> None:
    program = "import sys, antiphon.agent.logger as l; l.AgentEventLogger(); sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize("reason", ["end_of_turn", "tool_calls", "approval"])
def test_a_turn_that_ended_well_says_nothing_at_its_end(reason: StopReason) -> None:
    assert not told(TurnCompleted("t", "c", "", (), 1, stop_reason=reason))
