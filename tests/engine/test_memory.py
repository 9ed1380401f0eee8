"""What a connection remembers: shared, bounded, forgotten whole."""

from __future__ import annotations

from antiphon.core.effects import Entry, Exchange
from antiphon.engine.memory import Chains
from antiphon.wire.content import InputText
from antiphon.wire.items import Message


def entries(*texts: str) -> list[Entry]:
    return [Entry(Message(id=f"msg_{text[:8]}", role="user", content=(InputText(text=text),))) for text in texts]


def chains(responses: int = 10, size: int = 1_000_000) -> Chains:
    return Chains(responses=responses, size=size)


def test_a_chain_is_what_each_turn_left() -> None:
    memory = chains()
    one, two, other = entries("one", "two", "other")
    memory.keep("resp_1", [one])
    memory.keep("resp_2", [one, two], "resp_1")
    memory.keep("resp_3", [one, other], "resp_1")
    assert memory.chain("resp_1") == (one,)
    assert memory.chain("resp_2") == (one, two)
    assert memory.chain("resp_3") == (one, other)
    assert memory.chain("resp_4") is None


def test_what_responses_share_is_counted_once() -> None:
    memory = chains()
    big, small = entries("x" * 10_000, "y")
    memory.keep("resp_1", [big])
    alone = memory.size
    memory.keep("resp_2", [big, small], "resp_1")
    memory.keep("resp_3", [big, small], "resp_1")
    assert memory.size < alone + 1_000


def test_forgetting_a_response_leaves_what_continues_it() -> None:
    memory = chains()
    one, two = entries("one", "two")
    memory.keep("resp_1", [one])
    memory.keep("resp_2", [one, two], "resp_1")
    memory.evict("resp_1")
    memory.evict("resp_1")
    assert "resp_1" not in memory
    assert memory.chain("resp_2") == (one, two)
    memory.evict("resp_2")
    assert memory.size == 0


def test_the_response_used_least_recently_is_forgotten_first() -> None:
    memory = chains(responses=2)
    memory.keep("resp_1", entries("one"))
    memory.keep("resp_2", entries("two"))
    memory.chain("resp_1")
    memory.keep("resp_3", entries("three"))
    assert [name in memory for name in ("resp_1", "resp_2", "resp_3")] == [True, False, True]


def test_bytes_are_bounded() -> None:
    memory = chains(size=50_000)
    context: list[Entry] = []
    previous: str | None = None
    for number in range(20):
        context = [*context, *entries(f"{number} {'x' * 10_000}")]
        memory.keep(f"resp_{number}", context, previous)
        previous = f"resp_{number}"
        assert memory.size <= 50_000
    assert memory.chain("resp_19") is None  # one chain that is larger than the bound is not kept in part
    memory.keep("resp_small", entries("small"))
    assert memory.chain("resp_small") is not None


def test_a_turn_that_changed_its_history_stands_alone() -> None:
    memory = chains()
    one, two, summary = entries("one", "two", "summary")
    memory.keep("resp_1", [one])
    memory.keep("resp_2", [summary, two], "resp_1")
    assert memory.chain("resp_2") == (summary, two)
    memory.keep("resp_3", [], "resp_1")
    assert memory.chain("resp_3") == ()


def test_a_response_kept_again_is_not_counted_twice() -> None:
    memory = chains()
    memory.keep("resp_1", entries("one"))
    size = memory.size
    memory.keep("resp_1", entries("one"))
    assert memory.size == size


def test_what_the_model_was_told_counts() -> None:
    memory = chains()
    memory.keep("resp_1", [Entry(None, Exchange("call_1", "search", "{}", "x" * 1_000))])
    assert memory.size > 1_000
