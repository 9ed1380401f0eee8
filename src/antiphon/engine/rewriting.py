"""Questions rewritten for a search, by a model where the settings name one, else by rule (`core.questions`).

Law: a question is searched as it is only when the model wrote nothing; a model that fails is an error, never a silent
difference between two searches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from antiphon.core.deltas import TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.core.questions import shortened
from antiphon.engine.catalog import Catalog, UnknownModelError
from antiphon.wire.content import InputText
from antiphon.wire.errors import ModelError
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse

INSTRUCTIONS: Final = (
    "Rewrite the question of the user as a query for a search in documents. Keep every name, number and term; leave "
    "out what is said around the question; add nothing. Answer with the query alone, in the language of the question."
)
MOST_TOKENS: Final = 256
"""Of a rewritten question."""


class Rewriting:
    """Rewrites questions. `model`: a name of the catalog, None: by rule."""

    def __init__(self, catalog: Catalog, model: str | None) -> None:
        self._catalog = catalog
        self._model = model

    async def rewritten(self, questions: Sequence[str]) -> tuple[str, ...]:
        """Each of them. Raises what the model raises."""
        if self._model is None:
            return tuple(shortened(question) for question in questions)
        return tuple(await asyncio.gather(*(self._asked(self._model, question) for question in questions)))

    async def _asked(self, model: str, question: str) -> str:
        try:
            served = await self._catalog.resolve(model)
        except UnknownModelError:
            raise ModelError(f"The model '{model}', which rewrites queries, is not served.") from None
        message = Message(role="user", content=(InputText(text=question),))
        wanted = Generate(
            model=served.name,
            request=CreateResponse(model=served.name, instructions=INSTRUCTIONS),
            context=(Entry(message),),
            max_output_tokens=MOST_TOKENS,
        )
        pieces: list[str] = []
        async with aclosing(served.model.stream(wanted)) as batches:
            async for batch in batches:
                pieces += [delta.text for delta in batch if isinstance(delta, TextDelta)]
        return " ".join("".join(pieces).split()) or question
