"""The embedder port with a tape."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final, Literal

from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import Embedder
from antiphon.replay.exchange import RecordingError
from antiphon.replay.tape import Deck, Place, typed
from antiphon.wire.codec import encode

EMBED: Final = Place("embedder")


class TapedEmbedder:
    """An embedder. Each text is an exchange of its own: how texts are grouped hangs on chance."""

    def __init__(self, embedder: Embedder, deck: Deck) -> None:
        self._embedder = embedder
        self._deck = deck
        self._dimension: int | None = None

    @property
    def model(self) -> str:
        """See the port."""
        return self._embedder.model

    @property
    def dimension(self) -> int | None:
        """See the port."""
        return self._embedder.dimension or self._dimension

    @property
    def most_texts(self) -> int:
        """See the port."""
        return self._embedder.most_texts

    @property
    def most_tokens(self) -> int:
        """See the port."""
        return self._embedder.most_tokens

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        """See the port."""
        tape = self._deck.tape
        if tape is None or not texts:
            return await self._embedder.embed(texts, use)

        async def live(places: Sequence[int]) -> list[bytes]:
            vectors = await self._embedder.embed([texts[place] for place in places], use)
            size = 4 * vectors.dimension
            packs = [vectors.packed[start : start + size] for start in range(0, len(vectors.packed), size)]
            return [encode(base64.b64encode(pack).decode()) for pack in packs]

        requests = [{"model": self.model, "text": text, "use": use} for text in texts]
        packs = [_packed(each) for each in await tape.values(EMBED, requests, live)]
        if len({len(pack) for pack in packs}) != 1 or not packs[0] or len(packs[0]) % 4:
            raise RecordingError("Recordings hold vectors of different or no dimensions.")
        self._dimension = len(packs[0]) // 4
        return Vectors(self._dimension, b"".join(packs))

    async def close(self) -> None:
        """See the port."""
        await self._embedder.close()


def _packed(content: bytes) -> bytes:
    try:
        return base64.b64decode(typed(content, str), validate=True)
    except ValueError as error:
        raise RecordingError("A recording holds what is no vector.") from error
