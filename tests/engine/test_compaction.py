"""Compaction and sealing in the engine: among projects, in the background, over a crash."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Reasons, Says, Step, Waits
from antiphon.core.compaction import TOLD
from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from antiphon.core.limits import Limits
from antiphon.core.status import RESPONSE, final
from antiphon.wire.codec import builtins
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.requests import parse_create
from antiphon.wire.responses import Response
from tests.engine.stage import DEADLINE, Stage, staged
from tests.patience import eventually

LONG = "The quick brown fox jumps over the lazy dog. " * 150
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "One and one?"},
]
THRESHOLD = [{"type": "compaction", "compact_threshold": 1000}]
SUMMARY = Step((Says("Notes."),), when="is about to be replaced by notes")
HANGS = Step((Says("Tw"), Waits(gate="never")))


async def start(stage: Stage, project: str = "default", **body: Any) -> Response:
    request = parse_create(json.dumps({"model": "scripted", **body}).encode())
    async with asyncio.timeout(DEADLINE):
        return await (await stage.runner.start(project, request)).last()


async def ended(stage: Stage, response_id: str) -> Response:
    async def over() -> bool:
        return final(RESPONSE, (await stage.runner.retrieve("default", response_id)).status)

    await eventually(over)
    return await stage.runner.retrieve("default", response_id)


def told(stage: Stage) -> list[tuple[str, str]]:
    """What the last generation was told."""
    return [(m["role"], m["content"]) for m in chat_messages(stage.model.asked[-1], Dialect())]


def kinds(response: Response) -> list[str]:
    return [item["type"] for item in builtins(response.output)]


async def test_what_was_sealed_for_one_project_is_not_opened_for_another(tmp_path: Path) -> None:
    thinks = Step((Reasons("First this."), Says("Hello.")), repeat=True)
    async with staged(tmp_path, thinks) as stage:
        asked: dict[str, Any] = {"store": False, "include": ["reasoning.encrypted_content"]}
        first = await start(stage, "one", input="Hi", **asked)
        given = [{"role": "user", "content": "Hi"}, *builtins(first.output), {"role": "user", "content": "And?"}]
        assert kinds(await start(stage, "one", input=given, **asked)) == ["reasoning", "message"]
        with pytest.raises(InvalidRequestError) as refused:
            await start(stage, "other", input=given, **asked)
        assert refused.value.code == "invalid_encrypted_content"
        assert refused.value.param == "input[1].encrypted_content"


async def test_a_background_run_compacts_as_any_other(tmp_path: Path) -> None:
    async with staged(tmp_path, SUMMARY, Step((Says("Two."),))) as stage:
        queued = await start(stage, input=TALK, background=True, context_management=THRESHOLD)
        response = await ended(stage, queued.id)
        assert response.status == "completed"
        assert kinds(response) == ["compaction", "message"]
        assert told(stage) == [("developer", TOLD + "Notes."), ("user", "One and one?")]


async def test_a_compaction_is_not_made_again_by_the_next_process(tmp_path: Path) -> None:
    clock = SeededClock(1001)
    async with staged(tmp_path, SUMMARY, HANGS, clock=clock) as stage:
        queued = await start(stage, input=TALK, background=True, stream=True, context_management=THRESHOLD)
        async with asyncio.timeout(DEADLINE):
            await stage.model.reached("never")
    limits = Limits()
    clock.advance(limits.lease * 2)
    async with staged(tmp_path, Step((Says("Two."),)), clock=clock) as stage:
        response = await ended(stage, queued.id)
        assert response.status == "completed"
        assert kinds(response)[0] == "compaction"
        assert kinds(response)[-1] == "message"
        assert len(stage.model.asked) == 1
        assert told(stage) == [("developer", TOLD + "Notes."), ("user", "One and one?")]
