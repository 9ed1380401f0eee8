"""OpenTelemetry spans of a turn: turn > step > tool, with the names of the semantic conventions for generative AI.

Law: spans are made of events alone, and cost nothing where nobody records. The API is never imported here: who has set
a tracer provider has imported it. What was said and given (texts, arguments, results) is recorded only on demand: with
`content=True`, or with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true in the environment.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from antiphon.agent.events import (
    AgentStreamChunk,
    InferenceStepResult,
    StepCompleted,
    StepProgress,
    StepStarted,
    ToolCall,
    ToolCallCompletedDelta,
    ToolCallIssuedDelta,
    ToolExecutionStepResult,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Attributes: TypeAlias = dict[str, str | int | list[str]]

API: Final = "opentelemetry.trace"
CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
PROVIDER: Final = {"gen_ai.provider.name": "openai"}
KINDS: Final = {"function": "function", "custom": "function", "file_search": "datastore", "web_search": "datastore"}
"""`gen_ai.tool.type` by the type of the item; other tools of the server are an `extension`."""


class Spans:
    """The spans of one turn; this class records nothing.

    `Spans.begin(...)` at the start, `see(chunk)` for each event, `end()` in every case.
    """

    @staticmethod
    def begin(*, model: str, name: str = "", messages: Any = None, content: bool | None = None) -> Spans:
        """Start the span of a turn, below the span that is current. `name` is that of the agent."""
        api: Any = sys.modules.get(API)
        if api is None:
            return Spans()
        turn: Span = api.get_tracer(__name__).start_span(
            f"invoke_agent {name}".strip(),
            attributes={**PROVIDER, "gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": model},
        )
        if not turn.is_recording():
            return Spans()
        if name:
            turn.set_attribute("gen_ai.agent.name", name)
        is_told = os.environ.get(CONTENT, "").lower() == "true" if content is None else content
        if is_told and messages is not None:
            turn.set_attribute("gen_ai.input.messages", _json(_messages(messages)))
        return Recording(api, turn, model, is_told=is_told)

    def see(self, chunk: AgentStreamChunk) -> None:
        """What the turn tells."""

    def current(self) -> AbstractContextManager[Any]:
        """While it is entered, spans of others (of a tool's own requests, of an agent below) are children of the step
        that is open."""
        return nullcontext()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing comes any more; `error` is what ended the turn where no event says it. Spans that are open end."""


class Recording(Spans):
    """Spans for a provider that records."""

    def __init__(self, api: Any, turn: Span, model: str, *, is_told: bool) -> None:
        self._api = api
        self._tracer: Tracer = api.get_tracer(__name__)
        self._turn = turn
        self._model = model
        self._is_told = is_told
        self._step: Span | None = None
        self._tools: dict[str, Span] = {}
        self._ended: dict[str, int] = {}  # when a call was completed; whether it failed is known with its step
        self._wanted: tuple[ToolCall, ...] = ()  # calls that the client has to answer next

    def see(self, chunk: AgentStreamChunk) -> None:
        """What the turn tells."""
        match chunk.event:
            case TurnStarted() as event:
                said = {"gen_ai.conversation.id": event.session_id, "antiphon.turn.id": event.turn_id}
                self._turn.set_attributes(said)
            case StepStarted() as event:
                self._begin_step(event)
            case StepProgress(step_type="tool_execution", delta=ToolCallIssuedDelta() as delta):
                self._begin_tool(ToolCall(delta.call_id, delta.tool_name, delta.arguments, delta.tool_type))
            case StepProgress(delta=ToolCallCompletedDelta(call_id=call_id)):
                self._ended[call_id] = time.time_ns()
            case StepCompleted(result=InferenceStepResult() as result):
                self._end_inference(result)
            case StepCompleted(result=ToolExecutionStepResult() as result):
                self._end_tools(result)
            case TurnCompleted() as event:
                self._complete(event)
            case TurnFailed() as event:
                self._fail(self._turn, event.error_code, event.error_message)
            case _:  # what was said meanwhile is in the results
                return

    def current(self) -> AbstractContextManager[Any]:
        """The open step, or the turn, as the current span."""
        made: AbstractContextManager[Any] = self._api.use_span(
            self._step or self._turn, record_exception=False, set_status_on_exception=False
        )
        return made

    def end(self, error: BaseException | None = None) -> None:
        """End what is open, from the inside out."""
        for span in (*self._tools.values(), self._step, self._turn):
            if span is not None and span.is_recording():
                if error is not None:
                    self._fail(span, type(error).__name__, str(error))
                span.end()
        self._tools, self._step = {}, None

    def _begin_step(self, event: StepStarted) -> None:
        said: Attributes = {"antiphon.step.id": event.step_id}
        if event.step_type == "inference":
            said |= {**PROVIDER, "gen_ai.operation.name": "chat", "gen_ai.request.model": self._model}
            self._step = self._child(self._turn, f"chat {self._model}", said, self._api.SpanKind.CLIENT)
            return
        self._step = self._child(self._turn, "tool_execution", said, self._api.SpanKind.INTERNAL)
        if not (event.metadata or {}).get("server_side"):
            for call in self._wanted:
                self._begin_tool(call)
            self._wanted = ()

    def _begin_tool(self, call: ToolCall) -> None:
        said: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.tool_name,
            "gen_ai.tool.call.id": call.call_id,
            "gen_ai.tool.type": KINDS.get(call.tool_type, "extension"),
        }
        kind = self._api.SpanKind.INTERNAL
        self._tools[call.call_id] = self._child(self._step or self._turn, f"execute_tool {call.tool_name}", said, kind)

    def _child(self, parent: Span, name: str, attributes: Attributes, kind: Any) -> Span:
        return self._tracer.start_span(
            name, context=self._api.set_span_in_context(parent), kind=kind, attributes=attributes
        )

    def _end_inference(self, result: InferenceStepResult) -> None:
        self._wanted += result.function_calls
        if self._step is None:
            return
        self._step.set_attribute("gen_ai.response.id", result.response_id)
        self._step.set_attribute("gen_ai.response.finish_reasons", [result.stop_reason])
        if result.usage is not None:
            self._step.set_attributes(_usage(result.usage))
        if result.stop_reason == "failed":
            self._fail(self._step, "failed", "")
        self._step.end()
        self._step = None

    def _end_tools(self, result: ToolExecutionStepResult) -> None:
        given = {call.call_id: call.arguments for call in result.tool_calls}
        for response in result.tool_responses:
            span = self._tools.pop(response["call_id"], None)
            if span is None:
                continue
            if self._is_told:
                span.set_attribute("gen_ai.tool.call.arguments", given.get(response["call_id"], ""))
                span.set_attribute("gen_ai.tool.call.result", _text(response["content"]))
            if response["is_error"]:
                self._fail(span, "tool_error", _text(response["content"]) if self._is_told else "")
            span.end(self._ended.pop(response["call_id"], None))
        for span in (*self._tools.values(), self._step):  # calls without an answer, too
            if span is not None:
                span.end()
        self._tools, self._step = {}, None

    def _complete(self, event: TurnCompleted) -> None:
        self._turn.set_attributes(_usage(event.usage))
        self._turn.set_attribute("gen_ai.response.finish_reasons", [event.stop_reason])
        if self._is_told:
            said = {**_message("assistant", event.final_text), "finish_reason": event.stop_reason}
            self._turn.set_attribute("gen_ai.output.messages", _json([said]))

    def _fail(self, span: Span, kind: str, message: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._api.StatusCode.ERROR, message or None)


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }


def _messages(messages: Any) -> list[Any]:
    """The input as the conventions write messages; items that are no messages stay as they are."""
    if not isinstance(messages, list):
        return [_message("user", _text(messages))]
    items = cast("list[Any]", messages)
    return [_message(one["role"], _text(one.get("content"))) if "role" in one else one for one in items]


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
