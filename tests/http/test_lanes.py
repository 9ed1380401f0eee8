"""Lanes: order within one, freedom between them, bounds over all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from antiphon.http.lanes import LaneLimits, Lanes

DEADLINE = 5.0


@dataclass
class Stage:
    """Work that ends when the test lets it; `done` is what ended, in order."""

    limits: LaneLimits = field(default_factory=LaneLimits)
    gates: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    begun: list[str] = field(default_factory=list[str])
    done: list[str] = field(default_factory=list[str])
    rests: int = 0

    def __post_init__(self) -> None:
        self.lanes = Lanes[str](self._perform, self._rest, self.limits)
        self.rested = asyncio.Event()

    def _rest(self) -> None:
        self.rests += 1
        self.rested.set()

    async def _perform(self, work: str) -> None:
        self.begun.append(work)
        if work in self.gates:
            await self.gates[work].wait()
        self.done.append(work)

    async def end(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.rested.wait()


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_lane_keeps_its_order_and_others_pass_it() -> None:
    stage = Stage(gates={"a1": asyncio.Event()})
    for lane, work in (("a", "a1"), ("a", "a2"), ("b", "b1"), (None, "c1")):
        assert stage.lanes.put(lane, work, 1)
    await settled()
    assert stage.done == ["b1", "c1"]
    assert not stage.lanes.idle
    stage.gates["a1"].set()
    await stage.end()
    assert stage.done == ["b1", "c1", "a1", "a2"]
    assert stage.lanes.idle


async def test_only_so_many_lanes_work_at_once() -> None:
    gate = asyncio.Event()
    stage = Stage(LaneLimits(lanes=2), dict.fromkeys("abcd", gate))
    for name in "abcd":
        assert stage.lanes.put(name, name, 1)
    await settled()
    assert stage.begun == ["a", "b"]
    gate.set()
    await stage.end()
    assert stage.begun == ["a", "b", "c", "d"]


async def test_only_so_much_waits() -> None:
    gate = asyncio.Event()
    stage = Stage(LaneLimits(waiting=2), {"a": gate})
    assert stage.lanes.put("a", "a", 1)
    await settled()
    assert [stage.lanes.put("a", "more", 1) for _ in range(3)] == [True, True, False]
    gate.set()
    await stage.end()
    assert stage.lanes.put("a", "later", 1)


async def test_only_so_many_bytes_wait_but_one_piece_may_be_of_any_size() -> None:
    gate = asyncio.Event()
    stage = Stage(LaneLimits(size=10), {"a": gate})
    assert stage.lanes.put("a", "a", 100)
    await settled()
    assert [stage.lanes.put("a", "more", size) for size in (100, 1)] == [True, False]
    gate.set()
    await stage.end()


async def test_closing_stops_the_work() -> None:
    stage = Stage(gates={"a": asyncio.Event()})
    stage.lanes.put("a", "a", 1)
    stage.lanes.put("a", "b", 1)
    await settled()
    async with asyncio.timeout(DEADLINE):
        await stage.lanes.close()
    assert (stage.done, stage.rests, stage.lanes.idle) == ([], 1, True)


async def test_closing_before_anything_began_ends_too() -> None:
    stage = Stage()
    stage.lanes.put("a", "a", 1)
    async with asyncio.timeout(DEADLINE):
        await stage.lanes.close()
    assert stage.lanes.idle
