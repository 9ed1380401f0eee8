"""What must hold after a fault, whatever it was: all that any client was told is so, and nothing happened twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec

from tests.grammar import check, parse_sse
from tests.kill.client import BROKEN, FINAL, Asked
from tests.kill.episode import DEADLINE, RUNS, Episode
from tests.kill.world import ending

Json: TypeAlias = dict[str, Any]

LOCK: Final = 60.0
"""Seconds for which the turn of a dead process may keep its conversation locked."""


class Breach(StrEnum):
    """What can be wrong."""

    LOST = "acknowledged data lost"
    OPEN = "not terminal"
    TWICE = "run twice"
    ILLEGAL = "stream not legal"
    WRONG = "otherwise wrong"


class Verdict(msgspec.Struct):
    """Counts of what was looked at, and everything that was wrong."""

    counts: Counter[str] = msgspec.field(default_factory=Counter[str])
    breaches: list[tuple[Breach, str]] = msgspec.field(default_factory=list[tuple[Breach, str]])

    def expect(self, holds: bool, breach: Breach, words: str) -> bool:
        """Note what does not hold."""
        if not holds:
            self.breaches.append((breach, words))
        return holds


class Judge:
    """Looks at an episode that has ended."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.verdict = Verdict()
        self._client = episode.client
        self._url = episode.survivor.url

    async def judge(self) -> Verdict:
        """All there is to say."""
        episode = self.episode
        counts = self.verdict.counts
        counts["open runs"] = episode.open
        left = episode.house.rows(f"SELECT response.id, recoveries FROM {RUNS}")
        self.verdict.expect(not left, Breach.OPEN, f"runs are left: {left}")
        for asked in episode.asked:
            if asked.background:
                await self._background(asked)
            else:
                await self._foreground(asked)
        for asked in episode.talk:
            await self._foreground(asked)
        self._calls()
        await self._conversations()
        self._database()
        return self.verdict

    # responses

    async def _found(self, asked: Asked) -> Json | None:
        """The response, which somebody was told of."""
        status, found = await self._client.get(self._url, f"/responses/{asked.id}")
        told = self.verdict.expect(status == 200, Breach.LOST, f"{asked.key}: {status} {found}")
        return found if told else None

    async def _background(self, asked: Asked) -> None:
        if not asked.accepted.is_set():
            self.verdict.expect(asked.refused is None, Breach.WRONG, f"{asked.key} was refused: {asked.refused}")
            return
        self.verdict.counts["acknowledged"] += 1
        found = await self._found(asked)
        if found is None or not self.verdict.expect(found["status"] in FINAL, Breach.OPEN, f"{asked.key}: {found}"):
            return
        expect = self.verdict.expect
        expect(asked.told in (None, found), Breach.LOST, f"{asked.key}: told {asked.told}, found {found}")
        must = asked.cancelled or asked.id in self.episode.snapshot.cancelled
        allowed = {"cancelled"} if must else {"completed", "cancelled"} if asked.cancel else {"completed"}
        expect(found["status"] in allowed, Breach.WRONG, f"{asked.key} is {found['status']}: {found['error']}")
        if found["status"] == "completed":
            said = [item for item in found["output"] if item["type"] == "message"][-1:]
            right = said and ending(asked.kind, asked.key) in str(said[0]["content"])
            expect(bool(right), Breach.WRONG, f"{asked.key} ends with {found['output']}")
        if asked.stream:
            await self._stream(asked, found)

    async def _foreground(self, asked: Asked) -> None:
        if asked.told is None:
            return  # nobody was told that it is stored
        self.verdict.counts["acknowledged"] += 1
        found = await self._found(asked)
        same = found is None or found == asked.told
        self.verdict.expect(same, Breach.LOST, f"{asked.key}: told {asked.told}, found {found}")

    async def _stream(self, asked: Asked, found: Json) -> None:
        """It is legal; what was heard is its beginning, byte for byte; any rest fits behind its prefix."""
        expect = self.verdict.expect
        try:
            async with asyncio.timeout(DEADLINE):
                whole = await self._client.events(self._url, str(asked.id))
        except (*BROKEN, TimeoutError) as error:
            expect(False, Breach.ILLEGAL, f"{asked.key} cannot be read again: {error!r}")
            return
        events = parse_sse(whole)
        self.verdict.counts["events heard"] += asked.heard.count(b"\n\n")
        try:
            check(events, terminal=found["status"] != "cancelled")
        except (AssertionError, KeyError) as error:
            expect(False, Breach.ILLEGAL, f"{asked.key}: {error!r} in {[event['type'] for event in events]}")
        expect(whole.startswith(asked.heard), Breach.ILLEGAL, f"{asked.key} heard what the stream does not say")
        expect(not asked.ended or asked.heard == whole, Breach.ILLEGAL, f"{asked.key} heard an end too early")
        same = found["status"] == "cancelled" or events[-1].get("response") == found  # a cancel has no event
        expect(same, Breach.ILLEGAL, f"{asked.key}: the last event is not the response")
        after = self.episode.rng.randrange(len(events))
        rest = await self._client.events(self._url, str(asked.id), after)
        fits = whole.endswith(rest) and rest.count(b"\n\n") == len(events) - after - 1
        expect(fits, Breach.ILLEGAL, f"{asked.key}: the rest behind {after} does not fit")

    # tools

    def _calls(self) -> None:
        """Code never runs twice, and what had finished at the fault does not run again."""
        ran = self.episode.world.ran
        for (key, call), times in sorted(ran.items()):
            if call == "a":
                self.verdict.counts["unsafe calls"] += 1
                self.verdict.expect(times == 1, Breach.TWICE, f"{key} ran its code {times} times")
        for place, times in self.episode.snapshot.calls.items():
            self.verdict.expect(ran[place] == times, Breach.TWICE, f"{place} had finished and ran again")
        told = self.episode.house.rows("SELECT count(*) FROM item WHERE exchange LIKE '%effect is unknown%'")
        self.verdict.counts["calls cut"] += told[0][0]

    # conversations

    async def _conversations(self) -> None:
        expect = self.verdict.expect
        for conversation, held in self.episode.conversations.items():
            path = f"/conversations/{conversation}/items?order=asc&limit=100"
            status, page = await self._client.get(self._url, path)
            if not expect(status == 200, Breach.LOST, f"{conversation}: {page}"):
                continue
            found = [item["id"] for item in page["data"]]
            if conversation == self.episode.talked:
                self._talked(conversation, found)
                continue
            turn = next(asked for asked in self.episode.asked if asked.conversation == conversation)
            # a turn of which nobody was told may have been taken
            added = await self._added(turn) if turn.accepted.is_set() else found[len(held) :]
            wanted = [*held, *added]
            expect(found == wanted, Breach.LOST, f"{conversation} holds {found}, not {wanted}")
            if turn.accepted.is_set():
                await self._unlocked(conversation)
            else:
                self._soon_unlocked(conversation)

    async def _added(self, asked: Asked) -> list[str]:
        """The ids that this turn added to its conversation."""
        _, response = await self._client.get(self._url, f"/responses/{asked.id}")
        if response.get("status") != "completed":
            return []
        _, page = await self._client.get(self._url, f"/responses/{asked.id}/input_items?order=desc&limit=1")
        return [item["id"] for item in (*page["data"], *response["output"])]

    def _talked(self, conversation: str, found: list[str]) -> None:
        """Every turn that its client was told of is there, in order; one of which it was not told may be."""
        told = [asked.told["output"][0]["id"] for asked in self.episode.talk if asked.told is not None]
        inside = [item for item in found if item in told]
        self.verdict.expect(inside == told, Breach.LOST, f"{conversation} lacks turns: {found} of {told}")
        extra = len(found) - len(self.episode.conversations[conversation]) - 2 * len(told)
        self.verdict.expect(extra in {0, 2}, Breach.WRONG, f"{conversation} holds {extra} items more")
        self._soon_unlocked(conversation)

    def _soon_unlocked(self, conversation: str) -> None:
        """Somebody who died before he answered does not keep the lock for long."""
        until = self.episode.house.rows("SELECT lock_until FROM conversation WHERE id = ?", conversation)[0][0]
        late = until is not None and until > time.time() + LOCK
        self.verdict.expect(not late, Breach.WRONG, f"{conversation} stays locked until {until}")

    async def _unlocked(self, conversation: str) -> None:
        """The next turn is taken."""
        body = {"model": "world/m", "input": "play text after", "conversation": conversation}
        status, found = await self._client.post(self._url, "/responses", body)
        done = status == 200 and found["status"] == "completed"
        self.verdict.expect(done, Breach.WRONG, f"{conversation}: {status} {found}")

    # what lies on the disk

    def _database(self) -> None:
        checked = self.episode.house.rows("PRAGMA integrity_check")
        self.verdict.expect(checked == [("ok",)], Breach.WRONG, f"the database: {checked[:3]}")
        for server in self.episode.house.servers:
            words = server.complaints()
            self.verdict.expect(not words, Breach.WRONG, f"{server.log.name}: {words[:5]}")
