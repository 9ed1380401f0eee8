"""Every event: its keys and their order, OpenAI's schema, the official client's types."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from antiphon.wire import events as ev
from antiphon.wire.codec import builtins, encode
from antiphon.wire.content import OutputText, ReasoningText, Refusal, SummaryText, UrlCitation
from antiphon.wire.errors import InvalidRequestError, ModelError
from antiphon.wire.items import FunctionCall, Message
from antiphon.wire.responses import IncompleteDetails, Response, ResponseError, Usage
from tests.schemas import validate
from tests.shared import needs_shared

USAGE = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
OPEN = Response(id="resp_1", created_at=1, status="in_progress", model="m", service_tier="auto")
MESSAGE = Message(id="msg_1", status="in_progress", role="assistant", content=())
CALL = FunctionCall(id="fc_1", call_id="call_1", name="f", arguments="{}")
PLACE: dict[str, Any] = {"item_id": "msg_1", "output_index": 0}
PART: dict[str, Any] = {**PLACE, "content_index": 0}
SUMMARY: dict[str, Any] = {**PLACE, "summary_index": 0}
COMMAND: dict[str, Any] = {"output_index": 0, "command_index": 0}
CITED = UrlCitation(url="https://a.b", title="A", start_index=0, end_index=1)


def ended(status: Any, **more: Any) -> Response:
    return Response(id="resp_1", created_at=1, status=status, model="m", usage=USAGE, **more)


EVENTS: list[ev.Event] = [
    ev.Created(response=OPEN),
    ev.Queued(response=msgspec.structs.replace(OPEN, status="queued", background=True)),
    ev.InProgress(response=OPEN),
    ev.Completed(response=ended("completed", completed_at=2, output=(CALL,))),
    ev.Incomplete(response=ended("incomplete", incomplete_details=IncompleteDetails(reason="max_output_tokens"))),
    ev.Failed(response=ended("failed", error=ResponseError(code="server_error", message="broken"))),
    ev.ErrorEvent(code="server_error", message="broken"),
    ev.OutputItemAdded(output_index=0, item=MESSAGE),
    ev.OutputItemDone(output_index=0, item=CALL, response_id="resp_1"),
    ev.ContentPartAdded(**PART, part=OutputText(text="")),
    ev.ContentPartDone(**PART, part=Refusal(refusal="no")),
    ev.ContentPartDone(**PART, part=ReasoningText(text="hm"), response_id="resp_1"),
    ev.OutputTextDelta(**PART, delta="a"),
    ev.OutputTextDone(**PART, text="a"),
    ev.OutputTextAnnotationAdded(**PART, annotation_index=0, annotation=CITED),
    ev.RefusalDelta(**PART, delta="n"),
    ev.RefusalDone(**PART, refusal="no"),
    ev.ReasoningSummaryPartAdded(**SUMMARY, part=SummaryText(text="")),
    ev.ReasoningSummaryPartDone(**SUMMARY, part=SummaryText(text="so")),
    ev.ReasoningSummaryTextDelta(**SUMMARY, delta="s"),
    ev.ReasoningSummaryTextDone(**SUMMARY, text="so"),
    ev.ReasoningTextDelta(**PART, delta="h"),
    ev.ReasoningTextDone(**PART, text="hm"),
    ev.FunctionCallArgumentsDelta(**PLACE, delta="{"),
    ev.FunctionCallArgumentsDone(**PLACE, name="f", arguments="{}"),
    ev.CustomToolCallInputDelta(**PLACE, delta="x"),
    ev.CustomToolCallInputDone(**PLACE, input="x"),
    ev.CodeInterpreterCallCodeDelta(**PLACE, delta="1"),
    ev.CodeInterpreterCallCodeDone(**PLACE, code="1+1"),
    ev.ImageGenerationCallPartialImage(**PLACE, partial_image_index=0, partial_image_b64="aa=="),
    ev.McpCallArgumentsDelta(**PLACE, delta="{"),
    ev.McpCallArgumentsDone(**PLACE, arguments="{}"),
    ev.ShellCallCommandAdded(**COMMAND, command="l"),
    ev.ShellCallCommandDelta(**COMMAND, delta="s"),
    ev.ShellCallCommandDone(**COMMAND, command="ls"),
    ev.ShellCallOutputContentDelta(item_id="sh_1", **COMMAND, delta=ev.ShellOutputPiece(stdout="a")),
    ev.ShellCallOutputContentDone(
        item_id="sh_1",
        **COMMAND,
        output=({"outcome": {"type": "exit", "exit_code": 0}, "stdout": "a", "stderr": ""},),
    ),
    ev.AudioDelta(delta="aa==", response_id="resp_1"),
    ev.AudioDone(response_id="resp_1"),
    ev.AudioTranscriptDelta(delta="a", response_id="resp_1"),
    ev.AudioTranscriptDone(response_id="resp_1"),
    *(ev.phase(item_type, name)(**PLACE) for item_type, names in ev.PHASES.items() for name in names),
]
NAMES = [ev.event_type(event) for event in EVENTS]


def numbered(event: ev.Event, number: int = 7) -> dict[str, Any]:
    event.sequence_number = number
    return builtins(event)


def test_all_58_events_have_a_type() -> None:
    assert len(set(NAMES)) == 58


def test_the_union_of_events_holds_every_class() -> None:
    others = {ev.NestedErrorEvent, ev.InjectCreated, ev.InjectFailed}
    assert {type(event) for event in EVENTS} == set(get_args(ev.Event)) - others


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_type_and_sequence_number_come_first(event: ev.Event) -> None:
    keys = list(numbered(event))
    assert keys[:2] == ["type", "sequence_number"]
    assert list(json.loads(encode(event))) == keys


@needs_shared
@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_an_event_is_what_the_document_of_openai_says(event: ev.Event) -> None:
    validate("ResponseStreamEvent", numbered(event))


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_an_event_is_one_of_the_official_client(event: ev.Event) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    parsed = adapter.validate_python(numbered(event))
    assert (parsed.type, parsed.sequence_number) == (ev.event_type(event), 7)


def test_an_event_of_a_text_has_the_recorded_keys() -> None:
    delta = ev.OutputTextDelta(**PART, delta="a", sequence_number=4)
    assert encode(delta) == (
        b'{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,'
        b'"content_index":0,"delta":"a","logprobs":[]}'
    )


def test_the_response_id_is_the_last_key_where_it_is_given() -> None:
    assert list(builtins(ev.OutputItemDone(output_index=0, item=CALL, response_id="resp_1")))[-1] == "response_id"
    assert "response_id" not in builtins(ev.OutputItemDone(output_index=0, item=CALL))


def test_a_known_item_has_only_its_own_phases() -> None:
    with pytest.raises(ValueError, match="in_progress, searching, completed"):
        ev.phase("web_search_call", "failed")


def test_the_phases_of_an_extension_carry_its_prefix_in_front() -> None:
    event = ev.phase("antiphon:lookup_call", "looking")(**PLACE)
    assert builtins(event) == {"type": "antiphon:lookup_call.looking", "sequence_number": -1, **PLACE}


def test_a_flat_error_has_its_keys_beside_the_type() -> None:
    flat = ev.error_event(ModelError("gone"))
    assert builtins(flat) == {
        "type": "error",
        "sequence_number": -1,
        "code": "server_error",
        "message": "gone",
        "param": None,
    }


def test_a_nested_error_has_a_status_and_a_code_that_is_never_null() -> None:
    nested = ev.nested_error_event(InvalidRequestError("wrong", param="input"))
    assert builtins(nested) == {
        "type": "error",
        "status": 400,
        "error": {
            "type": "invalid_request_error",
            "code": "invalid_request_error",
            "message": "wrong",
            "param": "input",
        },
    }
