"""What of an item is shown."""

from __future__ import annotations

from antiphon.core.includes import shown, shown_response
from antiphon.wire.codec import Unknown
from antiphon.wire.content import InputImage, LogProb, OutputText
from antiphon.wire.items import CodeInterpreterCall, FileSearchCall, Item, Message, Reasoning, WebSearchCall
from antiphon.wire.responses import Response

SEARCH = WebSearchCall(id="ws_1", action={"type": "search", "query": "q", "sources": [{"url": "u"}]})
FILES = FileSearchCall(id="fs_1", queries=("q",), results=({"file_id": "file-1"},))
CODE = CodeInterpreterCall(id="ci_1", container_id="c", code="1", outputs=({"type": "logs", "logs": "1"},))
SPOKEN = Message(
    id="msg_1", role="assistant", content=(OutputText(text="a", logprobs=(LogProb(token="a", logprob=-0.1),)),)
)


def test_what_was_not_asked_for_is_left_out() -> None:
    assert shown(SEARCH, ()) == WebSearchCall(id="ws_1", action={"type": "search", "query": "q"})
    assert shown(FILES, ()) == FileSearchCall(id="fs_1", queries=("q",), results=None)
    assert shown(CODE, ()) == CodeInterpreterCall(id="ci_1", container_id="c", code="1", outputs=None)
    assert shown(SPOKEN, ()) == Message(id="msg_1", role="assistant", content=(OutputText(text="a"),))


def test_what_was_asked_for_is_shown() -> None:
    asked: list[tuple[Item, str]] = [
        (SEARCH, "web_search_call.action.sources"),
        (FILES, "file_search_call.results"),
        (CODE, "code_interpreter_call.outputs"),
        (SPOKEN, "message.output_text.logprobs"),
    ]
    for item, include in asked:
        assert shown(item, (include,)) is item
        for other in {wanted for _, wanted in asked} - {include}:
            assert shown(item, (other,)) != item


def test_what_clients_gave_is_always_shown() -> None:
    image = Message(role="user", content=(InputImage(image_url="data:,x"),))
    sealed = Reasoning(id="rs_1", encrypted_content="sealed")
    other = Unknown({"type": "other", "results": [1]})
    for item in (image, sealed, other):
        assert shown(item, ()) is item


def test_an_item_with_nothing_to_hide_is_the_same_object() -> None:
    plain = Message(id="msg_1", role="assistant", content=(OutputText(text="a"),))
    opened = WebSearchCall(id="ws_1", status="in_progress")
    assert shown(plain, ()) is plain
    assert shown(opened, ()) is opened
    response = Response(id="resp_1", created_at=1, status="completed", model="m", output=(plain, opened))
    assert shown_response(response, ()) is response


def test_a_response_made_with_log_probabilities_shows_them() -> None:
    response = Response(id="resp_1", created_at=1, status="completed", model="m", output=(SPOKEN, SEARCH))
    assert shown_response(response, ()).output == (shown(SPOKEN, ()), shown(SEARCH, ()))
    asked = Response(id="resp_1", created_at=1, status="completed", model="m", output=(SPOKEN, SEARCH), top_logprobs=2)
    assert shown_response(asked, ()).output == (SPOKEN, shown(SEARCH, ()))
