"""`antiphon replay`: a stored run, asked once more of its own or another model, and what differs.

The run is asked through the API, of the server that stored it. Of a server in this process, tools answer as they did.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from antiphon.cli.client import Api, ApiError
from antiphon.cli.exporting import PROJECT
from antiphon.cli.serving import hosted
from antiphon.compose import choose
from antiphon.replay.runs.again import (
    OWN,
    Answers,
    Exchange,
    Json,
    Round,
    Row,
    compared,
    forked,
    owed,
    parameters,
    referred,
)
from antiphon.replay.runs.retelling import Knowing, keep
from antiphon.replay.runs.story import Story, story
from antiphon.replay.tape import Deck
from antiphon.settings import Loaded
from antiphon.taping import maker
from antiphon.wire.items import McpListTools
from antiphon.wire.tools import REDACTED, McpTool

MOST: Final = 100
"""Responses of one exchange: a model that calls functions without end is stopped."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be run again. `model` None: the one that it was. `step`: go on behind so many output items, with
    `edit` as what the last of them says; the new responses are then kept. `live`: server-side tools run."""

    response_id: str
    model: str | None = None
    url: str | None = None
    key: str | None = None
    times: int = 1
    live: bool = False
    step: int | None = None
    edit: str | None = None


class Ran(Struct, frozen=True):
    """One run and what differs. `stopped`: why it went no further. Times are seconds, usage is in tokens."""

    model: str
    rows: tuple[Row, ...]
    response_ids: tuple[str, ...]
    seconds: float
    input_tokens: int
    output_tokens: int
    stopped: str | None = None

    @property
    def equal(self) -> bool:
        """Whether it went as before."""
        return self.stopped is None and all(row.change == "equal" for row in self.rows)


class Report(Struct, frozen=True):
    """The run that is stored, and the runs that were compared with it."""

    response_id: str
    model: str
    seconds: float
    input_tokens: int
    output_tokens: int
    runs: tuple[Ran, ...]

    @property
    def equal(self) -> bool:
        """Whether all of them went as it did."""
        return all(run.equal for run in self.runs)


async def replay(wanted: Wanted, loaded: Loaded, environ: Mapping[str, str]) -> Report:
    """Run it again. Raises ApiError, StepError, UntoldError, RefusalError, SettingsError, RecordingError."""
    async with _api(wanted, loaded, environ) as api:
        exchange = await exchange_of(api, wanted.response_id)
        if wanted.url is not None and not wanted.live and (kinds := _served(exchange)):
            words = f"{wanted.url} runs its tools itself ({', '.join(kinds)}): pass --live to let them run again"
            raise ApiError(words)
        if wanted.live:
            _reachable(exchange)
        runs = [await _run(api, wanted, exchange) for _ in range(wanted.times)]
    last = exchange.rounds[-1].response
    seconds = sum(_seconds(each.response) for each in exchange.rounds)
    given, made = _tokens([each.response for each in exchange.rounds])
    return Report(wanted.response_id, last["model"], seconds, given, made, tuple(runs))


# the run that is stored


async def exchange_of(api: Api, response_id: str) -> Exchange:
    """The response, and those before it whose calls a client answered in between. Raises ApiError."""
    rounds: list[Round] = []
    wanted: str | None = response_id
    while wanted is not None and (not rounds or rounds[0].answers):
        response = await api.call("GET", f"/responses/{quote(wanted, safe='')}")
        wanted = response.get("previous_response_id")
        known = await _known(api, wanted) if wanted is not None else frozenset[str]()
        given = await api.listed(f"/responses/{response['id']}/input_items", "&order=asc")
        rounds.insert(0, Round(response, tuple(item for item in given if item.get("id") not in known)))
    return Exchange(tuple(rounds), await _before(api, rounds[0]))


async def _known(api: Api, response_id: str) -> frozenset[str]:
    """The ids of all items up to the end of a response."""
    response = await api.call("GET", f"/responses/{response_id}")
    given = await api.listed(f"/responses/{response_id}/input_items", "&order=asc")
    return frozenset(str(item.get("id")) for item in (*given, *response["output"]))


async def _before(api: Api, first: Round) -> tuple[Json, ...]:
    """What the conversation held when the first response began."""
    conversation: Json | None = first.response.get("conversation")
    if conversation is None:
        return ()
    items = await api.listed(f"/conversations/{conversation['id']}/items", "&order=asc")
    own = {item.get("id") for item in (*first.given, *first.response["output"])}
    start = next((place for place, item in enumerate(items) if item.get("id") in own), len(items))
    return tuple(items[:start])


def _served(exchange: Exchange) -> list[str]:
    """The types of tools that the server runs."""
    tools: list[Json] = exchange.rounds[0].response.get("tools") or []
    return sorted({str(tool["type"]) for tool in tools if tool["type"] not in OWN})


def _reachable(exchange: Exchange) -> None:
    """Raise ApiError for MCP servers whose addresses the store does not keep."""
    tools: list[Json] = exchange.rounds[0].response.get("tools") or []
    for tool in tools:
        if tool["type"] == "mcp" and str(tool.get("server_url") or "").endswith(REDACTED):
            words = (
                f"the address of the MCP server '{tool.get('server_label')}' is not kept, so that --live cannot call it"
            )
            raise ApiError(f"{words}; requests can name servers of the settings (connector_id)")


# running it again


async def _run(api: Api, wanted: Wanted, exchange: Exchange) -> Ran:
    first = exchange.rounds[0].response
    model = str(wanted.model or first["model"])
    same: Json = {**parameters(first), "model": model, "store": True}
    given = [*exchange.before, *exchange.rounds[0].given]
    if wanted.step is None:
        asked = {**same, "input": referred(given)}
    else:
        marks = {"forked_from": wanted.response_id, "forked_at": str(wanted.step)}
        asked = {**same, "input": forked(exchange, wanted.step, wanted.edit), "metadata": marks}
    asked["previous_response_id"] = first.get("previous_response_id")
    began = time.monotonic()
    made: list[Json] = []
    try:
        stopped = await _driven(api, asked, same, Answers(exchange.rounds), made)
        seconds = round(time.monotonic() - began, 3)
    finally:
        if wanted.step is None:
            for each in reversed(made):
                await api.call("DELETE", f"/responses/{each['id']}")
    rows = compared(exchange.output[wanted.step or 0 :], [item for each in made for item in each["output"]])
    tokens = _tokens(made)
    return Ran(model, tuple(rows), tuple(each["id"] for each in made), seconds, *tokens, stopped)


async def _driven(api: Api, asked: Json, same: Json, answers: Answers, made: list[Json]) -> str | None:
    """Ask until nothing waits for the client; why that came to a stop."""
    while True:
        response = await api.call("POST", "/responses", asked)
        made.append(response)
        if response["status"] != "completed":
            error: Json = response.get("error") or response.get("incomplete_details") or {}
            return f"the response is {response['status']}: {error.get('message') or error.get('reason')}"
        calls = owed(response["output"])
        if not calls:
            return None
        given = [(call, answers.take(call)) for call in calls]
        missing = next((call for call, answer in given if answer is None), None)
        if missing is not None:
            words = missing.get("arguments") or missing.get("input") or ""
            return f"the recorded run never made this call: {missing.get('name') or missing['type']}({words})"
        if len(made) == MOST:
            return f"there were {MOST} responses and no answer"
        asked = {**same, "input": [answer for _, answer in given], "previous_response_id": response["id"]}


def _seconds(response: Json) -> float:
    """How long it took, as far as its times tell."""
    return float(max(0, (response.get("completed_at") or 0) - response["created_at"]))


def _tokens(responses: list[Json]) -> tuple[int, int]:
    used: list[Json] = [each.get("usage") or {} for each in responses]
    return sum(each.get("input_tokens", 0) for each in used), sum(each.get("output_tokens", 0) for each in used)


# the server


@asynccontextmanager
async def _api(wanted: Wanted, loaded: Loaded, environ: Mapping[str, str]) -> AsyncGenerator[Api]:
    """The API of the server that was named, or of one in this process whose tools answer as they did."""
    if wanted.url is not None:
        async with _closing(Api(f"{wanted.url.rstrip('/').removesuffix('/v1')}/v1", wanted.key)) as api:
            yield api
        return
    settings = loaded.settings
    keys = settings.server.api_keys
    with TemporaryDirectory(prefix="antiphon-") as folder:
        tape = Knowing(maker(settings)(Path(folder)), tools=not wanted.live)
        async with hosted(settings, choose(settings, environ), deck=Deck(tape)) as (url, composition):
            await composition.discovered
            if not wanted.live:
                _teach(tape, await story(composition.store, PROJECT, wanted.response_id))
            async with _closing(Api(f"{url}/v1", keys[0].get_secret_value() if keys else None)) as api:
                yield api


def _teach(tape: Knowing, found: Story) -> None:
    """Let the tape know what calls gave, and which tools the MCP servers had."""
    for past in found.pasts:
        keep(tape.cassette, past.handed)
        listed = {item.server_label: item for entry in past.output if isinstance(item := entry.item, McpListTools)}
        for tool in past.response.tools:
            if isinstance(tool, McpTool) and tool.server_url and (known := listed.get(tool.server_label)) is not None:
                tape.lists[tool.server_url] = known


@asynccontextmanager
async def _closing(api: Api) -> AsyncGenerator[Api]:
    try:
        yield api
    finally:
        await api.close()


# what is told


def as_json(report: Report) -> str:
    """The report as JSON."""
    return msgspec.json.format(msgspec.json.encode(_shown(report)), indent=2).decode()


def _shown(report: Report) -> dict[str, Any]:
    runs = [{"equal": run.equal, **msgspec.to_builtins(run)} for run in report.runs]
    return {"equal": report.equal, **msgspec.to_builtins(report), "runs": runs}


def as_text(report: Report) -> str:
    """The report in lines: what is equal in one each, what is not with its difference."""
    lines = [f"{report.response_id}  {report.model}  {_cost(report)}"]
    for number, run in enumerate(report.runs, 1):
        lines.append(f"run {number}  {run.model}  {_cost(run)}  {'equal' if run.equal else 'different'}")
        for place, row in enumerate(run.rows, 1):
            lines.append(f"  {place}. {row.type}: {row.change}")
            if row.change == "changed":
                lines += [f"     {line}" for line in row.difference]
            elif row.change != "equal":
                mark, text = ("-", row.then) if row.change == "gone" else ("+", row.now)
                lines += [f"     {mark} {line}" for line in text.splitlines()]
        if run.stopped is not None:
            lines.append(f"  stopped: {run.stopped}")
    return "\n".join(lines)


def _cost(run: Report | Ran) -> str:
    return f"{run.seconds:.2f} s  {run.input_tokens} tokens in, {run.output_tokens} out"
