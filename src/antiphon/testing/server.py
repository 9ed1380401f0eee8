"""The server of one test: in this process, in a thread and a loop of its own, on a free port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from antiphon.adapters.clock import StillClock, SystemClock
from antiphon.adapters.models.scripted import Scripted
from antiphon.cli.serving import RefusalError, hosted
from antiphon.compose import Choices, Composition
from antiphon.ports.model import Model
from antiphon.replay.exchange import RecordingError
from antiphon.settings import Settings, SettingsError
from antiphon.taping import Report
from antiphon.testing.asked import Asked, Listening
from antiphon.testing.marks import MarkError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

KEY: Final = "antiphon-test"
"""Any key will do: the server asks for none."""
DEADLINE: Final = 30.0
"""Seconds to start in, and to stop in."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is served: settings, the adapters that they chose, and the seed of ids and times (None: real ones).
    `cassette` is the folder that the test's exchanges end up in (None: it has none)."""

    settings: Settings
    choices: Choices
    seed: int | None = 0
    cassette: Path | None = None


@dataclass
class Antiphon:
    """A server that runs. `asked` is what its models were asked so far, `folder` its data, `cassette` the test's."""

    url: str
    folder: Path
    cassette: Path | None
    clock: StillClock | None
    asked: list[Asked] = field(default_factory=list[Asked])
    api_key: str = KEY
    models: Mapping[str, Model] = field(default_factory=dict[str, Model])
    """The models behind the server, by the names of their endpoints."""
    report: Callable[[], Report | None] = field(default=lambda: None, repr=False)
    """What became of the cassette so far."""

    @property
    def base_url(self) -> str:
        """What OpenAI's clients call so."""
        return f"{self.url}/v1"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that OpenAI's clients read, for a process that the test starts."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.api_key}

    @property
    def scripted(self) -> Scripted:
        """The scripted model, whose gates the test opens. LookupError: there is none."""
        for model in self.models.values():
            if isinstance(model, Scripted):
                return model
        raise LookupError("no model of this server is scripted")

    @cached_property
    def client(self) -> OpenAI:
        """The official client, without its retries; closed behind the test."""
        import openai  # noqa: PLC0415  # not everybody has it

        return openai.OpenAI(base_url=self.base_url, api_key=self.api_key, max_retries=0, timeout=DEADLINE)

    @cached_property
    def async_client(self) -> AsyncOpenAI:
        """The official asynchronous client. Its connections close behind each answer, so that none outlives the loop of
        the test."""
        import openai  # noqa: PLC0415  # not everybody has it

        closing = {"Connection": "close"}
        return openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self.api_key, max_retries=0, timeout=DEADLINE, default_headers=closing
        )

    def close(self) -> None:
        """Close the client, if it was used."""
        client: Any = self.__dict__.pop("client", None)
        if client is not None:
            client.close()


class Hosting:
    """Runs a plan in a thread. `start` raises what the start raises; `stop` waits for the end."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ready: Future[Antiphon] = Future()
        self._stopping: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="antiphon", daemon=True)

    def start(self) -> Antiphon:
        """The server, as soon as it answers. Raises MarkError."""
        self._thread.start()
        try:
            return self._ready.result(DEADLINE)
        except (SettingsError, RefusalError, RecordingError) as error:
            raise MarkError(str(error)) from None

    def stop(self) -> None:
        """Stop the server. TimeoutError: it does not end."""
        if self._stopping is not None:
            self._stopping()
        self._thread.join(DEADLINE)
        if self._thread.is_alive():
            raise TimeoutError(f"the server of this test did not stop within {DEADLINE:.0f} seconds")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        plan, asked = self._plan, list[Asked]()
        models: dict[str, Model] = {}
        still = None if plan.seed is None else StillClock(plan.seed)
        clock = still or SystemClock()

        def around(name: str, model: Model) -> Model:
            models[name] = model
            return Listening(name, model, asked)

        async with hosted(plan.settings, plan.choices, clock=clock, around=around) as (
            url,
            composition,
        ):
            stopped = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._stopping = lambda: loop.call_soon_threadsafe(stopped.set)
            self._ready.set_result(self._made(url, composition, still, asked, models))
            await stopped.wait()

    def _made(
        self, url: str, composition: Composition, clock: StillClock | None, asked: list[Asked], models: dict[str, Model]
    ) -> Antiphon:
        folder, cassette = self._plan.settings.data.dir, self._plan.cassette
        return Antiphon(url, folder, cassette, clock, asked, models=models, report=composition.report)
