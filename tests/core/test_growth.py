"""A long loop: what a round costs does not grow with the rounds before it."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.deltas import CallDelta, StepEnded
from antiphon.core.effects import Entry, Exchange, Generate, Measure, Outcome
from antiphon.core.fitting import Bounds, Fitting, weight
from antiphon.core.limits import Limits
from antiphon.core.usage import counted
from antiphon.wire.responses import CreateResponse
from tests.core.plays import SEARCH, Play, user

WIDE = 1_000_000_000


class Steps:
    """Counts calls of functions, ours and built-in ones."""

    def __init__(self) -> None:
        self.count = 0
        self._former = sys.getprofile()

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._former)

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        self.count += event in {"call", "c_call"}


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(window=WIDE), Bounds(threshold=WIDE)])
def test_the_last_round_of_a_long_loop_takes_as_many_steps_as_an_early_one(bounds: Bounds) -> None:
    play = Play(SEARCH, bounds=bounds, limits=Limits(rounds=1000))
    steps: list[int] = []
    for number in range(200):
        call_id = f"call_{number}"
        with Steps() as taken:
            play.run.receive([CallDelta(0, call_id, "web_search", "{}"), StepEnded("tool_calls", counted(5, 5))])
            play.run.receive([Outcome(call_id, "found")])
        assert isinstance(play.effect, Generate)
        steps.append(taken.count)
    assert steps[10] > 10
    assert max(steps[150:]) <= 1.1 * max(steps[10:20])


ENTRIES = st.lists(st.text(max_size=20).map(user) | st.just(Entry(None, Exchange("c", "f", "{}", "o"))), max_size=6)


@given(st.lists(ENTRIES, max_size=5), st.integers(0, 2000))
def test_a_context_that_grows_or_is_replaced_is_weighed_as_a_whole(contexts: list[list[Entry]], window: int) -> None:
    fitting = Fitting(Bounds(window=window))
    held: tuple[Entry, ...] = ()
    for more in contexts:
        held = tuple(more) if len(more) % 2 else (*held, *more)
        wanted = Generate(model="m", request=CreateResponse(model="m"), context=held)
        assert isinstance(fitting.before(wanted, begun=True), Measure) == (weight(wanted) > window)
