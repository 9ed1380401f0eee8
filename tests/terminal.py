"""A program in a pseudo terminal: what is typed to it, and what its screen shows."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import struct
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tests.agent.screen import Screen
from tests.process import DEADLINE, environ

WIDTH: Final = 100
HEIGHT: Final = 30
IN_FRONT: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"
)
"""Makes the terminal that of the program, so that Ctrl-C reaches it."""
PROMPT: Final = "\x1b[1m> \x1b[0m"
CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"


class Terminal:
    """The master's side."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.written = ""
        self._master = master
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._changed = asyncio.Event()
        self._seen = 0
        asyncio.get_running_loop().add_reader(master, self._read)

    def type(self, text: str) -> None:
        """Type it, after everything that was shown so far."""
        self._seen = len(self.written)
        os.write(self._master, text.encode())

    def say(self, line: str) -> None:
        self.type(f"{line}\r")

    async def shows(self, words: str) -> None:
        """Wait until it has written the words since something was typed."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._written(words)
        except TimeoutError:
            raise AssertionError(f"{words!r} did not come:\n{self.screen.text}") from None

    async def interrupt(self, words: str) -> None:
        """Press Ctrl-C until the words come: while a prompt is being written nobody listens, and it is lost."""
        self._seen = len(self.written)
        for _ in range(int(DEADLINE)):
            os.write(self._master, CTRL_C.encode())
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    return await self._written(words)
        raise AssertionError(f"{words!r} did not come:\n{self.screen.text}")

    async def _written(self, words: str) -> None:
        while words not in self.written[self._seen :]:
            self._changed.clear()
            await self._changed.wait()

    async def ready(self) -> None:
        """Wait until it asks for the next message."""
        await self.shows(PROMPT)

    async def asked(self, line: str) -> str:
        """Say something; the screen when the next message can be typed."""
        self.say(line)
        await self.ready()
        return self.screen.text

    @property
    def screen(self) -> Screen:
        screen = Screen(WIDTH, HEIGHT)
        screen.feed(self.written)
        return screen

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def _read(self) -> None:
        try:
            found = os.read(self._master, 65536)
        except OSError:  # how a pseudo terminal says that the other side is closed
            found = b""
        if not found:
            asyncio.get_running_loop().remove_reader(self._master)
        self.written += self._decoder.decode(found)
        self._changed.set()


@asynccontextmanager
async def terminal(home: Path, *arguments: str, **variables: str) -> AsyncGenerator[Terminal]:
    """`antiphon` with these arguments in a terminal; gone at the end."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IN_FRONT, "antiphon", *arguments),
        cwd=home,
        env=environ(home, TERM="xterm-256color", INPUTRC="/dev/null", **variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = Terminal(process, master)
    try:
        yield shown
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(master)
