"""Time and ids."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from antiphon.adapters.clock import SeededClock, StillClock, SystemClock
from antiphon.ports.clock import Clock

CLOCKS = pytest.mark.parametrize("clock", [SystemClock(), SeededClock(7)], ids=["system", "seeded"])


@CLOCKS
def test_an_id_is_its_prefix_and_48_hex_digits_that_begin_with_the_time(clock: Clock) -> None:
    before = int(clock.now() * 1000)
    made = clock.id("resp_")
    after = int(clock.now() * 1000)
    assert re.fullmatch(r"resp_[0-9a-f]{48}", made)
    assert before <= int(made[5:17], 16) <= after


@CLOCKS
def test_ids_do_not_repeat_and_later_ones_sort_later(clock: Clock) -> None:
    ids = [clock.id("") for _ in range(5000)]
    assert len({one[12:] for one in ids}) == 5000
    times = [one[:12] for one in ids]
    assert times == sorted(times)


@CLOCKS
def test_time_never_goes_back(clock: Clock) -> None:
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)


def test_the_system_clock_tells_the_time() -> None:
    assert abs(SystemClock().now() - time.time()) < 5


def test_threads_draw_different_ids() -> None:
    clock = SystemClock()

    def draw(count: int) -> list[str]:
        return [clock.id("x_") for _ in range(count)]

    with ThreadPoolExecutor(4) as pool:
        ids = [made for batch in pool.map(draw, [3000] * 8) for made in batch]
    assert len({made[14:] for made in ids}) == 24_000


def test_a_seeded_clock_repeats_itself() -> None:
    one, two, other = SeededClock(3), SeededClock(3), SeededClock(4)
    drawn = [one.id("a_") for _ in range(50)]
    assert drawn == [two.id("a_") for _ in range(50)]
    assert drawn != [other.id("a_") for _ in range(50)]
    assert one.now() == two.now()


def test_a_seeded_clock_advances_as_told() -> None:
    clock = SeededClock(start=100.0, tick=0.0)
    clock.advance(2.5)
    assert clock.now() == 102.5


def test_a_still_clock_moves_only_where_an_id_is_made_that_is_kept() -> None:
    one, two = StillClock(3), StillClock(3)
    before = one.now()
    assert one.now() == before
    one.id("req_")
    one.id("proc_")
    assert [one.id("resp_"), one.now()] == [two.id("resp_"), two.now()]
    assert round(one.now() - before, 3) == 0.001
    one.advance(60)
    assert round(one.now() - two.now(), 3) == 60
