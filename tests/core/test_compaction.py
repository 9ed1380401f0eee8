"""What stands for a conversation that was compacted, and a run that does it."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.core.compaction import ASKED, TOLD, asking, compacted, current, detached, divided, user_messages
from antiphon.core.context import chat_messages
from antiphon.core.deltas import StepEnded, TextDelta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Compact, Compacted, Entry, Generate, Measure, Measured, Overflow
from antiphon.core.fitting import Bounds
from antiphon.core.sealed import Summary, carried, packed
from antiphon.core.usage import counted
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.items import Compaction, Message, Role, item_id
from antiphon.wire.responses import CreateResponse, ResponseError
from tests.core.plays import Play, counted_ids


def said(text: str, role: Role = "user") -> Entry:
    part = OutputText(text=text) if role == "assistant" else InputText(text=text)
    return Entry(Message(id=f"msg_{text}", role=role, content=(part,)))


def standing_for(summary: Summary, name: str = "cmp_1") -> Entry:
    return carried(Compaction(id=name, encrypted_content="sealed"), packed(summary))


def told(*context: Entry) -> list[tuple[str, str]]:
    """The messages that a model gets."""
    wanted = Generate("m", CreateResponse(model="m"), current(context))
    return [(message["role"], message["content"].removeprefix(TOLD)) for message in chat_messages(wanted, Dialect())]


DEVELOPER = said("rules", "developer")
TALK = (DEVELOPER, said("u1"), said("a1", "assistant"), said("u2"), said("a2", "assistant"))


def test_a_context_without_compaction_is_as_it_is() -> None:
    assert current(TALK) == TALK


def test_a_compaction_stands_for_everything_before_it() -> None:
    past, since = divided((*TALK, said("u3")))
    assert (past, since) == (TALK, (said("u3"),))
    entry = standing_for(compacted(past, since, "notes", room=10_000))
    assert told(*TALK, said("u3"), entry, said("a3", "assistant")) == [
        ("developer", "rules"),
        ("user", "u1"),
        ("user", "u2"),
        ("developer", "notes"),
        ("user", "u3"),
        ("assistant", "a3"),
    ]


def test_of_the_users_messages_the_last_are_kept_that_there_is_room_for() -> None:
    one = len(packed(Summary("", (Message(role="user", content=(InputText(text="u1"),), id="msg_u1"),)))) - len(
        packed(Summary("", ()))
    )
    assert [m.content for m in compacted(TALK, (), "n", room=one).kept] == [
        DEVELOPER.item.content if isinstance(DEVELOPER.item, Message) else (),
        (InputText(text="u2"),),
    ]
    assert len(compacted(TALK, (said("u3"),), "n", room=0).kept) == 2


def test_a_newer_compaction_takes_the_place_of_an_older_one() -> None:
    first = standing_for(compacted(TALK, (), "old notes", room=10_000))
    context = current((*TALK, first, said("u3"), said("a3", "assistant")))
    second = standing_for(compacted(context, (), "new notes", room=10_000), "cmp_2")
    assert told(*TALK, first, said("u3"), said("a3", "assistant"), second) == [
        ("developer", "rules"),
        ("user", "u1"),
        ("user", "u2"),
        ("user", "u3"),
        ("developer", "new notes"),
    ]


def test_a_client_that_is_given_the_messages_has_them_once() -> None:
    given = user_messages(TALK, counted_ids())
    assert [item_id(message) for message in given] == ["msg_0001", "msg_0002"]
    entry = standing_for(detached(TALK, "notes"))
    assert told(*map(Entry, given), entry, said("u3")) == [
        ("user", "u1"),
        ("user", "u2"),
        ("developer", "rules"),
        ("developer", "notes"),
        ("user", "u3"),
    ]


def test_rules_that_the_client_gives_again_are_told_once() -> None:
    entry = standing_for(detached(TALK, "notes"))
    assert told(said("u2"), entry, said("rules", "developer"), said("u3")) == [
        ("user", "u2"),
        ("developer", "notes"),
        ("developer", "rules"),
        ("user", "u3"),
    ]


@pytest.mark.parametrize("context", [(), (said("u"),), (DEVELOPER, said("u"), said("v")), (DEVELOPER,)])
def test_questions_alone_cannot_be_compacted(context: tuple[Entry, ...]) -> None:
    assert divided(context) == ((), context)


def test_the_summary_is_asked_for_without_tools_and_formats() -> None:
    request = CreateResponse(model="m", instructions="Be brief.", max_output_tokens=16, tool_choice="required")
    wanted = asking(Generate("m", request, (), max_output_tokens=16, tool_choice="required"), TALK)
    assert wanted.tool_choice == "none"
    assert wanted.max_output_tokens is None
    messages = chat_messages(wanted, Dialect())
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert messages[-1] == {"role": "user", "content": ASKED}
    assert [message["role"] for message in messages[1:-1]] == ["developer", "user", "assistant", "user", "assistant"]


# runs


def compacting(**bounds: Any) -> Play:
    """A run whose context has something to compact, and weighs more than 100 bytes."""
    return Play(context=TALK[:-1], bounds=Bounds(**bounds))


def done(text: str = "notes") -> Compacted:
    return Compacted(packed(compacted(TALK[:-2], TALK[-2:-1], text, room=10_000)), "sealed", counted(7, 3))


def test_a_context_that_is_surely_small_is_not_measured() -> None:
    assert isinstance(compacting(threshold=1_000_000).effect, Generate)
    assert isinstance(compacting().effect, Generate)


def test_a_context_below_the_threshold_goes_on_as_it_is() -> None:
    play = compacting(threshold=100)
    assert isinstance(play.effect, Measure)
    play.tell(Measured(100, (25, 25, 25, 25)))
    assert isinstance(play.effect, Generate)
    assert tuple(play.effect.context) == TALK[:-1]


def test_a_context_above_the_threshold_is_compacted_in_the_same_stream() -> None:
    play = compacting(threshold=100)
    play.tell(Measured(101, (25, 25, 25, 26)))
    effect = play.effect
    assert isinstance(effect, Compact)
    assert effect.past == TALK[:-2]
    assert effect.since == TALK[-2:-1]
    play.tell(done())
    assert isinstance(play.effect, Generate)
    assert told(*play.effect.context) == [
        ("developer", "rules"),
        ("user", "u1"),
        ("developer", "notes"),
        ("user", "u2"),
    ]
    play.tell(TextDelta("Answer."), StepEnded("stop", counted(10, 5)))
    assert play.types[:4] == ["created", "in_progress", "output_item.added", "output_item.done"]
    assert [item["type"] for item in play.output] == ["compaction", "message"]
    assert play.output[0] == {"type": "compaction", "id": "cmp_0001", "encrypted_content": "sealed"}
    assert play.run.response.status == "completed"
    assert play.run.response.usage == counted(17, 8)


def test_a_summary_does_not_count_against_the_output_limit() -> None:
    play = Play(context=TALK[:-1], bounds=Bounds(threshold=100), max_output_tokens=16)
    play.tell(Measured(101, (25, 25, 25, 26)))
    play.tell(done())
    assert isinstance(play.effect, Generate)
    assert play.effect.max_output_tokens == 16


def test_a_forced_compaction_is_the_whole_response() -> None:
    play = compacting(forced=True)
    assert isinstance(play.effect, Compact)
    assert play.effect.past == TALK[:-1]
    play.tell(done())
    assert play.effect is None
    assert [item["type"] for item in play.output] == ["compaction"]
    assert play.run.response.status == "completed"


def test_a_run_that_is_resumed_goes_on_from_its_compaction() -> None:
    play = compacting(threshold=100)
    play.tell(Measured(101, (25, 25, 25, 26)))
    play.tell(done())
    play.crash()
    assert isinstance(play.effect, Measure | Generate)
    wanted = play.effect.wanted if isinstance(play.effect, Measure) else play.effect
    assert told(*wanted.context) == [("developer", "rules"), ("user", "u1"), ("developer", "notes"), ("user", "u2")]


def test_a_run_cancelled_while_it_compacts_ends_cleanly() -> None:
    play = compacting(threshold=100)
    play.tell(Measured(101, (25, 25, 25, 26)))
    play.cancel()
    assert play.run.response.status == "cancelled"
    assert play.output == []


def test_an_endpoint_that_says_too_long_is_asked_again_with_less() -> None:
    play = Play(context=tuple(said(f"u{n}") for n in range(5)), bounds=Bounds(truncate=True))
    play.tell(Overflow(ResponseError(code="invalid_prompt", message="Too long.")))
    assert isinstance(play.effect, Generate)
    assert told(*play.effect.context) == [("user", "u2"), ("user", "u3"), ("user", "u4")]
    play.tell(TextDelta("Answer."), StepEnded("stop"))
    assert play.run.response.status == "completed"
    assert play.run.dropped == 2


def test_what_cannot_be_cut_further_fails() -> None:
    play = Play(context=(said("u"),), bounds=Bounds(truncate=True))
    play.tell(Overflow(ResponseError(code="invalid_prompt", message="Too long.")))
    assert play.run.response.status == "failed"
    assert play.run.response.error == ResponseError(code="invalid_prompt", message="Too long.")


def test_without_truncation_too_long_is_a_failure() -> None:
    play = compacting()
    play.tell(Overflow(ResponseError(code="invalid_prompt", message="Too long.")))
    assert play.run.response.status == "failed"
