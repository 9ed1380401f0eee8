"""The agents, for threads and for tasks.

Law: what an agent is declared to be and what its turns do is told elsewhere (setup.py, turn.py); these are its faces.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Literal, overload

from typing_extensions import Unpack

from antiphon.agent.coroutines import AsyncTurn, opened
from antiphon.agent.driver import Turn, created
from antiphon.agent.options import AgentOptions, TurnOptions
from antiphon.agent.result import TurnResult
from antiphon.agent.setup import Job, Setup


class Agent:
    """An agent over any client of OpenAI's form: `openai.OpenAI`, or another with the same methods.

    The options are those of `AgentOptions`; every other one is a parameter of the responses. Raises ConfigurationError.
    """

    def __init__(self, client: Any, **options: Unpack[AgentOptions]) -> None:
        self.client = client
        self._setup = Setup(options, coroutines=False)

    @property
    def sessions(self) -> list[str]:
        """The ids of the sessions that are known here."""
        return self._setup.sessions

    def create_session(self, name: str = "", *, eager: bool = False) -> str:
        """A new session, and its id. Its conversation is created with the first turn, or at once when `eager`: then its
        id is that of the session."""
        conversation = created(self.client, name) if eager and self._setup.mode == "conversation" else None
        return self._setup.create(name, conversation).id

    def conversation_id(self, session_id: str) -> str | None:
        """The conversation of a session, once there is one."""
        return self._setup.session(session_id).conversation

    @overload
    def create_turn(
        self,
        messages: str | Sequence[Any],
        session_id: str,
        stream: Literal[True] = True,
        **options: Unpack[TurnOptions],
    ) -> Turn: ...

    @overload
    def create_turn(
        self,
        messages: str | Sequence[Any],
        session_id: str,
        stream: Literal[False],
        **options: Unpack[TurnOptions],
    ) -> TurnResult: ...

    def create_turn(
        self, messages: str | Sequence[Any], session_id: str, stream: bool = True, **options: Unpack[TurnOptions]
    ) -> Turn | TurnResult:
        """A turn that says `messages` (a text, or items): the iterator of its events, or with `stream=False` its
        result.

        Raises SessionError for a session that is not known or is in another turn (the iterator does at its first step),
        ConfigurationError for options that cannot be, and without `stream` TurnFailedError.
        """
        return self._made(self._setup.turn(messages, session_id, options), stream=stream)

    @overload
    def resume(
        self,
        state: str,
        approvals: Mapping[str, bool | str],
        stream: Literal[True] = True,
        **options: Unpack[TurnOptions],
    ) -> Turn: ...

    @overload
    def resume(
        self, state: str, approvals: Mapping[str, bool | str], stream: Literal[False], **options: Unpack[TurnOptions]
    ) -> TurnResult: ...

    def resume(
        self, state: str, approvals: Mapping[str, bool | str], stream: bool = True, **options: Unpack[TurnOptions]
    ) -> Turn | TurnResult:
        """Go on with a turn that waited for approvals, here or in another process: by id True, False, or the reason of
        a denial. `output_type` and `tools` of the turn are given again."""
        return self._made(self._setup.resumed(state, approvals, options), stream=stream)

    def _made(self, job: Job, *, stream: bool) -> Turn | TurnResult:
        turn = Turn(self.client, job)
        if stream:
            return turn
        with turn:
            for _ in turn:
                pass
            return turn.result


class AsyncAgent:
    """An agent over any client of AsyncOpenAI's form. The options are those of `AgentOptions`; every other one is a
    parameter of the responses. Raises ConfigurationError."""

    def __init__(self, client: Any, **options: Unpack[AgentOptions]) -> None:
        self.client = client
        self._setup = Setup(options, coroutines=True)

    @property
    def sessions(self) -> list[str]:
        """The ids of the sessions that are known here."""
        return self._setup.sessions

    async def create_session(self, name: str = "", *, eager: bool = False) -> str:
        """A new session, and its id. Its conversation is created with the first turn, or at once when `eager`: then its
        id is that of the session."""
        made = await opened(self.client, name) if eager and self._setup.mode == "conversation" else None
        return self._setup.create(name, None if made is None else made.conversation).id

    def conversation_id(self, session_id: str) -> str | None:
        """The conversation of a session, once there is one."""
        return self._setup.session(session_id).conversation

    @overload
    def create_turn(
        self,
        messages: str | Sequence[Any],
        session_id: str,
        stream: Literal[True] = True,
        **options: Unpack[TurnOptions],
    ) -> AsyncTurn: ...

    @overload
    def create_turn(
        self,
        messages: str | Sequence[Any],
        session_id: str,
        stream: Literal[False],
        **options: Unpack[TurnOptions],
    ) -> Coroutine[Any, Any, TurnResult]: ...

    def create_turn(
        self, messages: str | Sequence[Any], session_id: str, stream: bool = True, **options: Unpack[TurnOptions]
    ) -> AsyncTurn | Coroutine[Any, Any, TurnResult]:
        """A turn that says `messages` (a text, or items): the iterator of its events (it may be awaited first), or with
        `stream=False` what is awaited for its result.

        Raises SessionError for a session that is not known or is in another turn (the iterator does at its first step),
        ConfigurationError for options that cannot be, and without `stream` TurnFailedError.
        """
        return self._made(self._setup.turn(messages, session_id, options), stream=stream)

    @overload
    def resume(
        self,
        state: str,
        approvals: Mapping[str, bool | str],
        stream: Literal[True] = True,
        **options: Unpack[TurnOptions],
    ) -> AsyncTurn: ...

    @overload
    def resume(
        self, state: str, approvals: Mapping[str, bool | str], stream: Literal[False], **options: Unpack[TurnOptions]
    ) -> Coroutine[Any, Any, TurnResult]: ...

    def resume(
        self, state: str, approvals: Mapping[str, bool | str], stream: bool = True, **options: Unpack[TurnOptions]
    ) -> AsyncTurn | Coroutine[Any, Any, TurnResult]:
        """Go on with a turn that waited for approvals, here or in another process: by id True, False, or the reason of
        a denial. `output_type` and `tools` of the turn are given again."""
        return self._made(self._setup.resumed(state, approvals, options), stream=stream)

    def _made(self, job: Job, *, stream: bool) -> AsyncTurn | Coroutine[Any, Any, TurnResult]:
        turn = AsyncTurn(self.client, job)
        return turn if stream else _finished(turn)


async def _finished(turn: AsyncTurn) -> TurnResult:
    async with turn:
        async for _ in turn:
            pass
        return turn.result
