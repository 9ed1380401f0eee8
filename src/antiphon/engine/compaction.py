"""What can be asked about a context without starting a response: its size, and a compacted form of it."""

from __future__ import annotations

from antiphon.core.compaction import current, detached, user_messages
from antiphon.engine.catalog import Catalog
from antiphon.engine.intake import Intake
from antiphon.ports.clock import Clock
from antiphon.wire.compact import CompactedResponse, CompactRequest, CountRequest, InputTokens
from antiphon.wire.invalid import missing_parameter
from antiphon.wire.items import Compaction
from antiphon.wire.requests import as_response


class Contexts:
    """Contexts as a response would see them. Nothing is stored."""

    def __init__(self, intake: Intake, catalog: Catalog, clock: Clock) -> None:
        self._intake = intake
        self._catalog = catalog
        self._clock = clock

    async def count(self, project: str, wanted: CountRequest, /) -> InputTokens:
        """The tokens of what would be sent, all of it: nothing is truncated for counting. Without a model, those for
        the model that is listed first. Errors as of a response's creation."""
        model = wanted.model or await self._any_model()
        turn = await self._intake.look(project, as_response(wanted, model))
        return InputTokens(input_tokens=await turn.fitter.count(turn.generation()))

    async def compact(self, project: str, wanted: CompactRequest, /) -> CompactedResponse:
        """The user's messages and a summary of all else, which the model writes. Errors as of a response's creation,
        and those of the model."""
        turn = await self._intake.look(project, as_response(wanted, wanted.model))
        text, usage = await turn.fitter.summarise(turn.generation(), turn.context, turn.served.model)
        made = turn.fitter.compacted(detached(turn.context, text), usage)
        compaction = Compaction(id=self._clock.id("cmp_"), encrypted_content=made.encrypted_content)
        return CompactedResponse(
            id=self._clock.id("resp_"),
            created_at=int(self._clock.now()),
            output=(*user_messages(current((*turn.history, *turn.input)), self._clock.id), compaction),
            usage=usage,
        )

    async def _any_model(self) -> str:
        cards = await self._catalog.cards()
        if not cards:
            raise missing_parameter("model")
        return cards[0].id
