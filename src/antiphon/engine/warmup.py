"""A warm-up: a run over a model that says nothing. Its response is empty and complete, and holds the input."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from antiphon.core.deltas import Delta, StepEnded
from antiphon.core.effects import Generate
from antiphon.core.usage import counted


class Silence:
    """Ends every generation at once; no endpoint is asked and no token used."""

    async def stream(self, _wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """Nothing."""
        yield [StepEnded("stop", counted(0, 0))]
