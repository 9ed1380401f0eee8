"""`antiphon ask`: a question about files and folders of the user's.

The files become a vector store that is kept for the next question: only what is new or has changed is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from antiphon.cli.client import Api, ApiError
from antiphon.cli.folders import MOST, below
from antiphon.cli.serving import served
from antiphon.settings import Loaded

POLL: Final = 0.2
"""Seconds between two looks at the progress."""


class NothingError(Exception):
    """There is nothing to ask about; the words say why."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, about which paths, of which model and server (None: the first one that is found; our own)."""

    text: str
    paths: tuple[Path, ...]
    model: str | None = None
    url: str | None = None
    key: str | None = None


async def ask(question: Question, loaded: Loaded, environ: Mapping[str, str], console: Console) -> None:
    """Print the answer as it comes, then its sources. Raises ApiError, NothingError, SettingsError, RefusalError."""
    files = sorted({path.resolve(): path for given in question.paths for path in below(given)}.items())
    if not files:
        raise NothingError("there are no files at " + ", ".join(map(str, question.paths)))
    if len(files) > MOST:
        raise NothingError(f"there are {len(files)} files, which is more than the {MOST} that one question is about")
    async with _server(question, loaded, environ) as (url, key):
        api = Api(f"{url}/v1", key)
        try:
            model = question.model or await _model(api)
            store_id, failed = await _shelved(api, [path for path, _ in files], console)
            for name, why in failed:
                console.print(f"[yellow]not read:[/] {name}: {why}", highlight=False)
            await _answered(api, model, store_id, question.text, console)
        finally:
            await api.close()


@asynccontextmanager
async def _server(
    question: Question, loaded: Loaded, environ: Mapping[str, str]
) -> AsyncGenerator[tuple[str, str | None]]:
    """The address and key of the server that was named, or of one in this process."""
    if question.url is not None:
        yield question.url.rstrip("/").removesuffix("/v1"), question.key
        return
    keys = loaded.settings.server.api_keys
    async with served(loaded.settings, environ) as url:
        yield url, question.key or (keys[0].get_secret_value() if keys else None)


async def _model(api: Api) -> str:
    """The first model that has weights, else the built-in one."""
    models = (await api.call("GET", "/models"))["data"]
    if not models:
        raise NothingError("the server has no model")
    return str(next((model for model in models if model["owned_by"] != "antiphon"), models[0])["id"])


# the store


def _version(path: Path) -> str:
    """What changes when the file does. It says nothing of the path, for models are shown it."""
    found = path.stat()
    return sha256(f"{path} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:16]


async def _shelved(api: Api, paths: Sequence[Path], console: Console) -> tuple[str, list[tuple[str, str]]]:
    """The store of exactly these files, as they are now; and those that could not be read, each with the reason."""
    shelf = sha256("\n".join(map(str, paths)).encode()).hexdigest()
    store_id = await _store(api, shelf)
    wanted = {_version(path): path for path in paths}
    kept: set[str] = set()
    for file in await api.listed(f"/vector_stores/{store_id}/files"):
        version = file["attributes"].get("version")
        if file["status"] in {"completed", "in_progress"} and version in wanted and version not in kept:
            kept.add(version)
        else:
            await api.call("DELETE", f"/files/{file['id']}")
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console) as bar:
        new = [version for version in wanted if version not in kept]
        task = bar.add_task("uploading", total=len(new), visible=bool(new))
        for version in new:
            file = await api.upload(wanted[version])
            attached = {"file_id": file["id"], "attributes": {"version": version}}
            await api.call("POST", f"/vector_stores/{store_id}/files", attached)
            bar.advance(task)
        await _read(api, store_id, bar)
    failed = await api.listed(f"/vector_stores/{store_id}/files", "&filter=failed")
    return store_id, [(wanted[file["attributes"]["version"]].name, file["last_error"]["message"]) for file in failed]


async def _store(api: Api, shelf: str) -> str:
    """The store of these paths; made when there is none (any more)."""
    for store in await api.listed("/vector_stores"):
        if store["metadata"].get("antiphon_ask") == shelf and store["status"] != "expired":
            return str(store["id"])
    body = {"name": "antiphon ask", "metadata": {"antiphon_ask": shelf}}
    lifetime = {"anchor": "last_active_at", "days": 30}
    return str((await api.call("POST", "/vector_stores", {**body, "expires_after": lifetime}))["id"])


async def _read(api: Api, store_id: str, bar: Progress) -> None:
    """Wait until every file is read."""
    task = bar.add_task("reading", total=None, visible=False)
    while True:
        counts = (await api.call("GET", f"/vector_stores/{store_id}"))["file_counts"]
        done = counts["total"] - counts["in_progress"]
        bar.update(task, total=counts["total"], completed=done, visible=counts["in_progress"] > 0 or done > 0)
        if not counts["in_progress"]:
            return
        await asyncio.sleep(POLL)


# the answer


async def _answered(api: Api, model: str, store_id: str, text: str, console: Console) -> None:
    """Print the stream; a citation is a number, the list of them follows."""
    tool = {"type": "file_search", "vector_store_ids": [store_id]}
    sources: dict[str, int] = {}
    console.print(f"[dim]{model}[/]", highlight=False)
    async for event in api.events("/responses", {"model": model, "input": text, "tools": [tool], "store": False}):
        match event["type"]:
            case "response.file_search_call.searching":
                console.print("[dim]searching ...[/]")
            case "response.output_text.delta":
                console.print(event["delta"], end="", markup=False, highlight=False, soft_wrap=True)
            case "response.output_text.annotation.added":
                name = str(event["annotation"].get("filename") or event["annotation"].get("title") or "")
                number = sources.setdefault(name, len(sources) + 1)
                console.print(f" [{number}]", end="", markup=False, style="cyan", soft_wrap=True)
            case "response.failed" | "response.incomplete":
                raise ApiError(_why(event["response"]))
            case _:
                continue
    console.print()
    for name, number in sources.items():
        console.print(f"[{number}] {name}", markup=False, style="cyan", highlight=False)


def _why(response: dict[str, Any]) -> str:
    error: dict[str, Any] | None = response.get("error")
    return str(error["message"]) if error else f"the answer is {response.get('status')}"
