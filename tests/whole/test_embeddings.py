"""Embeddings, through the whole server and the official client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, InternalServerError
from openai import NotFoundError as OpenAINotFoundError

from tests.shared import SHARED, needs_shared
from tests.upstream import refusal, running
from tests.whole.house import fast, whole

NUMBERS = [0.5, -1.25, 3.0]
EMBEDDED: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": NUMBERS}],
    "model": "upstream-model",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


async def test_an_endpoint_that_ignores_the_form_serves_both(tmp_path: Path) -> None:
    async with running() as upstream:
        upstream.default = refusal(200, EMBEDDED)
        async with whole(tmp_path, models=[fast(upstream)]) as house:
            create = house.client.embeddings.create
            assert (await create(model="m", input="Hi")).data[0].embedding == NUMBERS
            assert (await create(model="test/m", input=["Hi"], encoding_format="float")).data[0].embedding == NUMBERS
            first, second = upstream.exchanges
            assert first.path == "/v1/embeddings"
            assert first.json == {"model": "m", "input": "Hi", "encoding_format": "base64"}
            assert second.json == {"model": "m", "input": ["Hi"], "encoding_format": "float"}


async def test_refusals_are_told_and_failures_hidden(tmp_path: Path) -> None:
    async with running() as upstream, whole(tmp_path, models=[fast(upstream, retries={"count": 0})]) as house:
        create = house.client.embeddings.create
        upstream.reply(refusal(400, {"error": {"message": "The input is too long.", "param": "input"}}))
        with pytest.raises(BadRequestError, match="too long") as wrong:
            await create(model="m", input="Hi")
        assert wrong.value.param == "input"
        upstream.reply(refusal(500, {"error": {"message": "secret"}}), refusal(200, {"error": "secret"}))
        for _ in range(2):
            with pytest.raises(InternalServerError) as failed:
                await create(model="m", input="Hi")
            assert "secret" not in str(failed.value)
        upstream.reply(refusal(404, {}))
        with pytest.raises(OpenAINotFoundError):
            await create(model="m", input="Hi")


def recorded() -> list[tuple[dict[str, Any], list[list[float]]]]:
    """Every recorded request with its vectors."""
    found: list[tuple[dict[str, Any], list[list[float]]]] = []
    for path in sorted((SHARED / "recordings" / "responses").glob("*.json")):
        exchange = json.loads(path.read_bytes())
        if exchange["request"].get("endpoint") == "/v1/embeddings":
            vectors = [each["embedding"] for each in exchange["response"]["body"]["__data__"]["data"]]
            found.append((exchange["request"]["body"], vectors))
    return found


@needs_shared
async def test_recorded_vectors_are_replayed_in_both_forms(tmp_path: Path) -> None:
    exchanges = recorded()
    assert len(exchanges) >= 20
    async with whole(tmp_path, recordings={"dir": SHARED / "recordings"}) as house:
        models = [model.id async for model in house.client.models.list()]
        assert exchanges[0][0]["model"] in models
        for body, vectors in exchanges:
            found = await house.client.embeddings.create(
                model=body["model"], input=body["input"], encoding_format="float"
            )
            assert [each.embedding for each in found.data] == vectors
    async with whole(tmp_path, recordings={"dir": SHARED / "recordings"}) as house:
        for body, vectors in exchanges:
            found = await house.client.embeddings.create(model=body["model"], input=body["input"])
            assert [each.embedding for each in found.data] == [pytest.approx(one, rel=1e-6) for one in vectors]
