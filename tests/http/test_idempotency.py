"""`Idempotency-Key`: what is answered again, what is done again, and what is refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from antiphon.http.services import HttpLimits
from antiphon.ports.idempotency import FirstAnswer
from antiphon.wire.errors import (
    InvalidRequestError,
    ModelError,
    NotFoundError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StoreError,
)
from antiphon.wire.events import Completed, Failed
from antiphon.wire.frames import DONE as END
from tests.http.server import DEADLINE, Answer, Parts, Server, parsed, serving
from tests.http.stubs import CREATED, DONE, StubJournal, StubModel, StubRunner, ended, frames
from tests.http.test_chat import COMPLETION

CREATE = {"model": "m", "input": "Hi"}
STREAM = {**CREATE, "stream": True}


class Keys:
    """Keys in a dict; `gate` holds back what is to be kept."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], FirstAnswer] = {}
        self.renewed = asyncio.Event()
        self.refusal: StoreError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.keeping = asyncio.Event()
        self.freed = asyncio.Event()

    async def begin(self, project: str, answer: FirstAnswer, now: float, /) -> FirstAnswer | None:
        found = self.rows.get((project, answer.key))
        if found is not None and found.until > now:
            return found
        self.rows[project, answer.key] = answer
        return None

    async def complete(self, project: str, answer: FirstAnswer, /) -> None:
        if not answer.status:
            self.renewed.set()
        self.keeping.set()
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.rows[project, answer.key] = answer

    async def forget(self, project: str, key: str, /) -> None:
        self.rows.pop((project, key), None)
        self.freed.set()


@asynccontextmanager
async def keyed(parts: Parts | None = None) -> AsyncGenerator[tuple[Server, Keys]]:
    parts = parts or Parts()
    keys = Keys()
    parts.keys = keys
    async with serving(parts) as server:
        yield server, keys


async def sent(server: Server, body: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request with the key `k` whose answer is still to be read."""
    content = json.dumps(body).encode()
    reader, writer = await server.connect()
    writer.write(
        b"POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\nidempotency-key: k\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)
    )
    return reader, writer


async def post(server: Server, body: object, key: str = "k", path: str = "/v1/responses", **headers: str) -> Answer:
    return await server.ask("POST", path, body, {"idempotency-key": key, **headers})


def same(first: Answer, again: Answer) -> None:
    """The second is the first once more, and says so."""
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_the_first_answer_is_given_again() -> None:
    async with keyed() as (server, _):
        first = await post(server, CREATE)
        assert first.status == 200
        same(first, await post(server, CREATE))
        same(first, await post(server, CREATE, path="/responses"))
        assert len(server.parts.runner.started) == 1
        assert (await post(server, CREATE, "other")).status == 200
        assert (await server.ask("POST", "/v1/responses", CREATE)).status == 200
        assert len(server.parts.runner.started) == 3


async def test_every_post_has_keys() -> None:
    model = StubModel([json.dumps(COMPLETION).encode()])
    async with keyed(Parts(model=model)) as (server, _):
        conversation = await post(server, {}, "create", "/v1/conversations")
        same(conversation, await post(server, {}, "create", "/v1/conversations"))
        path = f"/v1/conversations/{conversation.json['id']}/items"
        items = {"items": [{"role": "user", "content": "Hi"}]}
        same(await post(server, items, "add", path), await post(server, items, "add", path))
        assert len((await server.ask("GET", path)).json["data"]) == 1
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        path = "/v1/chat/completions"
        same(await post(server, chat, "chat", path), await post(server, chat, "chat", path))
        assert len(model.asked) == 1


async def test_a_stream_is_given_again_byte_for_byte_without_its_comments() -> None:
    journal = StubJournal(CREATED, frames(Completed(response=DONE), first=1))
    runner = StubRunner(journal)
    async with keyed(Parts(runner=runner, limits=HttpLimits(keepalive=0.01))) as (server, keys):
        reader, writer = await sent(server, STREAM)
        async with asyncio.timeout(DEADLINE):
            begun = await reader.readuntil(b": ping\n\n")
            journal.over.set()
            first = parsed(begun + await reader.read())
        writer.close()
        again = await post(server, STREAM)
        assert again.body == first.body.replace(b": ping\n\n", b"")
        assert again.body.endswith(END)
        assert again.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert again.headers["cache-control"] == "no-cache"
        assert again.headers["idempotent-replayed"] == "true"
        assert len(runner.started) == 1
        assert not keys.freed.is_set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {**CREATE, "input": "Ho"}),
        ("/v1/responses?include=x", CREATE),
        ("/v1/conversations", {}),
        ("/v1/responses/resp_1/cancel", None),
    ],
)
async def test_a_key_stands_for_one_request(path: str, body: object) -> None:
    async with keyed() as (server, _):
        assert (await post(server, CREATE)).status == 200
        answer = await post(server, body, path=path)
        assert (answer.status, answer.error["code"]) == (400, "idempotency_key_reused")
        assert answer.error["type"] == "invalid_request_error"
        assert len(server.parts.runner.started) == 1


async def test_how_a_body_was_packed_makes_no_difference() -> None:
    async with keyed() as (server, _):
        content = json.dumps(CREATE).encode()
        first = await post(server, gzip.compress(content), **{"content-encoding": "gzip"})
        assert first.status == 200
        same(first, await post(server, content))


async def test_while_the_first_is_answered_others_are_told_to_wait() -> None:
    journal = StubJournal()
    async with keyed(Parts(runner=StubRunner(journal))) as (server, _):
        asking = asyncio.create_task(post(server, CREATE))
        async with asyncio.timeout(DEADLINE):
            await journal.waited_for.wait()
        busy = await post(server, CREATE)
        assert (busy.status, busy.error["code"]) == (409, "idempotency_key_in_use")
        assert busy.headers["retry-after"] == "1"
        assert "x-should-retry" not in busy.headers  # the official clients wait and ask again by themselves
        assert (await post(server, {**CREATE, "input": "Ho"})).error["code"] == "idempotency_key_reused"
        journal.over.set()
        async with asyncio.timeout(DEADLINE):
            same(await asking, await post(server, CREATE))


async def test_of_many_at_once_one_is_done() -> None:
    async with keyed() as (server, _):
        answers = await asyncio.gather(*(post(server, CREATE) for _ in range(20)))
        assert len(server.parts.runner.started) == 1
        assert {answer.status for answer in answers} <= {200, 409}
        assert any(answer.status == 200 for answer in answers)


async def test_the_answer_is_kept_before_it_is_whole() -> None:
    async with keyed() as (server, keys):
        keys.gate.clear()
        reader, writer = await sent(server, CREATE)
        async with asyncio.timeout(DEADLINE):
            await keys.keeping.wait()
            head = await reader.readuntil(b"\r\n\r\n")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)
            keys.gate.set()
            answer = parsed(head + await reader.read())
        writer.close()
        assert answer.json["id"] == "resp_1"


@pytest.mark.parametrize(
    "refusal",
    [
        RateLimitError("Slow down."),
        OverloadedError("Full."),
        ModelError("The model failed."),
        ServerError("Broken."),
        RuntimeError("a fault"),
        InvalidRequestError("Locked.", param="conversation", code="conversation_locked"),
    ],
)
async def test_what_was_not_done_frees_the_key(refusal: Exception) -> None:
    runner = StubRunner()
    runner.refusal = refusal
    async with keyed(Parts(runner=runner)) as (server, keys):
        assert (await post(server, CREATE)).status >= 400
        assert keys.rows == {}
        runner.refusal = None
        assert (await post(server, {**CREATE, "input": "Ho"})).status == 200


@pytest.mark.parametrize(
    ("body", "refusal", "status"),
    [
        (b"{", None, 400),
        ({"model": "m"}, None, 400),
        (CREATE, NotFoundError("No such thing.", param="conversation"), 404),
    ],
)
async def test_a_refusal_is_an_answer(body: object, refusal: Exception | None, status: int) -> None:
    runner = StubRunner()
    runner.refusal = refusal
    async with keyed(Parts(runner=runner)) as (server, _):
        first = await post(server, body)
        assert first.status == status
        runner.refusal = None
        same(first, await post(server, body))


async def test_a_stream_that_failed_frees_the_key() -> None:
    runner = StubRunner(ended(CREATED, frames(Failed(response=DONE), first=1)))
    async with keyed(Parts(runner=runner)) as (server, keys):
        assert (await post(server, STREAM)).status == 200
        assert keys.rows == {}


async def test_a_chat_stream_that_failed_frees_the_key() -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    model = StubModel([b'{"id":"chatcmpl-1","choices":[]}'], ModelError("It broke."))
    async with keyed(Parts(model=model)) as (server, keys):
        assert b'"error"' in (await post(server, chat, path="/v1/chat/completions")).body
        assert keys.rows == {}


@pytest.mark.parametrize("body", [CREATE, STREAM])
async def test_an_answer_too_long_to_keep_is_named(body: object) -> None:
    async with keyed(Parts(limits=HttpLimits(idempotency_bytes=500))) as (server, _):
        first = await post(server, body)
        assert first.status == 200
        assert len(first.body) > 500
        again = await post(server, body)
        assert (again.status, again.error["code"]) == (409, "idempotent_answer_not_kept")
        assert "'resp_1'" in again.error["message"]
        assert again.headers["x-should-retry"] == "false"
        assert (await post(server, {**CREATE, "input": "Ho"})).error["code"] == "idempotency_key_reused"
        assert len(server.parts.runner.started) == 1


async def left(server: Server, journal: StubJournal, body: object, *, gone: bool) -> None:
    """A client leaves while it is answered."""
    reader, writer = await sent(server, body)
    async with asyncio.timeout(DEADLINE):
        await journal.waited_for.wait()
        if body == STREAM:
            await reader.readuntil(b"resp_1")
        if gone:
            server.parts.runner.refusal = NotFoundError("It was cancelled.")
        writer.close()
        await journal.abandoned.wait()


@pytest.mark.parametrize("body", [CREATE, STREAM])
async def test_a_client_that_leaves_frees_the_key(body: object) -> None:
    journal = StubJournal(CREATED)
    runner = StubRunner(journal)
    async with keyed(Parts(runner=runner)) as (server, keys):
        await left(server, journal, body, gone=True)
        async with asyncio.timeout(DEADLINE):
            await keys.freed.wait()
        assert keys.rows == {}


async def test_a_run_that_goes_on_without_its_client_is_not_started_again() -> None:
    journal = StubJournal(CREATED)
    async with keyed(Parts(runner=StubRunner(journal))) as (server, keys):
        await left(server, journal, STREAM, gone=False)
        async with asyncio.timeout(DEADLINE):
            await keys.keeping.wait()
        again = await post(server, STREAM)
        assert (again.status, again.error["code"]) == (409, "idempotent_answer_not_kept")
        assert "'resp_1'" in again.error["message"]


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_1_to_255_characters(key: str) -> None:
    async with keyed() as (server, _):
        answer = await server.raw(
            b"POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n"
            b"idempotency-key: %s\r\n\r\n" % key.encode()
        )
        assert (answer.status, answer.error["code"]) == (400, "invalid_idempotency_key")
        assert (await post(server, CREATE, "x" * 255)).status == 200


async def test_an_answer_is_kept_for_its_time() -> None:
    async with keyed(Parts(limits=HttpLimits(idempotency_seconds=0))) as (server, _):
        for _ in range(2):
            assert "idempotent-replayed" not in (await post(server, CREATE)).headers
        assert len(server.parts.runner.started) == 2


async def test_a_key_whose_process_died_is_free_after_its_lease() -> None:
    async with keyed() as (server, keys):
        await post(server, CREATE)
        row = keys.rows["default", "k"]
        keys.rows["default", "k"] = replace(row, status=0, until=time.time() + 100)
        assert (await post(server, CREATE)).status == 409
        keys.rows["default", "k"] = replace(row, status=0, until=time.time() - 1)
        assert (await post(server, CREATE)).status == 200


async def test_a_long_request_keeps_its_key() -> None:
    journal = StubJournal()
    limits = HttpLimits(idempotency_lease=0.03)
    async with keyed(Parts(runner=StubRunner(journal), limits=limits)) as (server, keys):
        asking = asyncio.create_task(post(server, CREATE))
        async with asyncio.timeout(DEADLINE):
            for _ in range(3):
                await keys.renewed.wait()
                keys.renewed.clear()
            journal.over.set()
            first = await asking
        same(first, await post(server, CREATE))


async def test_an_answer_that_cannot_be_kept_is_given_all_the_same() -> None:
    async with keyed() as (server, keys):
        keys.refusal = StoreError("The disk is full.")
        assert (await post(server, CREATE)).json["id"] == "resp_1"
        assert (await post(server, CREATE)).status == 409


async def test_the_key_of_a_body_that_is_not_json_means_nothing() -> None:
    async with keyed() as (server, keys):
        assert (await post(server, b"x", **{"content-type": "text/plain"})).status == 415
        assert keys.rows == {}


async def test_reads_have_no_keys() -> None:
    async with keyed() as (server, keys):
        assert (await server.ask("GET", "/v1/models", headers={"idempotency-key": "k"})).status == 200
        assert keys.rows == {}
