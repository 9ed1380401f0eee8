"""Turns played against a ledger: the tools that scripts call, and how chunks are gathered."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from typing import Any, Final, Literal

from antiphon.agent import Agent, AsyncAgent, client_tool
from antiphon.agent.events import AgentStreamChunk

Chunks = list[AgentStreamChunk]
OPTIONS: Final[dict[str, Any]] = {"model": "m", "retries": 0, "tool_timeout": 10.0}
"""Of an agent: what fails is not tried again."""


def double(n: int) -> int:
    """Double it.

    Args:
        n: The number.
    """
    return 2 * n


def web_search(n: int) -> str:
    """A function of ours that has the name of a server's tool."""
    return f"page {n}"


def breaks(n: int) -> str:
    """It never works."""
    raise RuntimeError(f"broken at {n}")


@client_tool(custom=True)
def note(text: str) -> str:
    """Take a note."""
    return f"noted: {text}"


TOOLS: Final = (double, web_search, breaks, note)


def agent(client: Any, **options: Any) -> Agent:
    whole: dict[str, Any] = {"tools": TOOLS, **OPTIONS, **options}
    return Agent(client, **whole)


def async_agent(client: Any, **options: Any) -> AsyncAgent:
    whole: dict[str, Any] = {"tools": TOOLS, **OPTIONS, **options}
    return AsyncAgent(client, **whole)


def play(made: Agent, messages: str | list[Any], session: str, **options: Any) -> Chunks:
    """A whole turn."""
    return list(made.create_turn(messages, session, stream=True, **options))


async def aplay(made: AsyncAgent, messages: str | list[Any], session: str, **options: Any) -> Chunks:
    """A whole turn."""
    return [chunk async for chunk in made.create_turn(messages, session, stream=True, **options)]


class Talk:
    """A session with an agent, whichever drives it: the blocking one works in a thread."""

    def __init__(self, made: Agent | AsyncAgent, session: str) -> None:
        self.made = made
        self.session = session

    async def say(self, messages: str | list[Any] = "Hi", **options: Any) -> Chunks:
        """A whole turn."""
        if isinstance(self.made, AsyncAgent):
            return await aplay(self.made, messages, self.session, **options)
        return await asyncio.to_thread(play, self.made, messages, self.session, **options)

    async def leave(self, after: int, how: Literal["close", "cancel"]) -> Chunks:
        """A turn that is heard up to its nth chunk, and then closed, or cancelled and heard to its end."""
        if isinstance(self.made, AsyncAgent):
            return await self._aleave(self.made, after, how)
        return await asyncio.to_thread(self._leave, self.made, after, how)

    def _leave(self, made: Agent, after: int, how: str) -> Chunks:
        turn = made.create_turn("Hi", self.session)
        chunks = list(itertools.islice(turn, after))
        if how == "close":
            turn.close()
        turn.cancel()
        return [*chunks, *turn]

    async def _aleave(self, made: AsyncAgent, after: int, how: str) -> Chunks:
        turn = made.create_turn("Hi", self.session)
        chunks = [await anext(turn) for _ in range(after)]
        if how == "close":
            await turn.aclose()
        turn.cancel()
        return [*chunks, *[chunk async for chunk in turn]]


async def talk(client: Any, **options: Any) -> Talk:
    """A new session; the client says which agent it takes."""
    awaited = inspect.iscoroutinefunction(client.responses.create) or type(client).__name__.startswith("Async")
    made = async_agent(client, **options) if awaited else agent(client, **options)
    session = made.create_session()
    return Talk(made, session if isinstance(session, str) else await session)
