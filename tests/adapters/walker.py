"""A process that drives background runs until it is killed, and says which checkpoints were acknowledged.

`python -m tests.adapters.walker FOLDER`. Each line is `RUN LAST`: the events of the run up to LAST are kept, and its
output up to LAST, for there is one entry per event. `RUN end` is a run that has ended with what it has.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.stores.sqlite import SqliteStore
from antiphon.core.effects import Entry
from tests.contracts.running import batch, finished, progress, waiting
from tests.contracts.turns import DEFAULT, answered

LENGTH = 7
"""Checkpoints of a run before its end."""


def made(name: str, place: int) -> Entry:
    return answered(f"{name}_{place}", f"Answer {place} of {name}.")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def walk(store: SqliteStore, name: str) -> None:
    await store.queue_run(DEFAULT, waiting(name))
    say(f"{name} -1")
    run = await store.claim_run(DEFAULT, f"resp_{name}", "walker", 0.0, 1.0)
    assert run is not None
    for place in range(LENGTH):
        await store.checkpoint(DEFAULT, progress(run, batch(place, place), (place, made(name, place)), until=1.0))
        say(f"{name} {place}")
    end = finished(run, *(made(name, place) for place in range(LENGTH)))
    await store.finish_run(DEFAULT, progress(run, batch(LENGTH, LENGTH)), end)
    say(f"{name} end")


async def lane(store: SqliteStore, number: int) -> None:
    for place in count():
        await walk(store, f"{number}-{place}")


async def main(folder: Path) -> None:
    store = SqliteStore(SystemClock(), folder)
    await store.open()
    await asyncio.gather(*(lane(store, number) for number in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
