"""What `serve` says once it listens: what it found, and how to use it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from antiphon.compose import BUILTIN, Composition
from antiphon.ports.model import Model
from antiphon.replay.tape import Mode
from antiphon.settings import Loaded, Settings
from antiphon.taping import Report, folder_of
from antiphon.wire.errors import AntiphonError

PATIENCE: Final = 2.0
"""Seconds for discovery, and for each endpoint to list its models."""
TOLD: Final = 10
"""Misses, and unused recordings, that are named at the end."""
_DONE: Final = {
    Mode.RECORD: "everything that passes is recorded",
    Mode.REPLAY: "answered from recordings, nothing outside is asked",
    Mode.REPLAY_OR_RECORD: "answered from recordings, what they do not hold is asked and recorded",
}
SHOWN: Final = 6
"""Models named per endpoint."""


async def banner(composition: Composition, loaded: Loaded, url: str) -> str:
    """The settings' file, the store, every endpoint with its models, web search, and a client in three lines."""
    await asyncio.wait([composition.discovered], timeout=PATIENCE)
    settings = loaded.settings
    endpoints = composition.catalog.endpoints
    lists = await asyncio.gather(*(_models(model) for model in endpoints.values()))
    models = dict(zip(endpoints, lists, strict=True))
    lines = [
        f"  settings    {loaded.file or 'none: defaults (antiphon.toml or ANTIPHON_* variables change them)'}",
        f"  store       {settings.store.kind}, data in {settings.data.dir}",
        *(f"  models      {name}: {_listed(found)}" for name, found in models.items()),
        *([] if models else ["  models      none: set OPENAI_API_KEY, or [[models]] in antiphon.toml"]),
        f"  web search  {_searching(composition, settings)}",
        "",
        *_example(url, _suggested(models), keyed=bool(settings.server.api_keys)),
        "",
    ]
    return "\n".join(lines)


def told(settings: Settings) -> str:
    """What is done with cassettes."""
    chosen = folder_of(settings)
    if chosen is None:
        return f"  cassettes   in {settings.cassette.root}, as requests choose"
    folder, mode = chosen
    return f"  cassette    {folder}: {_DONE[mode]}"


def summary(report: Report) -> Iterator[str]:
    """What became of a cassette."""
    counts = f"{report.answered} answered, {report.recorded} recorded, {report.missed} missed"
    yield f"antiphon cassette {report.folder}: {counts}, {len(report.unused)} not used"
    yield from (f"  missed      {words}" for words in report.misses[:TOLD])
    yield from (f"  not used    {name}" for name in report.unused[:TOLD])
    for what, count in (("missed", report.missed), ("not used", len(report.unused))):
        if count > TOLD:
            yield f"  {what:<10}  and {count - TOLD} more (all of them: --report FILE)"


async def _models(model: Model) -> Sequence[str] | str:
    """The models' names, or why there are none."""
    try:
        async with asyncio.timeout(PATIENCE):
            return [card.id for card in await model.models()]
    except TimeoutError:
        return "does not answer yet"
    except AntiphonError as error:
        return error.message


def _listed(found: Sequence[str] | str) -> str:
    if isinstance(found, str):
        return found
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more if found else "serves no models"


def _searching(composition: Composition, settings: Settings) -> str:
    if "web_search" not in composition.tools:
        return "none (set ANTIPHON_WEB_SEARCH_KEY, or ANTIPHON_WEB_SEARCH_URL)"
    return settings.web_search.kind if settings.recordings.dir is None else "recorded"


def _suggested(models: dict[str, Sequence[str] | str]) -> str:
    """A model to try: one that was found, otherwise the built-in one."""
    named = [f"{name}/{found[0]}" for name, found in models.items() if found and not isinstance(found, str)]
    real = [name for name in named if not name.startswith(f"{BUILTIN}/")]
    return next(iter((*real, *named)), "MODEL")


def _example(url: str, model: str, *, keyed: bool) -> list[str]:
    key = "one of the server's keys" if keyed else "unused"
    return [
        "    from openai import OpenAI",
        f'    client = OpenAI(base_url="{url}/v1", api_key="{key}")',
        f'    print(client.responses.create(model="{model}", input="Hello").output_text)',
    ]
