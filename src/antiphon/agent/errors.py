"""What the library raises. Everything is an AgentError."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.agent.result import TurnResult


class AgentError(Exception):
    """Something about an agent is wrong; the words are for its developer."""


class ConfigurationError(AgentError, ValueError):
    """An agent, tool or output type cannot be used as it is declared."""


class SessionError(AgentError):
    """A session that is not known, or that is in the middle of a turn."""


class TurnFailedError(AgentError):
    """A turn did not complete. `code` is that of the `turn_failed` event, `result` what was done until then."""

    def __init__(self, message: str, code: str, result: TurnResult) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.result = result
