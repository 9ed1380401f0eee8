"""`antiphon serve` as a process of its own, with a model that always answers, and what it costs."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.process import ROOT, Serving, serving

STEPS: Final[list[dict[str, Any]]] = [
    {
        "acts": [{"act": "calls", "calls": [{"name": "add", "arguments": {"city": "Rome"}}]}],
        "when": "2+3",
        "repeat": True,
    },
    {"acts": [{"act": "reasons", "text": "Hm."}, {"act": "says", "text": ["Hel", "lo"]}], "repeat": True},
]
MODELS: Final = [{"name": "test", "kind": "tests.fuzz.mind", "models": ["m"], "steps": STEPS}]

EMBEDDER: Final = {"ANTIPHON_EMBEDDER_KIND": "tests.meaning", "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def fuzzed(home: Path) -> AsyncGenerator[Serving]:
    """The server; at its end it must have logged no fault."""
    variables = {"ANTIPHON_MODELS": json.dumps(MODELS), "ANTIPHON_LOG_LEVEL": "error", **EMBEDDER}
    async with serving(home, variables=variables) as server:
        yield server
        ended = await server.stop()
    assert ended.code == 0, ended.err[-4000:]
    assert not ended.err, ended.err[-4000:]


def resident(server: Serving) -> int:
    """Kilobytes of memory that the process has; 0 where the system does not say."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def files(server: Serving) -> int:
    """Files and sockets that the process has open; 0 where the system does not say."""
    folder = f"/proc/{server.process.pid}/fd"
    return len(os.listdir(folder)) if Path(folder).is_dir() else 0  # noqa: PTH208 - the entries are gone when looked at


async def made(client: aiohttp.ClientSession, url: str) -> dict[str, list[str]]:
    """One of each thing that a path can name, and of each another that stays."""
    wanted = {
        "response_id": ("/v1/responses", {"model": "m", "input": "Hi"}),
        "conversation_id": ("/v1/conversations", {"items": [{"role": "user", "content": "Hi"}]}),
        "completion_id": (
            "/v1/chat/completions",
            {"model": "m", "store": True, "messages": [{"role": "user", "content": "Hi"}]},
        ),
        "prompt_id": ("/v1/prompts", {"name": "p", "prompt": "Be kind."}),
    }
    found: dict[str, list[str]] = {"model:path": ["m", "test/m"], "item_id": ["msg_x"]}
    for name, (path, body) in wanted.items():
        found[name] = []
        for _ in range(20):  # deleted one by one as the run goes on
            async with client.post(url + path, json=body) as answer:
                assert answer.status == 200, await answer.text()
                found[name].append((await answer.json())["id"])
    return {**found, **await shelved(client, url)}


async def shelved(client: aiohttp.ClientSession, url: str) -> dict[str, list[str]]:
    """As `made`: files, uploads, and vector stores with a batch."""
    found: dict[str, list[str]] = {"file_id": [], "upload_id": [], "vector_store_id": [], "batch_id": []}

    async def post(name: str, path: str, **body: Any) -> str:
        async with client.post(f"{url}/v1{path}", **body) as answer:
            assert answer.status == 200, await answer.text()
            found[name].append((await answer.json())["id"])
            return found[name][-1]

    upload = {"bytes": 4, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    for number in range(20):
        form = aiohttp.FormData({"purpose": "assistants"})
        form.add_field("file", f"The mill number {number} stands by the river.".encode(), filename="mill.txt")
        file = await post("file_id", "/files", data=form)
        await post("upload_id", "/uploads", json=upload)
        store = await post("vector_store_id", "/vector_stores", json={"name": "s"})
        await post("batch_id", f"/vector_stores/{store}/file_batches", json={"file_ids": [file]})
    return found
