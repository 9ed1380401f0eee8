"""What models are asked while a test runs: each request is noted before a cassette or an endpoint answers it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from antiphon.core.chat import chat_body
from antiphon.core.deltas import Delta
from antiphon.core.dialect import Dialect
from antiphon.core.effects import Generate
from antiphon.ports.model import Model
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import builtins
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.models import Model as ModelCard

Kind: TypeAlias = Literal["stream", "relay", "complete", "embed"]


@dataclass(frozen=True)
class Asked:
    """A request that a model got. `kind`: `stream` is a generation of a response, `relay` a chat completion that is
    passed on, `complete` and `embed` what they say; `body` is the request as its endpoint would get it."""

    kind: Kind
    endpoint: str
    model: str
    body: Mapping[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, as chat messages."""
        return list(self.body.get("messages", ()))

    @property
    def instructions(self) -> str:
        """The texts of system and developer messages."""
        roles = {"system", "developer"}
        return "\n".join(str(each["content"]) for each in self.messages if each.get("role") in roles)

    @property
    def text(self) -> str:
        """The last message of the user; "" where it has none, or no text alone."""
        contents = [each.get("content") for each in self.messages if each.get("role") == "user"]
        return contents[-1] if contents and isinstance(contents[-1], str) else ""

    @property
    def tools(self) -> list[str]:
        """The names of the functions that are offered."""
        return [str(tool["function"]["name"]) for tool in self.body.get("tools", ()) if "function" in tool]


class Listening:
    """A model port that notes what it is asked."""

    def __init__(self, endpoint: str, model: Model, notes: list[Asked]) -> None:
        self.model = model
        self._endpoint = endpoint
        self._notes = notes

    async def models(self) -> Sequence[ModelCard]:
        """See the port."""
        return await self.model.models()

    def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        """See the port."""
        body = builtins(chat_body(wanted, Dialect()))
        body.pop("stream")
        body.pop("stream_options")
        self._note("stream", wanted.model, body)
        return self.model.stream(wanted)

    def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        self._note("relay", request.model, request.body)
        return self.model.relay(request)

    def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        """See the port."""
        self._note("complete", request.model, request.body)
        return self.model.complete(request)

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        """See the port."""
        self._note("embed", request.model, request.body)
        return await self.model.embed(request)

    async def close(self) -> None:
        """See the port."""
        await self.model.close()

    def _note(self, kind: Kind, model: str, body: Mapping[str, Any]) -> None:
        self._notes.append(Asked(kind, self._endpoint, model, {**body, "model": model}))
