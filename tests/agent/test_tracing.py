"""Spans of turns: turn > step > tool, nothing of what was said by default, and no cost where nobody records."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from antiphon.agent.events import (
    AgentEvent,
    AgentStreamChunk,
    InferenceStepResult,
    StepCompleted,
    StepProgress,
    StepStarted,
    TextDelta,
    ToolCall,
    ToolCallCompletedDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    ToolResponse,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
)
from antiphon.agent.nested import agent_tool
from antiphon.agent.tracing import CONTENT, Spans
from tests.agent.scripts import Ask, Reply
from tests.agent.site import Ledger, async_direct, direct
from tests.agent.turns import agent, async_agent

CALLS = (ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "fail", "{}"))
SEARCH = ToolCall("fs_1", "file_search", '{"queries": ["q"]}', "file_search")


def started(number: int, **metadata: Any) -> StepStarted:
    kind = "tool_execution" if metadata else "inference"
    return StepStarted(f"turn_1_step_{number}", kind, "turn_1", metadata or None)


def told(number: int, delta: Any) -> StepProgress:
    kind = "inference" if isinstance(delta, TextDelta) else "tool_execution"
    return StepProgress(f"turn_1_step_{number}", kind, "turn_1", delta)


def inferred(number: int, reason: Any, calls: tuple[ToolCall, ...] = ()) -> StepCompleted:
    step = f"turn_1_step_{number}"
    result = InferenceStepResult(step, "resp_1", "secret", calls, reason, Usage(10, 5))
    return StepCompleted(step, "inference", "turn_1", result)


def executed(number: int, calls: tuple[ToolCall, ...], failed: str = "") -> StepCompleted:
    step = f"turn_1_step_{number}"
    responses: list[ToolResponse] = [
        {
            "call_id": call.call_id,
            "tool_name": call.tool_name,
            "content": "secret",
            "is_error": call.call_id == failed,
            "metadata": {},
        }
        for call in calls
    ]
    return StepCompleted(step, "tool_execution", "turn_1", ToolExecutionStepResult(step, calls, tuple(responses)))


TURN: list[AgentEvent] = [
    TurnStarted("turn_1", "conv_1"),
    started(0),
    told(0, TextDelta("secret")),
    inferred(0, "server_tool_call"),
    started(1, server_side=True, tool_type="file_search", tool_name="file_search"),
    told(1, ToolCallIssuedDelta("fs_1", "file_search", "file_search", "")),
    told(1, ToolCallCompletedDelta("fs_1", "file_search", "file_search", [])),
    executed(1, (SEARCH,)),
    started(2),
    inferred(2, "tool_calls", CALLS),
    started(3, server_side=False),
    told(3, ToolCallCompletedDelta("call_2", "function", "fail", "secret")),
    told(3, ToolCallCompletedDelta("call_1", "function", "add", "secret")),
    executed(3, CALLS, failed="call_2"),
    started(4),
    inferred(4, "end_of_turn"),
    TurnCompleted("turn_1", "conv_1", "secret", ("resp_1",), 5, Usage(30, 15, 4, 3)),
]


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """There is one in a process, and it cannot be replaced."""
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()  # it takes no more


def record(events: list[AgentEvent], error: BaseException | None = None, **options: Any) -> None:
    spans = Spans.begin(model="m", name="clerk", **options)
    for event in events:
        spans.see(AgentStreamChunk(event))
    spans.end(error)


def tree(spans: tuple[ReadableSpan, ...], parent: int | None = None) -> list[Any]:
    """Names, each with those below it, in the order in which they began."""
    below = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
    below.sort(key=lambda span: span.start_time or 0)
    return [(span.name, tree(spans, span.context.span_id if span.context else 0)) for span in below]


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(span for span in exporter.get_finished_spans() if span.name == name)


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_turn_holds_steps_and_steps_hold_tools(exporter: InMemorySpanExporter) -> None:
    record(TURN)
    assert tree(exporter.get_finished_spans()) == [
        (
            "invoke_agent clerk",
            [
                ("chat m", []),
                ("tool_execution", [("execute_tool file_search", [])]),
                ("chat m", []),
                ("tool_execution", [("execute_tool add", []), ("execute_tool fail", [])]),
                ("chat m", []),
            ],
        )
    ]


def test_spans_say_what_the_conventions_name(exporter: InMemorySpanExporter) -> None:
    record(TURN)

    assert said(named(exporter, "invoke_agent clerk")) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "clerk",
        "gen_ai.request.model": "m",
        "gen_ai.conversation.id": "conv_1",
        "antiphon.turn.id": "turn_1",
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 15,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "gen_ai.response.finish_reasons": ("end_of_turn",),
    }
    chat = named(exporter, "chat m")
    assert chat.kind is SpanKind.CLIENT
    assert said(chat) == {
        "antiphon.step.id": "turn_1_step_0",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.finish_reasons": ("server_tool_call",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
    }
    assert said(named(exporter, "execute_tool add")) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
    }
    assert said(named(exporter, "execute_tool file_search"))["gen_ai.tool.type"] == "datastore"


def test_a_call_ends_when_it_ended_and_not_with_its_step(exporter: InMemorySpanExporter) -> None:
    record(TURN)
    add, fail = named(exporter, "execute_tool add"), named(exporter, "execute_tool fail")
    assert (fail.end_time or 0) <= (add.end_time or 0)


def test_nothing_that_was_said_is_recorded_unless_it_is_wanted(exporter: InMemorySpanExporter) -> None:
    record(TURN, messages="secret")
    assert "secret" not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_what_was_said_is_recorded_on_demand(exporter: InMemorySpanExporter) -> None:
    record(TURN, messages="hello", content=True)

    turn = said(named(exporter, "invoke_agent clerk"))
    assert json.loads(turn["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
    ]
    assert json.loads(turn["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "secret"}], "finish_reason": "end_of_turn"}
    ]
    tool = said(named(exporter, "execute_tool add"))
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"a": 1}', "secret")
    assert named(exporter, "execute_tool fail").status.description == "secret"


def test_messages_of_any_form_are_recorded(exporter: InMemorySpanExporter) -> None:
    output = {"type": "function_call_output", "call_id": "1", "output": "3"}
    parts = [{"type": "input_text", "text": "b"}]
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": parts}, output]
    record([], messages=messages, content=True)

    assert json.loads(said(named(exporter, "invoke_agent clerk"))["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "a"}]},
        {"role": "user", "parts": [{"type": "text", "content": json.dumps(parts)}]},
        output,
    ]


def test_a_tool_that_fails_sets_its_own_status_only(exporter: InMemorySpanExporter) -> None:
    record(TURN)
    wrong = [span for span in exporter.get_finished_spans() if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, said(span)["error.type"], span.status.description) for span in wrong] == [
        ("execute_tool fail", "tool_error", None)
    ]


def test_a_turn_that_fails_sets_the_status(exporter: InMemorySpanExporter) -> None:
    failed = TurnFailed("turn_1", "conv_1", "no model", "server_error")
    record([TURN[0], started(0), inferred(0, "failed"), failed])

    turn, step = named(exporter, "invoke_agent clerk"), named(exporter, "chat m")
    assert (turn.status.status_code, turn.status.description) == (StatusCode.ERROR, "no model")
    assert said(turn)["error.type"] == "server_error"
    assert step.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("length", range(len(TURN) + 1))
def test_all_spans_end_wherever_a_turn_is_left(exporter: InMemorySpanExporter, length: int) -> None:
    record(TURN[:length], KeyboardInterrupt("stop"))

    spans = exporter.get_finished_spans()
    begun = sum(isinstance(event, StepStarted) for event in TURN[:length])
    assert len([span for span in spans if not span.name.startswith("execute_tool")]) == begun + 1
    assert all(span.end_time for span in spans)
    assert said(named(exporter, "invoke_agent clerk"))["error.type"] == "KeyboardInterrupt"


def test_ending_twice_is_ending_once(exporter: InMemorySpanExporter) -> None:
    spans = Spans.begin(model="m")
    spans.end()
    spans.end(ValueError("late"))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.status.status_code) == ("invoke_agent", StatusCode.UNSET)


def test_spans_of_others_are_below_the_open_step(exporter: InMemorySpanExporter, provider: TracerProvider) -> None:
    tracer = provider.get_tracer("theirs")
    with tracer.start_as_current_span("theirs"):
        spans = Spans.begin(model="m", name="clerk")
    with spans.current(), tracer.start_as_current_span("in the turn"):
        spans.see(AgentStreamChunk(started(0)))
    with spans.current(), tracer.start_as_current_span("in the step"):
        pass
    with pytest.raises(ValueError, match="theirs"), spans.current():
        raise ValueError("theirs")
    spans.end()

    below: list[Any] = [("chat m", [("in the step", [])]), ("in the turn", [])]
    (root,) = tree(exporter.get_finished_spans())
    assert root[0] == "theirs"
    assert (root[1][0][0], sorted(root[1][0][1])) == ("invoke_agent clerk", below)
    assert all(span.status.status_code is StatusCode.UNSET for span in exporter.get_finished_spans())


def test_what_was_said_is_recorded_where_the_environment_says_so() -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from antiphon.agent.tracing import Spans

trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
spans = Spans.begin(model="m", messages="hello")
with spans.current():
    print("hello" in str(trace.get_current_span().attributes))
"""
    for value, printed in (("true", "True"), ("false", "False")):
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            env={**os.environ, CONTENT: value},
        )
        assert ran.stdout.strip() == printed


@pytest.mark.parametrize("is_awaited", [False, True])
def test_the_spans_of_an_agent_that_is_asked_are_below_the_step_that_asks(
    exporter: InMemorySpanExporter, is_awaited: bool
) -> None:
    asks = Ledger([Reply(groups=((Ask("ask", '{"input": "task"}'),),))])
    tools = [agent_tool(agent(direct(Ledger([]))), "ask", "Ask.")]

    async def ask_and_await() -> None:
        outer = async_agent(async_direct(asks), tools=tools)
        await outer.create_turn("hello", await outer.create_session(), stream=False)

    if is_awaited:
        asyncio.run(ask_and_await())
    else:
        outer = agent(direct(asks), tools=tools)
        outer.create_turn("hello", outer.create_session(), stream=False)

    below: list[Any] = [("execute_tool ask", []), ("invoke_agent", [("chat m", [])])]
    assert tree(exporter.get_finished_spans()) == [
        ("invoke_agent", [("chat m", []), ("tool_execution", below), ("chat m", [])])
    ]


PROGRAM = """
import sys
{first}
from antiphon.agent.events import AgentStreamChunk, TurnStarted
from antiphon.agent.tracing import Spans

spans = Spans.begin(model="m")
spans.see(AgentStreamChunk(TurnStarted("turn_1", "conv_1")))
with spans.current():
    pass
spans.end()
print(type(spans).__name__, "opentelemetry.sdk" in sys.modules, sys.modules.get("opentelemetry") is not None)
"""


@pytest.mark.parametrize(
    ("first", "printed"),
    [
        ('sys.modules["opentelemetry"] = None  # as if it were not installed', "Spans False False"),
        ("", "Spans False False"),
        ("import opentelemetry.trace  # and no provider", "Spans False True"),
    ],
)
def test_nothing_is_recorded_or_imported_where_nobody_records(first: str, printed: str) -> None:
    program = PROGRAM.format(first=first)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.strip() == printed
