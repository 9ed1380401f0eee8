"""A process that saves responses until it is killed or refused, and says which ones were acknowledged.

`python -m tests.adapters.saver FOLDER [LIMIT]`: LIMIT bounds the size of the files it may write.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from itertools import count
from pathlib import Path

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.stores.sqlite import SqliteStore
from antiphon.wire.errors import StoreError
from tests.contracts.turns import DEFAULT, turn


async def one_after_another(store: SqliteStore, lane: int) -> None:
    for place in count():
        name = f"{lane}-{place}"
        await store.save_response(DEFAULT, turn(name, f"{lane}-{place - 1}" if place else None))
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


async def main(folder: Path) -> None:
    store = SqliteStore(SystemClock(), folder)
    await store.open()
    results = await asyncio.gather(*(one_after_another(store, lane) for lane in range(4)), return_exceptions=True)
    for result in results:
        said = result.message if isinstance(result, StoreError) else repr(result)
        sys.stdout.write(f"! {said}\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    asyncio.run(main(Path(sys.argv[1])))
