"""Background responses through the official client: queued at once, polled, streamed, resumed, cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.grammar import check, parse_sse
from tests.patience import eventually
from tests.schemas import validate
from tests.shared import SHARED
from tests.upstream import HANG, Reply, Upstream, chunk, speech, sse
from tests.whole.house import DEADLINE, Whole, fast, whole

BODY: dict[str, Any] = {"model": "test/m", "input": "Hi", "background": True}


async def polled(served: Whole, response_id: str) -> Any:
    async def over() -> bool:
        return (await served.client.responses.retrieve(response_id)).status not in {"queued", "in_progress"}

    await eventually(over, deadline=DEADLINE)
    return await served.client.responses.retrieve(response_id)


async def resumed(served: Whole, response_id: str, after: int | None = None) -> bytes:
    query = "" if after is None else f"&starting_after={after}"
    async with served.raw.get(f"{served.url}/v1/responses/{response_id}?stream=true{query}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def test_polling_from_queued_to_completed(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hel", "lo"))
        response = await served.client.responses.create(model="test/m", input="Hi", background=True)
        assert response.status == "queued"
        done = await polled(served, response.id)
        assert (done.status, done.output_text, done.background) == ("completed", "Hello", True)


async def test_the_stream_and_its_resumed_rest_are_equal_byte_for_byte(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hel", "lo"))
        async with served.raw.post(f"{served.url}/v1/responses", json={**BODY, "stream": True}) as answer:
            first = await answer.read()
        events = parse_sse(first)
        check(events)
        if SHARED.is_dir():
            for event in events:
                validate("ResponseStreamEvent", event)
        response_id = events[0]["response"]["id"]
        assert await resumed(served, response_id) == first
        for after in (0, 3, len(events) - 1):
            assert first.endswith(await resumed(served, response_id, after))


async def test_the_official_client_resumes_where_it_was_cut(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        gate = asyncio.Event()
        upstream.reply(Reply([sse(chunk(content="Hel")), gate, *speech("lo").parts]))
        response_id, seen = "", -1
        stream = await served.client.responses.create(model="test/m", input="Hi", background=True, stream=True)
        async for event in stream:
            seen = event.sequence_number
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        gate.set()
        rest = await served.client.responses.retrieve(response_id, stream=True, starting_after=seen)
        events = [event async for event in rest]
        assert [event.sequence_number for event in events] == list(range(seen + 1, seen + 1 + len(events)))
        assert events[-1].type == "response.completed"


async def test_following_by_id_accumulates_the_whole_response(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hel", "lo"))
        created = await served.client.responses.create(model="test/m", input="Hi", background=True, stream=True)
        first = await anext(aiter(created))
        assert first.type == "response.created"
        await created.close()
        async with served.client.responses.stream(response_id=first.response.id) as stream:
            final = await stream.get_final_response()
        assert final.output_text == "Hello"


async def test_cancelling_stops_the_upstream_and_ends_the_stream(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), HANG]))
        response = await served.client.responses.create(model="test/m", input="Hi", background=True)
        async with asyncio.timeout(DEADLINE):
            await upstream.asked.wait()
        cancelled = await served.client.responses.cancel(response.id)
        assert cancelled.status == "cancelled"
        async with asyncio.timeout(1):
            await upstream.exchanges[0].left.wait()
        assert (await served.client.responses.cancel(response.id)).status == "cancelled"


async def test_what_cannot_be_streamed_or_cancelled_says_so(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hello"))
        response = await served.client.responses.create(model="test/m", input="Hi")
        with pytest.raises(openai.BadRequestError, match="background=true"):
            await served.client.responses.cancel(response.id)
        status, answer = await served.ask("GET", f"/responses/{response.id}?stream=true")
        assert (status, answer["error"]["param"]) == (400, "stream")
        status, _ = await served.ask("GET", f"/responses/{response.id}?stream=true&starting_after=-1")
        assert status == 400
        status, answer = await served.ask("POST", "/responses", {**BODY, "store": False})
        assert (status, answer["error"]["param"]) == (400, "background")


async def test_a_run_survives_a_restart_of_the_server(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(Reply([sse(chunk(content="Hel")), HANG]))
        response = await served.client.responses.create(model="test/m", input="Hi", background=True)
        async with asyncio.timeout(DEADLINE):
            await upstream.asked.wait()
    upstream.reply(speech("Hello"))
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        done = await polled(served, response.id)
        assert (done.status, done.output_text) == ("completed", "Hello")
