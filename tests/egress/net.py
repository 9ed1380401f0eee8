"""An internet of its own: an event loop whose names and addresses are the test's.

Public addresses lead to servers on this machine; what is not public is connected to as on any machine, and each attempt
is kept. So a server runs with the rules that it has by default, and whatever of it goes out is seen here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Final, ParamSpec

from tests.egress.corpus import NAMES

P = ParamSpec("P")
SITE: Final = "93.184.215.14"
"""A public address."""
DEADLINE: Final = 60.0
_HERE: Final = frozenset({"127.0.0.1", "127.0.0.2", "::1", "::", "0.0.0.0", "::ffff:127.0.0.1"})


class Net(asyncio.SelectorEventLoop):
    """`names`: what a name resolves to, answer by answer, the last one for ever; `asked`: those that were resolved.
    `served`: the port on this machine that all ports of a public address lead to; `known`: ports that may be used.
    `tried`: whatever else was connected to; really, where it is this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[Sequence[str]]] = {name: list(answers) for name, answers in NAMES.items()}
        self.served: dict[str, int] = {}
        self.known: set[int] = set()
        self.tried: list[tuple[str, int]] = []
        self.asked: list[str] = []

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """A name of ours; an address in any spelling that the C library reads; nothing else."""
        del family, proto, flags
        name = str(host).rstrip(".").lower()
        self.asked.append(name)
        answers = self.names.get(name)
        if answers is None:
            return socket.getaddrinfo(name, port, type=type, flags=socket.AI_NUMERICHOST)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, kind, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, kind, 6, "", (each, port))
            for each in found
        ]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to what stands for the address here."""
        host, port = str(address[0]), int(address[1])
        if host in self.served:
            await super().sock_connect(sock, ("127.0.0.1", self.served[host]))
            return
        if port not in self.known:
            self.tried.append((host, port))
            if host not in _HERE:
                raise ConnectionRefusedError(host)
        await super().sock_connect(sock, address)


class Trap:
    """Listens on all addresses of this machine, and counts who comes."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.connections += 1
        writer.close()


@asynccontextmanager
async def trap() -> AsyncGenerator[Trap]:
    """On one port, both kinds of addresses where there are both."""
    made = Trap()
    opened: list[asyncio.Server] = [await asyncio.start_server(made.serve, "127.0.0.1", 0)]
    made.port = opened[0].sockets[0].getsockname()[1]
    try:
        for host in ("::1", "127.0.0.2"):
            try:
                opened.append(await asyncio.start_server(made.serve, host, made.port))
            except OSError:  # this machine has no such address
                continue
        yield made
    finally:
        for server in opened:
            server.close()


def net() -> Net:
    """The one that this runs in."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Net)
    return loop


def within(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an internet of its own, with a deadline."""

    @wraps(test)
    def run(*given: P.args, **named: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(DEADLINE):
                await test(*given, **named)

        with asyncio.Runner(loop_factory=Net) as runner:
            runner.run(bounded())

    return run


def named(more: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Further names."""
    net().names.update({name: list(answers) for name, answers in more.items()})
