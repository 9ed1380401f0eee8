"""What went wrong with a request, and whether and when it is sent again.

Law: a request is repeated only before anything came of it, a few times, and as late as the server asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from antiphon.agent.fields import field, text

LOCKED: Final = "conversation_locked"
_LATEST: Final = 120.0
"""Seconds; a server that wants to be asked later than this is not asked again."""
_STATUSES: Final = frozenset({408, 409, 429})
_TRANSPORTS: Final = ("APIConnectionError", "TransportError", "NetworkError", "ProtocolError", "StreamError")
"""Names of classes that the clients' libraries, and what they stand on, give to a connection that failed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an effect could not be performed. `lost`: the connection is what failed, and the server may have heard;
    `passing`: it may be well the next time, `after` that many seconds (None: the server does not say)."""

    message: str
    code: str
    status: int | None = None
    lost: bool = False
    passing: bool = False
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent again (`limit`), the first time after `first` seconds, then twice as late each time,
    `most` at the latest."""

    limit: int = 2
    first: float = 0.5
    most: float = 8.0

    def delay(self, attempt: int, fault: Fault) -> float | None:
        """Seconds until the next attempt, after `attempt` that failed (1: the first); None: there is none."""
        if not fault.passing or attempt > self.limit:
            return None
        if fault.after is None:
            return min(self.first * 2.0 ** (attempt - 1), self.most)
        return fault.after if fault.after <= _LATEST else None


def fault_of(error: BaseException) -> Fault:
    """What an exception of a client's library means."""
    status = field(error, "status_code")
    if isinstance(status, int):
        return _refused(error, status)
    words = str(error) or type(error).__name__
    names = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(error, TimeoutError) or any(name.endswith(("Timeout", "TimeoutError")) for name in names):
        return Fault(f"The server did not answer in time: {words}", "timeout", lost=True, passing=True)
    if isinstance(error, OSError | EOFError) or any(name in _TRANSPORTS for name in names):
        return Fault(f"The connection failed: {words}", "connection_error", lost=True, passing=True)
    return Fault(words, text(error, "code") or "server_error")


def _refused(error: BaseException, status: int) -> Fault:
    """An HTTP error. Its body says more than its words."""
    body = field(error, "body")
    body = field(body, "error") or body
    code = text(body, "code") or text(error, "code")
    headers: Mapping[str, Any] = field(field(error, "response"), "headers") or {}
    passing = (status in _STATUSES or status >= 500) and code != "insufficient_quota"
    passing = passing or code == LOCKED
    wish = _header(headers, "x-should-retry")
    if wish in {"true", "false"}:
        passing = wish == "true"
    words = text(body, "message") or str(error)
    return Fault(words, code or f"http_{status}", status, passing=passing, after=_after(headers))


def _after(headers: Mapping[str, Any]) -> float | None:
    """Seconds that the server asks to wait. (A date would need a clock, and is not sent by servers of models.)"""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(_header(headers, name)) * unit)
        except ValueError:
            continue
    return None


def _header(headers: Mapping[str, Any], name: str) -> str:
    found = headers.get(name)
    return found if isinstance(found, str) else ""
