r"""Server-sent events come apart: bytes as they were read go in, the `data` of whole events comes out.

Nothing is decoded, so a character split between two reads is never seen in halves. `\r\n`, `\r` and `\n` end lines;
comments and the fields `event`, `id` and `retry` are dropped; several `data` lines of one event are joined by `\n`.
"""

from __future__ import annotations

MAX_EVENT = 16 * 1024 * 1024


class OversizedEventError(ValueError):
    """An event outgrew the limit before it ended."""


class Splitter:
    """Splits one stream. `limit` bounds the bytes kept for an event that has not ended."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._last = b""  # the last byte of the pieces
        self._held_return = False
        self._returns = False

    def feed(self, read: bytes) -> list[bytes]:
        """The data of every event that this read ends; raises OversizedEventError."""
        if self._returns or b"\r" in read:
            read = self._unified(read)
        if not read:
            return []
        if b"\n\n" not in read and not (self._last == b"\n" and read[:1] == b"\n"):
            self._keep(read)
            return []
        if self._pieces:
            self._pieces.append(read)
            read = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        blocks = read.split(b"\n\n")
        rest = blocks.pop()
        self._last = b""
        if rest:
            self._keep(rest)
        found: list[bytes] = []
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                found.append(block[6:])
            else:
                event = _event(block)
                if event is not None:
                    found.append(event)
        return found

    def end(self) -> list[bytes]:
        """The data of an event that the end of the stream left without its blank line."""
        rest = b"".join(self._pieces)
        self._pieces.clear()
        event = _event(rest)
        return [] if event is None else [event]

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        self._last = piece[-1:]
        if self._size > self._limit:
            raise OversizedEventError(f"an event of more than {self._limit} bytes")

    def _unified(self, read: bytes) -> bytes:
        r"""The read with `\n` as its only line end; a `\r` at its end waits for what follows."""
        self._returns = True
        if self._held_return:
            read = b"\r" + read
        self._held_return = read.endswith(b"\r")
        if self._held_return:
            read = read[:-1]
        return read.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> bytes | None:
    """The joined `data` lines of one event, None where it has none."""
    lines = [line[6:] if line[5:6] == b" " else line[5:] for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
