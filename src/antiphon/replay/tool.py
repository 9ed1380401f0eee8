"""Tools and web search, answered from recordings. Nothing is run and nothing is searched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.effects import Call, Offer, Outcome
from antiphon.ports.search import SearchError, SearchHit, SearchQuery
from antiphon.ports.tool import Tool
from antiphon.replay import matching
from antiphon.replay.recordings import Answer, RecordingError, Recordings
from antiphon.wire.tools import Tool as ToolConfig


class _Result(msgspec.Struct):
    """What a tool gave: the text for the model, or why there is none."""

    content: Any = None
    error_message: str | None = None


class _Found(msgspec.Struct):
    top_k: tuple[SearchHit, ...]


class ReplayTool:
    """A tool of which only the outside is used: it says what is offered, recordings say what came of a call.

    A call that was never recorded raises ReplayMissError.
    """

    def __init__(self, tool: Tool, recordings: Recordings) -> None:
        self._tool = tool
        self._recordings = recordings

    @property
    def types(self) -> tuple[str, ...]:
        """Those of the tool."""
        return self._tool.types

    @property
    def repeatable(self) -> bool:
        """Always: nothing is run."""
        return True

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """Those of the tool."""
        return await self._tool.offers(project, config, place)

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:  # noqa: ARG002 - the port's signature
        """What was recorded for this name and these arguments."""
        try:
            arguments = msgspec.json.decode(call.arguments, type=dict[str, Any])
        except msgspec.DecodeError:
            return Outcome(call.call_id, "The arguments are not a JSON object.", failed=True)
        result = _result(await asyncio.to_thread(self._recordings.answer, matching.tool(call.name, arguments)))
        if result.error_message is not None:
            return Outcome(call.call_id, result.error_message, failed=True)
        text = result.content if isinstance(result.content, str) else msgspec.json.encode(result.content).decode()
        return Outcome(call.call_id, text)

    async def close(self) -> None:
        """Close the tool."""
        await self._tool.close()


class ReplaySearch:
    """A search backend whose every result was recorded, as the tool `web_search`; a query that was never recorded
    raises ReplayMissError."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        """The recorded hits of this query; only the query decides."""
        asked = matching.tool("web_search", {"query": wanted.text})
        return hits_of(await asyncio.to_thread(self._recordings.answer, asked))[: wanted.limit]

    async def close(self) -> None:
        """Nothing is held."""


def hits_of(answer: Answer) -> tuple[SearchHit, ...]:
    """The hits of a recorded search. Raises SearchError that was recorded, RecordingError."""
    result = _result(answer)
    if result.error_message is not None or not isinstance(result.content, str):
        raise SearchError(result.error_message or "no results were recorded")
    try:
        return msgspec.json.decode(result.content, type=_Found).top_k
    except msgspec.DecodeError as error:
        raise RecordingError("The recording holds what is no list of search results.") from error


def _result(answer: Answer) -> _Result:
    if answer.failure is not None:
        return _Result(error_message=answer.failure.words or "the tool failed")
    try:
        return msgspec.json.decode(answer.documents[0], type=_Result)
    except msgspec.DecodeError as error:
        raise RecordingError("The recording holds what is no result of a tool.") from error
