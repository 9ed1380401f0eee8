"""Every kind of store, for the tests of its contract."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import FrameType

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.ports.storage import Storage

DEADLINE = 30


@pytest.fixture
def clock() -> SeededClock:
    return SeededClock()


@pytest.fixture
def deadline() -> Iterator[None]:
    """Fails the test, wherever it waits."""

    def passed(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {DEADLINE} s")

    before = signal.signal(signal.SIGALRM, passed)
    signal.alarm(DEADLINE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=kinds("stores"))
async def store(
    request: pytest.FixtureRequest, clock: SeededClock, tmp_path: Path, deadline: None
) -> AsyncGenerator[Storage]:
    chosen = adapter("stores", str(request.param))
    made: Storage = chosen.make(chosen.config(), Parts(name="store", clock=clock, folder=tmp_path))
    await made.open()
    yield made
    await made.close()
