"""What clients ask of the servers and what they were told: the only things that a fault may not take back."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec

Json: TypeAlias = dict[str, Any]

TOOLS: Final = [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"}]
END: Final = b"data: [DONE]\n\n"
FINAL: Final = {"completed", "incomplete", "failed", "cancelled"}
BROKEN: Final = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)
"""What a client sees of a server that dies."""


class Asked(msgspec.Struct, kw_only=True):
    """A response that a client asked for, and what it was told.

    `accepted` once it knows the id of a background response, `told` the terminal response if it heard of it, `heard`
    the events (whole frames) that it was sent, `ended` whether the stream came to its end, `broken` how its connection
    broke, `cancel` whether it asked for a cancel and `cancelled` whether that was confirmed.
    """

    key: str
    kind: str
    background: bool = True
    stream: bool = True
    conversation: str | None = None
    previous: str | None = None
    id: str | None = None
    told: Json | None = None
    heard: bytes = b""
    ended: bool = False
    refused: int | None = None
    broken: str = ""
    cancel: bool = False
    cancelled: bool = False
    accepted: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def body(self) -> Json:
        """The request."""
        wanted: Json = {"model": "world/m", "input": f"play {self.kind} {self.key}", "tools": TOOLS}
        wanted |= {"background": self.background, "stream": self.stream}
        if self.conversation is not None:
            wanted["conversation"] = self.conversation
        if self.previous is not None:
            wanted["previous_response_id"] = self.previous
        return wanted

    def learn(self, response: Json) -> None:
        """The client reads a response object."""
        self.id = response["id"]
        if response["status"] in FINAL:
            self.told = response
        if self.background:
            self.accepted.set()


class Client:
    """Clients of whatever server they are given."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def create(self, server: str, asked: Asked) -> None:
        """Ask, and read until the answer ends or the server is gone."""
        try:
            async with self._session.post(f"{server}/v1/responses", json=asked.body) as answer:
                if answer.status != 200:
                    asked.refused = answer.status
                elif asked.stream:
                    await self._read(answer, asked)
                else:
                    asked.learn(await answer.json())
        except BROKEN as error:
            asked.broken = repr(error)

    async def _read(self, answer: aiohttp.ClientResponse, asked: Asked) -> None:
        waiting = b""
        async for piece in answer.content.iter_any():
            waiting += piece
            whole, mark, waiting = waiting.rpartition(b"\n\n")
            for frame in (whole + mark).split(b"\n\n")[:-1]:
                if frame == END.rstrip():
                    asked.ended = True
                elif not frame.startswith(b":"):
                    asked.heard += frame + b"\n\n"
                    response = json.loads(frame.partition(b"\ndata: ")[2]).get("response")
                    if response is not None:
                        asked.learn(response)

    async def cancel(self, server: str, asked: Asked) -> None:
        """Ask for a cancel."""
        asked.cancel = True
        try:
            async with self._session.post(f"{server}/v1/responses/{asked.id}/cancel") as answer:
                if answer.status == 200:
                    response = await answer.json()
                    asked.cancelled = response["status"] == "cancelled"
                    asked.learn(response)
        except BROKEN:
            return

    async def get(self, server: str, path: str) -> tuple[int, Any]:
        """Status and document."""
        async with self._session.get(f"{server}/v1{path}") as answer:
            return answer.status, await answer.json()

    async def post(self, server: str, path: str, body: Json) -> tuple[int, Any]:
        """Status and document."""
        async with self._session.post(f"{server}/v1{path}", json=body) as answer:
            return answer.status, await answer.json()

    async def events(self, server: str, response_id: str, after: int | None = None) -> bytes:
        """The stream of a background response behind this event, without its end mark and comments."""
        behind = "" if after is None else f"&starting_after={after}"
        url = f"{server}/v1/responses/{response_id}?stream=true{behind}"
        async with self._session.get(url) as answer:
            assert answer.status == 200, await answer.text()
            raw = await answer.read()
        assert raw.endswith(END), raw[-200:]
        frames = raw.removesuffix(END).split(b"\n\n")[:-1]
        return b"".join(frame + b"\n\n" for frame in frames if not frame.startswith(b":"))
