"""A process that adds chunks until it is killed or refused, and says which ones were acknowledged.

`python -m tests.adapters.indexer FOLDER [LIMIT]`: LIMIT bounds the size of the files it may write. It prints the id of
a document and how many chunks it has; documents are published when they have 24, and every third one is removed.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from itertools import count
from pathlib import Path

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.indexes.embedded import EmbeddedIndex
from antiphon.wire.errors import StoreError
from tests.contracts.searching import chunks, document, vectors


def words(name: str, position: int) -> str:
    """The text of a chunk: some that are its own and many that are nobody's else."""
    return f"{name} {position} red " + " ".join(f"{name}x{position}x{at}" for at in range(40))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def one(index: EmbeddedIndex, number: int) -> None:
    each = document(str(number))
    for first in range(0, 24, 8):
        given = chunks(*[words(each.id, at) for at in range(first, first + 8)], first=first)
        await index.add(each, given, vectors(*[(1, at, number) for at in range(first, first + 8)]))
        say(f"{each.id} {first + 8}")
    await index.publish(each, {"number": number})
    if number % 3 == 2:
        say(f"{each.id} 0")
        await index.remove([each])


async def main(folder: Path) -> None:
    index = EmbeddedIndex(SystemClock(), folder)
    await index.open()
    try:
        for number in count():
            await one(index, number)
    except StoreError as error:
        say(f"! {error.message}")
    await index.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    asyncio.run(main(Path(sys.argv[1])))
