"""The real server as a process for the kill matrix.

It is composed from a settings file as `antiphon serve` composes it, with one tool more: `code_interpreter`, which must
not be repeated and leaves a mark in the world. `python -m tests.kill.server` forks one for every line that it is given,
so that hundreds of processes import everything once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

import aiohttp
import msgspec
import uvicorn
import uvloop

from antiphon.compose import choose, compose
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.ports.tool import Tool
from antiphon.settings import load
from antiphon.wire.codec import decode
from antiphon.wire.items import CodeInterpreterCall, Item
from antiphon.wire.tools import Tool as ToolConfig

NAME: Final = "run_code"
"""The function that the model calls."""


class Receipt:
    """A `code_interpreter_call` item."""

    prefix = "ci_"
    phases = ("in_progress", "interpreting")

    def opened(self, item_id: str) -> Item:
        return CodeInterpreterCall(id=item_id, status="in_progress", container_id="none")

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        failed = outcome is None or outcome.failed
        return CodeInterpreterCall(
            id=item_id, status="failed" if failed else "completed", container_id="none", code=call.arguments
        )


class Marking:
    """Runs code that leaves a mark in the world, so that a second run can be seen."""

    types = ("code_interpreter",)
    repeatable = False

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        parameters = {"type": "object", "properties": {"code": {"type": "string"}}}
        return [Offer(name=NAME, parameters=parameters, receipt=Receipt(), tool=place)]

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        code = decode(call.arguments.encode(), dict[str, str])["code"]
        async with self._session.post(self._url, json={"code": code}) as answer:
            return Outcome(call.call_id, f"ran {code}: {await answer.text()}")

    async def close(self) -> None:
        """The session is the caller's."""


async def serve(settings: Path, effects: str, listens: Callable[[str], None]) -> None:
    """Serve until the process ends; `listens` is told the URL."""
    chosen = load({}, file=settings).settings
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    async with aiohttp.ClientSession() as session, compose(chosen, choose(chosen, {})) as composition:
        # nothing has been awaited since the runner was opened, so no run of a dead process has been looked for yet
        tools = cast("dict[str, Tool]", composition.tools)
        tools["code_interpreter"] = Marking(effects, session)
        config = uvicorn.Config(composition.app, log_config=None, access_log=False, lifespan="off", loop="none")
        listens(f"http://127.0.0.1:{listening.getsockname()[1]}")
        await uvicorn.Server(config).serve(sockets=[listening])


class Birth(msgspec.Struct, frozen=True):
    """A server that is wanted: its settings file, where its tool leaves marks, the file for its log."""

    number: int
    settings: str
    effects: str
    log: str


def live(birth: Birth) -> None:
    """Be that server. Says `NUMBER PID URL`, without a URL when it could not begin."""
    with Path(birth.log).open("wb") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listens = False

    def say(url: str) -> None:
        nonlocal listens
        listens = True
        os.write(sys.stdout.fileno(), f"{birth.number} {os.getpid()} {url}\n".encode())

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(Path(birth.settings), birth.effects, say))
    finally:
        if not listens:
            traceback.print_exc()
            say("")
            os._exit(1)


def main() -> None:
    """Fork a server for every line; all that a process imports is there already. Ends with its standard input."""
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they died
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            live(decode(line.encode(), Birth))
            os._exit(0)


if __name__ == "__main__":
    main()
