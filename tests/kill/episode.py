"""One episode: a server with work of all kinds, a fault at a point, and what is left of it.

Beside the run that is brought to the point there are others anywhere in their course, a client that talks all the time
in the foreground, and responses that have ended: none of what their clients were told may be gone afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from typing import Any, Final

import msgspec

from tests.kill.client import Asked, Client
from tests.kill.house import LEASE, House, Server, StartError
from tests.kill.points import Fault, Moment, Point
from tests.kill.world import PLAYS, Place, World
from tests.patience import eventually

RUNS: Final = "run JOIN response ON response.key = run.response_id"
TALK: Final = 0.02
"""Seconds between two turns of the client that talks all the time."""
DEADLINE: Final = 30.0
"""Seconds within which every run that was accepted has to be terminal after the fault."""
BLOCKED: Final = 6.0
"""Seconds to wait for the second process: it does nothing if the first was stopped while it held the write lock."""


class Snapshot(msgspec.Struct, frozen=True):
    """What lay in the database at the fault: finished tool calls with how often they had been run, the fences of open
    runs, and those with a cancel that whoever takes them up must honour. (A process that is only stopped may have their
    last words in hand, and the client has heard of neither end.)"""

    calls: dict[Place, int]
    fences: dict[str, int]
    cancelled: frozenset[str]


class Episode:
    """`asked` is all that clients asked for; `open` how many accepted runs were not terminal when the fault struck."""

    def __init__(self, house: House, world: World, client: Client, rng: Random) -> None:
        self.house = house
        self.world = world
        self.client = client
        self.rng = rng
        self.asked: list[Asked] = []
        self.talk: list[Asked] = []
        self.talked: str | None = None
        self.conversations: dict[str, list[str]] = {}
        self.snapshot = Snapshot({}, {}, frozenset())
        self.open = 0
        self.first: Server
        self.survivor: Server
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    async def run(self, point: Point, fault: Fault) -> None:
        """Work, fault, recovery. Afterwards `survivor` serves, and everything that can end has ended."""
        self.first = await self.house.start()
        self._do(self._talk())
        await self._prelude()
        primary = await self._primary(point)
        await self._companions()
        self._do(self.client.create(self.first.url, primary))
        await self._strike(point, fault, primary)
        await self._recover(fault, primary)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(what))

    # work

    async def _prelude(self) -> None:
        """Responses that have ended before."""
        for background in (True, False):
            asked = Asked(key=f"before-{background}".lower(), kind="both", background=background)
            self.asked.append(asked)
            await self.client.create(self.first.url, asked)
            assert asked.told is not None, (asked, self.first.log.read_text(encoding="utf-8"))

    async def _new(self, key: str, kind: str) -> Asked:
        asked = Asked(key=key, kind=kind, stream=self.rng.random() < 0.6)
        if self.rng.random() < 0.5:
            asked.conversation = await self._conversation(key)
        self.asked.append(asked)
        return asked

    async def _conversation(self, key: str) -> str:
        item = {"type": "message", "role": "user", "content": f"remember {key}"}
        status, found = await self.client.post(self.first.url, "/conversations", {"items": [item]})
        assert status == 200, found
        _, page = await self.client.get(self.first.url, f"/conversations/{found['id']}/items")
        self.conversations[found["id"]] = [item["id"] for item in page["data"]]
        return found["id"]

    async def _primary(self, point: Point) -> Asked:
        kind = self.rng.choice(sorted(point.places))
        primary = await self._new("primary", kind)
        self._place = self.rng.choice(point.places[kind])
        if self._place:
            self.world.hold(primary.key, self._place)
        return primary

    async def _companions(self) -> None:
        self.world.pace = self.rng.uniform(0, 0.004)
        for number in range(2):
            kind = self.rng.choice(sorted(PLAYS))
            companion = await self._new(f"companion{number}", kind)
            if self.rng.random() < 0.6:
                last = len(PLAYS[kind]) - 1
                self.world.hold(companion.key, self.rng.choice(("asked/0", "half/0", f"half/{last}", "tool/b")))
            self._do(self.client.create(self.first.url, companion))

    async def _talk(self) -> None:
        """A client that goes on and on in the foreground, until its server is gone."""
        conversation = self.talked = await self._conversation("talk") if self.rng.random() < 0.5 else None
        while not self._over:
            asked = Asked(
                key=f"talk{len(self.talk)}",
                kind="text",
                background=False,
                stream=self.rng.random() < 0.5,
                conversation=conversation,
                previous=self.talk[-1].id if self.talk and conversation is None else None,
            )
            await self.client.create(self.first.url, asked)
            self.talk.append(asked)
            if asked.told is None:
                return
            await asyncio.sleep(TALK)

    # the fault

    async def _strike(self, point: Point, fault: Fault, primary: Asked) -> None:
        async with asyncio.timeout(DEADLINE):
            await primary.accepted.wait()
        if self._place:
            await self.world.reached(primary.key, self._place)
        moment = point.moment
        if moment is Moment.LOCKED or (moment is Moment.CANCEL and self.rng.random() < 0.5):
            await self._strike_locked(point, fault, primary)
            return
        if moment is Moment.FREED:
            self.world.free(primary.key, self._place)
        elif moment is Moment.STORED:
            await eventually(lambda: self._stored(primary))
        elif moment is Moment.CANCEL:
            self._do(self.client.cancel(self.first.url, primary))
        await asyncio.sleep(self.rng.uniform(0, point.wait))
        await self._fault(fault)

    async def _strike_locked(self, point: Point, fault: Fault, primary: Asked) -> None:
        """Keep the next commit waiting; half of the time the lock is gone before the fault comes."""
        with self.house.locked() as lock:
            if point.moment is Moment.CANCEL:
                self._do(self.client.cancel(self.first.url, primary))
            else:
                self.world.free(primary.key, self._place)
            await asyncio.sleep(self.rng.uniform(0.02, 0.06))
            if self.rng.random() < 0.5:
                await self._fault(fault)
                return
            lock.execute("ROLLBACK")
            await asyncio.sleep(self.rng.uniform(0, point.wait))
            await self._fault(fault)

    async def _stored(self, asked: Asked) -> bool:
        join = "response JOIN response_item ON response_item.response_id = response.key"
        return bool(self.house.rows(f"SELECT 1 FROM {join} WHERE response.id = ? AND side = 1", asked.id))

    async def _fault(self, fault: Fault) -> None:
        if fault is Fault.KILL:
            await self.first.kill()
        else:
            self.first.stop()
        self._over = True
        self.snapshot = self._snapshot(fault)
        self.open = sum(1 for one in self.asked if one.accepted.is_set() and one.id in self.snapshot.fences)

    def _snapshot(self, fault: Fault) -> Snapshot:
        runs = self.house.rows(f"SELECT response.id, run.fence, cancel FROM {RUNS}")
        bodies = self.house.rows("SELECT body FROM item WHERE type IN ('code_interpreter_call', 'web_search_call')")
        words = " ".join(str(body) for (body,) in bodies)
        done = {place: times for place, times in self.world.ran.items() if f'"{place[0]} {place[1]}"' in _plain(words)}
        cancelled = frozenset(run for run, _, asked in runs if asked and fault is Fault.KILL)
        return Snapshot(done, {run: fence for run, fence, _ in runs}, cancelled)

    # recovery

    async def _recover(self, fault: Fault, primary: Asked) -> None:
        self.world.free_all()
        if fault is Fault.KILL:
            self.survivor = await self.house.start()
            if self.rng.random() < 0.2:  # and once more, while it recovers
                await asyncio.sleep(self.rng.uniform(0, LEASE + 2))
                await self.survivor.kill()
                self.survivor = await self.house.start()
        elif self.rng.random() < 0.25:  # nobody else is there: the leases pass, and the same process finds its own runs
            await asyncio.sleep(self.rng.uniform(LEASE, 2 * LEASE))
            self.first.go_on()
            self.survivor = self.first
        else:
            await self._take_over(primary)
        with suppress(TimeoutError):  # what is not terminal then is found and said
            await eventually(self._all_over, deadline=DEADLINE)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*self._tasks)

    async def _take_over(self, primary: Asked) -> None:
        """A second process serves before the first one wakes up."""
        self.survivor = await self._second()
        if self.rng.random() < 0.3:
            asked = next(one for one in self.asked if one.key == "companion0")
            if asked.accepted.is_set() and asked.told is None:
                self._do(self.client.cancel(self.survivor.url, asked))
        early = self.rng.random() < 0.5
        with suppress(TimeoutError):
            await eventually((lambda: self._taken(primary)) if early else self._all_over, deadline=BLOCKED)
        self.first.go_on()

    async def _second(self) -> Server:
        """The next process. None can open a database whose write lock is held by a process that is stopped."""
        try:
            return await self.house.start()
        except StartError as error:
            if "locked" not in str(error):
                raise
            self.first.go_on()
            return await self.house.start()

    async def close(self) -> None:
        """Nobody asks any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(self, asked: Asked) -> bool:
        """Whether another process has claimed the run, or it is over."""
        held = self.house.rows(f"SELECT run.fence FROM {RUNS} WHERE response.id = ?", asked.id)
        return not held or held[0][0] > self.snapshot.fences.get(str(asked.id), 0)

    async def _all_over(self) -> bool:
        return not self.house.rows("SELECT 1 FROM run")


def _plain(words: str) -> str:
    """JSON within JSON, without its marks of escape."""
    return words.replace("\\", "")
