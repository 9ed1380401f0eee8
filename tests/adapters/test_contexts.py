"""The cache of contexts: what it shares, what it drops, and that it never says what is no longer so."""

from __future__ import annotations

from antiphon.adapters.sql.contexts import Contexts, Stamp, Turn
from tests.contracts.turns import entries

PROJECT = 1
LARGE = 1 << 30


def turns(count: int, *, name: str = "resp", first: str | None = None, weight: int = 1000) -> list[Turn]:
    """A chain `<name>_0`, `<name>_1`... after `first`."""
    return [
        Turn(f"{name}_{at}", f"{name}_{at - 1}" if at else first, entries(f"{name}_{at}", 2), 1, weight)
        for at in range(count)
    ]


def test_a_chain_is_put_together_from_its_turns() -> None:
    contexts = Contexts(LARGE)
    contexts.add(PROJECT, turns(3), deletions=0)
    node = contexts.turn(PROJECT, "resp_2")
    assert node is not None
    assert node.context().entries == [entry for turn in turns(3) for entry in turn.entries]
    assert node.context().outputs == 1


def test_a_turn_without_the_one_before_it_is_not_kept() -> None:
    contexts = Contexts(LARGE)
    contexts.add(PROJECT, turns(2, first="resp_gone"), deletions=0)
    assert contexts.turn(PROJECT, "resp_0") is None
    assert contexts.weight == 0


def test_a_fork_shares_what_came_before() -> None:
    contexts = Contexts(LARGE)
    contexts.add(PROJECT, turns(100), deletions=0)
    before = contexts.weight
    contexts.add(PROJECT, turns(1, name="fork", first="resp_98"), deletions=0)
    assert contexts.weight - before < before / 50
    node = contexts.turn(PROJECT, "fork_0")
    assert node is not None
    assert len(node.context().entries) == 200


def test_the_chain_that_was_not_used_for_longest_goes_first_and_from_its_end() -> None:
    contexts = Contexts(10_000)
    contexts.add(PROJECT, turns(2, name="old"), deletions=0)
    contexts.add(PROJECT, turns(2, name="new"), deletions=0)
    assert contexts.turn(PROJECT, "old_1") is not None  # used: now `new` is the older one
    contexts.add(PROJECT, turns(2, name="next"), deletions=0)
    assert contexts.weight <= 10_000
    assert contexts.turn(PROJECT, "new_1") is None
    assert contexts.turn(PROJECT, "new_0") is not None
    assert contexts.turn(PROJECT, "old_1") is not None


def test_a_chain_larger_than_the_cache_is_not_kept_whole() -> None:
    contexts = Contexts(10_000)
    contexts.add(PROJECT, turns(50), deletions=0)
    assert 0 < contexts.weight <= 10_000
    assert contexts.turn(PROJECT, "resp_0") is not None
    assert contexts.turn(PROJECT, "resp_49") is None


def test_our_own_deletion_takes_only_what_builds_on_it() -> None:
    contexts = Contexts(LARGE)
    contexts.add(PROJECT, turns(4), deletions=0)
    contexts.add(PROJECT, turns(1, name="fork", first="resp_1"), deletions=0)
    contexts.add(PROJECT, turns(1, name="other"), deletions=0)
    contexts.deleted(PROJECT, "resp_1", deletions=1)
    kept = [name for name in ("resp_0", "resp_1", "resp_3", "fork_0", "other_0") if contexts.turn(PROJECT, name)]
    assert kept == ["resp_0", "other_0"]


def test_a_deletion_by_somebody_else_takes_the_projects_chains() -> None:
    contexts = Contexts(LARGE)
    contexts.add(PROJECT, turns(2), deletions=3)
    contexts.add(PROJECT + 1, turns(2), deletions=0)
    assert contexts.current(PROJECT, 4)
    assert contexts.turn(PROJECT, "resp_1") is None
    assert contexts.turn(PROJECT + 1, "resp_1") is not None


def test_what_was_read_before_a_deletion_is_not_kept() -> None:
    contexts = Contexts(LARGE)
    assert contexts.current(PROJECT, 5)
    contexts.add(PROJECT, turns(2), deletions=4)
    assert contexts.turn(PROJECT, "resp_0") is None
    assert not contexts.current(PROJECT, 4)


def test_a_conversation_is_good_only_for_its_state() -> None:
    contexts = Contexts(LARGE)
    contexts.hold(PROJECT, "conv_a", Stamp(1, 5), entries("a", 2), 100)
    assert contexts.conversation(PROJECT, "conv_a", Stamp(1, 5)) == entries("a", 2)
    assert contexts.conversation(PROJECT, "conv_a", Stamp(1, 6)) is None
    contexts.extend(PROJECT, "conv_a", Stamp(1, 6), entries("b", 1), 100)
    assert contexts.conversation(PROJECT, "conv_a", Stamp(1, 6)) == (*entries("a", 2), *entries("b", 1))
    contexts.extend(PROJECT, "conv_a", Stamp(1, 8), entries("c", 1), 100)  # somebody else made the 7th change
    assert contexts.conversation(PROJECT, "conv_a", Stamp(1, 8)) is None
    contexts.forget(PROJECT, "conv_a")
    assert contexts.weight == 0
