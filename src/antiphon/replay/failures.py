"""Errors that ports raise, as recordings hold them: by the name of their class."""

from __future__ import annotations

from typing import Any, Final

from antiphon.ports.door import DoorError
from antiphon.ports.embedder import EmbedderError
from antiphon.ports.mcp import McpError
from antiphon.ports.pages import PageError
from antiphon.ports.reranker import RerankError
from antiphon.ports.search import SearchError
from antiphon.replay.exchange import Failure, RecordingError
from antiphon.wire import errors
from antiphon.wire.errors import AntiphonError

KINDS: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidRequestError,
        errors.AuthenticationError,
        errors.NotFoundError,
        errors.TooLargeError,
        errors.RateLimitError,
        errors.ServerError,
        errors.ModelError,
        errors.ModelTimeoutError,
        errors.OverloadedError,
        DoorError,
        EmbedderError,
        McpError,
        PageError,
        RerankError,
        SearchError,
    )
}
_FIELDS: Final = ("param", "code", "retry_after", "transient", "kind", "lost", "refused")


def failure_of(error: Exception) -> Failure:
    """An error of a port."""
    name = next(name for name, kind in KINDS.items() if type(error) is kind)
    held = {field: getattr(error, field) for field in _FIELDS if getattr(error, field, None) is not None}
    if held.get("code") == getattr(error, "default_code", None):
        held.pop("code", None)
    return Failure(name, str(error), held)


def recorded(error: Exception) -> bool:
    """Whether this error is an answer of the outside; any other is a fault of ours and is not recorded."""
    return type(error) in KINDS.values()


def raised(failure: Failure) -> Exception:
    """The error of a recorded failure. RecordingError for one that nobody knows."""
    kind = KINDS.get(failure.error)
    if kind is None:
        raise RecordingError(f"A recording ends with '{failure.error}', which is no error of this version.")
    fields: dict[str, Any] = failure.fields if issubclass(kind, AntiphonError | DoorError | McpError) else {}
    try:
        return kind(failure.message, **fields)
    except TypeError:
        raise RecordingError(f"A recording ends with '{failure.error}' and what it is made of does not fit.") from None
