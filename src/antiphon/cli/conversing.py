"""A chat as a client of a server: its model, tools and files, its turns so far, and the next one.

Law: the turns so far are what is shown, saved and continued from; a turn that failed or was cancelled is none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from openai import AsyncOpenAI

from antiphon.agent import AsyncAgent, AsyncTurn, TurnFailed, TurnResult
from antiphon.cli.attaching import Part, Shelf
from antiphon.cli.display import Display, Tell

TICK: Final = 0.1
"""Seconds between two moves of the spinner."""


class NoModelError(Exception):
    """The server names no model, and neither did the user."""


class Turn(msgspec.Struct, frozen=True):
    """A question and its answer. `response_id` is what the next turn follows."""

    question: str
    answer: str
    model: str
    response_id: str


class Conversation:
    """Turns with a server. Methods raise openai's APIError and AgentError; cancelling a turn is cancelling its task."""

    def __init__(self, client: AsyncOpenAI, display: Display, tell: Tell, *, stateless: bool = False) -> None:
        self.client = client
        self.tell = tell
        self.model = ""
        self.shelf = Shelf(client)
        self.tools: dict[str, Part] = {}
        self.turns: list[Turn] = []
        self._display = display
        self._mode: Literal["stateless", "response"] = "stateless" if stateless else "response"
        self._agent: AsyncAgent | None = None
        self._asked = ""

    async def models(self) -> list[str]:
        """The models of the server, those with weights first."""
        found = [model async for model in self.client.models.list()]
        return [model.id for model in sorted(found, key=lambda model: model.owned_by == "antiphon")]

    async def choose(self, wanted: str | None) -> None:
        """Take this model, or the first that the server names."""
        self.model = wanted or next(iter(await self.models()), "")
        if not self.model:
            raise NoModelError("the server has no model")

    def declared(self) -> list[Part]:
        """The tools of the next turn."""
        search = self.shelf.tool
        return [*([search] if search else []), *self.tools.values()]

    async def ask(self, question: str) -> TurnResult | None:
        """Have a turn and show it; None when it failed. A turn with approvals goes on with `answer`."""
        follows = self.turns[-1].response_id if self.turns and self._mode == "response" else None
        self._agent = AsyncAgent(self.client, model=self.model, tools=self.declared(), continuity=self._mode)
        session_id = follows or await self._agent.create_session()
        self._asked = question
        return await self._shown(self._agent.create_turn(self._messages(question), session_id))

    async def answer(self, state: str, verdicts: Mapping[str, bool | str]) -> TurnResult | None:
        """Go on with a turn that waits for approvals: True, False, or the reason of a denial."""
        assert self._agent is not None
        return await self._shown(self._agent.resume(state, verdicts))

    def forget(self, kept: int = 0) -> None:
        """Go back to the first turns."""
        del self.turns[kept:]

    def _messages(self, question: str) -> list[dict[str, Any]]:
        """The question with what is attached to it; before it the turns so far, where the server does not keep them."""
        parts = [*self.shelf.parts, {"type": "input_text", "text": question}]
        told: list[dict[str, Any]] = []
        for turn in self.turns if self._mode == "stateless" else ():
            told += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
        return [*told, {"role": "user", "content": parts if len(parts) > 1 else question}]

    async def _shown(self, turn: AsyncTurn) -> TurnResult | None:
        ticking = asyncio.create_task(self._tick())
        failed = True
        try:
            async with turn:
                async for chunk in turn:
                    self._display.show(chunk)
                    failed = isinstance(chunk.event, TurnFailed)
        finally:
            ticking.cancel()
            self._display.close()
        if failed:
            return None
        self.shelf.parts.clear()
        result = turn.result
        if result.state is None:
            self.turns.append(Turn(self._asked, result.final_text, self.model, result.response_ids[-1]))
        return result

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._display.tick()
