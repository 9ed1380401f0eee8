"""A model that says what a script tells it, for tests and demonstrations.

A script is plain data: steps, one for each generation (adapters/scripting); in the settings, in a file of its own, or a
function. Nothing here is random or takes time unless a step says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from msgspec import Struct

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.relay import relayed
from antiphon.adapters.scripting import reading
from antiphon.adapters.scripting.acts import (
    ERRORS,
    Act,
    Calling,
    Calls,
    Cuts,
    Event,
    Fails,
    Reasons,
    Refuses,
    Says,
    Sends,
    Step,
    Waits,
    When,
    deltas,
)
from antiphon.adapters.scripting.asking import Asking, last_user_text, step_for
from antiphon.core.deltas import Delta, StepEnded
from antiphon.core.effects import Generate
from antiphon.ports.clock import Clock
from antiphon.ports.model import unserved
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import ModelError
from antiphon.wire.models import Model as ModelCard

__all__ = [
    "ERRORS", "Act", "Calling", "Calls", "Cuts", "Fails", "Reasons", "Refuses", "Says", "Script", "Scripted", "Sends",
    "Step", "Waits", "When", "last_user_text", "make", "script_of",
]  # fmt: skip

KEPT: Final = 1000
"""Generations that are remembered as asked."""
NAMES: Final[tuple[str, ...]] = ("scripted",)


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps; each generation takes the first that is not spent and whose `when` fits."""

    steps: tuple[Step, ...] = ()
    """What is said, generation by generation: docs/pytest.md."""
    models: tuple[str, ...] = ("scripted",)
    script: str = ""
    """A file that has the steps: YAML, TOML, JSON or Python. It is read again when it has changed."""

    def __post_init__(self) -> None:
        if self.script:
            if self.steps:
                raise ValueError("`steps` and `script` cannot both be")
            reading.read(Path(self.script))


class Told(Script, frozen=True):
    """A script that is a function: it is asked for each generation what to say."""

    answers: reading.Answers | None = None


class Scripted:
    """The model port over a script. `asked` holds every generation that was wanted, in order."""

    def __init__(
        self, script: Script | Sequence[Step] = (), *, name: str = "scripted", clock: Clock | None = None
    ) -> None:
        self.script = script if isinstance(script, Script) else Script(tuple(script))
        self.name = name
        self.asked: list[Generate] = []
        self.closed = 0
        """How many generations were closed before their end."""
        self._clock = clock or SeededClock()
        self._file = Path(self.script.script) if self.script.script else None
        self._written = 0
        self._models: tuple[str, ...] = self.script.models
        self._left = list(self.script.steps)
        self._answers = self.script.answers if isinstance(self.script, Told) else None
        self._gates: dict[str, asyncio.Event] = {}
        self._reached: dict[str, asyncio.Event] = {}
        self._read()

    def open(self, gate: str) -> None:
        """Let whoever waits at this gate go on, now and later."""
        self._gates.setdefault(gate, asyncio.Event()).set()

    async def reached(self, gate: str) -> None:
        """Return once a generation waits at this gate, or has."""
        await self._reached.setdefault(gate, asyncio.Event()).wait()

    async def models(self) -> Sequence[ModelCard]:
        """The names in the script."""
        return [ModelCard(id=model, owned_by=self.name) for model in self._models]

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Perform the next step; ModelError when there is none."""
        self.asked.append(wanted)
        del self.asked[:-KEPT]
        asking = Asking(wanted)
        step = self._take(asking)
        ended = False
        try:
            batch: list[Delta] = []
            for act in step.acts:
                if isinstance(act, Event):
                    if batch:
                        yield batch
                        batch = []
                    await self._endure(act)
                    continue
                for delta in deltas(asking.filled(act)):
                    batch.append(delta)
                    if len(batch) >= step.batch:
                        yield batch
                        batch = []
            ended = True
            yield [*batch, StepEnded(step.finish_word, step.usage)]
        finally:
            self.closed += not ended

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Perform the next step as a chat completion."""
        return relayed(self.stream, request, self._clock)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """Not served."""
        raise unserved(request.model, "completions")

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """Not served."""
        raise unserved(request.model, "embeddings")

    async def close(self) -> None:
        """Nothing to release."""

    def _take(self, asking: Asking) -> Step:
        self._read()
        if self._answers is not None:
            try:
                return reading.said(self._answers(asking))
            except reading.ScriptError as error:
                raise ModelError(f"The script: {error}") from error
        step = step_for(self._left, asking)
        if step is None:
            raise ModelError("The script has no step for this generation.")
        if not step.repeat:
            self._left.remove(step)
        return step

    def _read(self) -> None:
        """Read the file, if it has changed; the script then begins anew. Raises ModelError."""
        if self._file is None:
            return
        try:
            written = self._file.stat().st_mtime_ns
            if written == self._written:
                return
            found = reading.read(self._file)
        except (OSError, reading.ScriptError) as error:
            words = str(error).replace(str(self._file), self._file.name)  # a client reads it: no paths
            raise ModelError(f"The script: {words}") from error
        self._written = written
        self._left, self._answers = list(found.steps), found.answers
        self._models = found.models if found.models and self.script.models == NAMES else self.script.models

    async def _endure(self, act: Event) -> None:
        if isinstance(act, Fails):
            raise act.raised()
        if isinstance(act, Cuts):
            raise ModelError("The stream of the scripted model was cut.")
        if act.gate is not None:
            self._reached.setdefault(act.gate, asyncio.Event()).set()
            await self._gates.setdefault(act.gate, asyncio.Event()).wait()
        if act.seconds:
            await asyncio.sleep(act.seconds)


def script_of(given: Any, names: tuple[str, ...] = ()) -> Script:
    """The script of a program: a file's path, steps as the files have them, or a function; `names` are those of its
    models. Raises ScriptError, which is a ValueError."""
    if isinstance(given, Script):
        return given
    if isinstance(given, str | Path):
        return Script(script=str(given), models=names or NAMES)
    if callable(given):
        return Told(models=names or NAMES, answers=cast("reading.Answers", given))
    found = reading.converted(given, "script")
    return Script(found.steps, names or found.models or NAMES)


def make(config: Script, parts: Parts) -> Scripted:
    """The adapter of kind `scripted`."""
    return Scripted(config, name=parts.name, clock=parts.clock)
