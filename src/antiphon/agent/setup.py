"""An agent as it was declared: its tools, its sessions, and the turns to be made of them.

Law: what is wrong with a declaration fails here, before anything is sent. Both agents stand on this, and nothing here
knows which of them drives.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast
from uuid import uuid4

from antiphon.agent.continuity import CONTINUITIES, Continuity, Session
from antiphon.agent.errors import AgentError, ConfigurationError, SessionError, TurnFailedError
from antiphon.agent.events import AgentStreamChunk, StepCompleted, TurnCompleted, TurnFailed, TurnStarted
from antiphon.agent.fields import Json, mapped
from antiphon.agent.hooks import AgentHooks, checked
from antiphon.agent.options import AgentOptions, Approve, TurnOptions
from antiphon.agent.output import Output
from antiphon.agent.plan import Plan
from antiphon.agent.result import TurnResult
from antiphon.agent.retries import Fault, Retries
from antiphon.agent.state import Paused, read
from antiphon.agent.tools import Toolbox
from antiphon.agent.tracing import Spans
from antiphon.agent.turn import Run
from antiphon.agent.workers import Attempt, here

LOGGER = logging.getLogger(__name__)
_AGENT: Final = frozenset(AgentOptions.__annotations__) - frozenset(TurnOptions.__annotations__)
_TURN: Final = frozenset({"output_type", "max_steps", "usage_limit", "timeout", "tools"})
_LIVE: Final = frozenset({"output_type", "tools"})
"""Options that are code: a saved state does not hold them."""
_OURS: Final = frozenset({"conversation", "input", "previous_response_id", "stream"})
"""Parameters of a response that continuity decides."""
OVERDUE: Final = Fault("The turn took too long.", "timeout")
LATEST: Final[Json] = {"order": "desc", "limit": 100}
"""How the end of a conversation is read: an open call is among the latest items."""


@dataclass(frozen=True, slots=True)
class Job:
    """A turn, and what its driver needs beside the client. `timeout`: seconds for all of it."""

    run: Run
    toolbox: Toolbox
    hooks: AgentHooks
    approve: Approve | None
    parallel: int
    timeout: float | None


class Setup:
    """A declared agent. `coroutines`: whether its hooks and callbacks may be coroutine functions. Raises
    ConfigurationError."""

    def __init__(self, options: AgentOptions, *, coroutines: bool) -> None:
        given = cast("Json", dict(options))
        self.model: str = given.pop("model", "")
        if not isinstance(self.model, str) or not self.model:  # pyright: ignore[reportUnnecessaryIsInstance] - of callers
            raise ConfigurationError("An agent needs the name of a model.")
        self.mode: Continuity = given.pop("continuity", "conversation")
        if self.mode not in CONTINUITIES:
            raise ConfigurationError(f"continuity is one of {', '.join(CONTINUITIES)}, not {self.mode!r}.")
        self._approve: Approve | None = given.pop("approve", None)
        self._hooks = checked(given.pop("hooks", None), coroutines=coroutines)
        self._retries = Retries(_count("retries", given.pop("retries", 2), 0))
        self._parallel = _count("parallel_tools", given.pop("parallel_tools", 8), 1)
        self._collapse = bool(given.pop("collapse_empty_steps", False))
        self._toolbox: Callable[..., Toolbox] = partial(
            Toolbox, strict=bool(given.pop("strict", False)), timeout=given.pop("tool_timeout", None)
        )
        self._tools = self._toolbox(given.pop("tools", None) or ())
        self._options = given
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self.job((), Session("", self.mode), {})  # what is wrong with the options is told now

    # sessions

    @property
    def sessions(self) -> list[str]:
        """The ids of the sessions that are known."""
        return list(self._sessions)

    def create(self, name: str, conversation: str | None = None) -> Session:
        """A new session; `conversation`: one that was created for it."""
        session = Session(conversation or f"sess_{uuid4().hex[:24]}", self.mode, name, conversation)
        return self._kept(session)

    def _kept(self, session: Session) -> Session:
        with self._lock:
            return self._sessions.setdefault(session.id, session)

    def session(self, session_id: str) -> Session:
        """The session; a conversation (or in the mode `response` a response) of somebody else becomes one."""
        known = self._sessions.get(session_id)
        if known is not None:
            return known
        if self.mode == "conversation" and session_id.startswith("conv_"):
            return self._kept(Session(session_id, self.mode, conversation=session_id, doubt=True))
        if self.mode == "response" and session_id.startswith("resp_"):
            return self._kept(Session(session_id, self.mode, previous=session_id))
        raise SessionError(f"There is no session {session_id!r}: make one with create_session.")

    # turns

    def turn(self, messages: str | Sequence[Any], session_id: str, options: Mapping[str, Any]) -> Job:
        """A turn that says these messages."""
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*map(mapped, messages)]
        return self.job(said, self.session(session_id), options)

    def resumed(self, state: str, approvals: Mapping[str, bool | str], options: Mapping[str, Any]) -> Job:
        """A turn that goes on with these approvals: each that it waits for is answered."""
        paused = read(state)
        awaited = {approval.id for approval in paused.approvals}
        if awaited != set(approvals):
            raise ConfigurationError(f"The turn waits for answers to {sorted(awaited)}, not to {sorted(approvals)}.")
        if any(not isinstance(verdict, bool | str) for verdict in approvals.values()):  # pyright: ignore[reportUnnecessaryIsInstance] - of callers
            raise ConfigurationError("An approval is True, False, or the reason of a denial.")
        known = self._sessions.get(paused.session.id)
        if known is not None and known.paused != paused.turn_id:
            raise SessionError(f"Session {known.id!r} has gone on since turn {paused.turn_id!r} was paused.")
        session = known or self._kept(paused.session)
        return self.job((), session, {**paused.options, **options}, (paused, approvals))

    def job(
        self,
        messages: Sequence[Json],
        session: Session,
        options: Mapping[str, Any],
        rest: tuple[Paused, Mapping[str, bool | str]] | None = None,
    ) -> Job:
        """The turn with its options; `rest`: a paused one, and the answers that it waited for."""
        if wrong := _AGENT & options.keys():
            raise ConfigurationError(f"Only an agent has these options, not a turn: {', '.join(sorted(wrong))}.")
        whole = {**self._options, **options}
        own = {name: whole.pop(name) for name in _TURN if name in whole}
        output = None if own.get("output_type") is None else Output.of(own["output_type"])
        toolbox = self._tools if own.get("tools") is None else self._toolbox(own["tools"])
        limit = own.get("usage_limit")
        plan = Plan(
            turn_id=rest[0].turn_id if rest else f"turn_{uuid4().hex[:12]}",
            session=session,
            request=self._request(whole, output, toolbox, own.get("timeout")),
            messages=messages,
            options={name: value for name, value in options.items() if name not in _LIVE},
            max_steps=_count("max_steps", own.get("max_steps", 10), 1),
            usage_limit=None if limit is None else _count("usage_limit", limit, 1),
            retries=self._retries,
            output=output,
            asks=self._approve is not None,
            collapse=self._collapse,
        )
        run = Run(plan) if rest is None else Run(plan, *rest)
        return Job(run, toolbox, self._hooks, self._approve, self._parallel, own.get("timeout"))

    def _request(self, whole: Json, output: Output | None, toolbox: Toolbox, timeout: float | None) -> Json:
        """What every request of a turn holds."""
        if wrong := _OURS & whole.keys():
            raise ConfigurationError(f"The agent decides these itself: {', '.join(sorted(wrong))}.")
        if whole.get("store") is False and self.mode != "stateless":
            raise ConfigurationError(f"store=False leaves nothing to continue from: continuity {self.mode!r} needs it.")
        if whole.get("background") is True and self.mode == "stateless":
            raise ConfigurationError("background=True needs a response that is kept: a stateless agent has none.")
        request: Json = {"model": self.model, **whole, "stream": True}
        if not request.get("instructions"):
            request.pop("instructions", None)
        if toolbox.definitions:
            request["tools"] = toolbox.definitions
        if output is not None:
            request["text"] = {**mapped(request.get("text")), "format": output.format}
        if timeout is not None:
            request["timeout"] = timeout  # no read of the connection outlives the turn by more than this
        return request


def _count(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} is a whole number from {least} on, not {value!r}.")
    return value


# what both drivers do alike


def single(client: Any) -> Any:
    """The client without retries of its own: they would multiply ours."""
    change = getattr(client, "with_options", None)
    return change(max_retries=0) if callable(change) else client


def moments(hooks: AgentHooks, chunk: AgentStreamChunk) -> list[Callable[[], Any]]:
    """The hooks that an event calls, in order."""
    event = chunk.event
    calls: list[Callable[[], Any]] = [partial(hooks.on_event, chunk)]
    if isinstance(event, TurnStarted):
        calls.insert(0, partial(hooks.on_turn_start, event.turn_id, event.session_id))
    elif isinstance(event, StepCompleted):
        calls.append(partial(hooks.on_step, event.result))
    elif isinstance(event, TurnCompleted | TurnFailed):
        calls.append(partial(hooks.on_turn_end, event))
    return calls


def tried(body: Callable[[], Any]) -> Attempt:
    """What came of a program's own code; what is meant to end the program goes through."""
    attempt = here(body)
    if attempt.error is not None and not isinstance(attempt.error, Exception):
        raise attempt.error
    return attempt


def raised(error: BaseException | None, what: str, code: str = "hook_error") -> Fault:
    """The fault of a hook or callback that raised."""
    return Fault(f"{what} raised {type(error).__name__}: {error}", code)


def logged(error: BaseException, run: Run) -> Fault:
    """The same, told to the log too: it may be too late to tell it by an event."""
    LOGGER.error("a hook failed in turn %s", run.plan.turn_id, exc_info=error)
    return raised(error, "a hook")


def spans(job: Job) -> Spans:
    """The spans of a turn that begins."""
    plan = job.run.plan
    return Spans.begin(model=plan.request["model"], messages=plan.messages)


def settled(run: Run) -> TurnResult:
    """The result of a turn that is over. TurnFailedError when it failed."""
    if run.effect is not None or not run.begun:
        raise AgentError("The turn is not over: its result is there after its last event.")
    if run.failure is not None:
        raise TurnFailedError(run.failure.message, run.failure.code, run.result)
    return run.result
