"""The open WebSockets of this process: how many there may be, and how all are asked to leave."""

from __future__ import annotations

from typing import Final, Protocol

from antiphon.wire.errors import AntiphonError, NotFoundError, OverloadedError

RESTART: Final = 1012
"""The close code of a server that stops: clients connect again."""


class Socket(Protocol):
    """A connection that can be asked to leave."""

    def leave(self, code: int, error: AntiphonError, /, *, said: bool) -> None:
        """Start nothing more, answer what comes with the error, and close with the code when all is finished. `said`:
        tell the error before closing."""
        ...


class Sockets:
    """The sockets; `most` of them may be open at once."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._open: set[Socket] = set()
        self._stopping: OverloadedError | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: Socket, /) -> None:
        """Take one in; OverloadedError when there is no room or the server stops, NotFoundError when none is served."""
        if not self._most:
            raise NotFoundError("WebSockets are not served here.", code="unknown_url")
        if self._stopping is not None:
            raise self._stopping
        if len(self._open) >= self._most:
            raise OverloadedError("The server has no room for another WebSocket; try again.", retry_after=5)
        self._open.add(socket)

    def discard(self, socket: Socket, /) -> None:
        """It is closed."""
        self._open.discard(socket)

    def drain(self) -> None:
        """Take no more, and let the open ones finish what they are at: they close by themselves."""
        self._stopping = OverloadedError("The server is shutting down.", retry_after=5)
        for socket in list(self._open):
            socket.leave(RESTART, self._stopping, said=False)
