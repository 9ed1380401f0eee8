"""The edges of the HTTP surface on the whole server: bodies, browsers, keys, lists, forks, expiry."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard

from tests import process
from tests.upstream import Upstream, speech
from tests.whole.house import DEADLINE, Json, Whole, fast, text_of, whole

BODY: dict[str, Any] = {"model": "test/m", "input": "Hi"}
SITE = "https://app.example"
KEY = {"idempotency-key": "k"}


class Got:
    """An answer with its headers."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def send(url: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Got:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    asked = aiohttp.request(method, f"{url}/v1{path}", headers=sent, data=io.BytesIO(content))
    async with asyncio.timeout(DEADLINE), asked as answer:
        return Got(answer.status, answer.headers, await answer.read())


async def test_a_zstd_body_is_read_like_any_other(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hello"))
        packed = zstandard.compress(json.dumps(BODY).encode())
        headers = {"content-encoding": "zstd", "content-type": "application/json"}
        assert text_of((await send(served.url, "POST", "/responses", packed, headers)).json) == "Hello"


async def test_an_answer_is_replayed_after_the_server_was_killed(tmp_path: Path) -> None:
    body = {"model": "builtin/extractive", "input": "Say hello."}
    streamed = {**body, "stream": True}
    async with process.serving(tmp_path) as server:
        model = (await send(server.url, "GET", "/models")).json["data"][0]["id"]
        body["model"] = streamed["model"] = model
        first = await send(server.url, "POST", "/responses", body, KEY)
        stream = await send(server.url, "POST", "/responses", streamed, {"idempotency-key": "s"})
        assert (first.status, stream.status) == (200, 200), first.body
        await server.stop(signal.SIGKILL)
    async with process.serving(tmp_path) as server:
        again = await send(server.url, "POST", "/responses", body, KEY)
        assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, first.body, "true")
        again = await send(server.url, "POST", "/responses", streamed, {"idempotency-key": "s"})
        assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, stream.body, "true")
        other = await send(server.url, "POST", "/responses", {**body, "input": "Bye."}, KEY)
        assert (other.status, other.json["error"]["code"]) == (400, "idempotency_key_reused")
        assert len((await send(server.url, "GET", "/responses")).json["data"]) == 2


async def test_of_concurrent_requests_with_one_key_one_reaches_the_model(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hello"))
        answers = await asyncio.gather(*(send(served.url, "POST", "/responses", BODY, KEY) for _ in range(10)))
        assert {answer.status for answer in answers} <= {200, 409}
        assert len({answer.body for answer in answers if answer.status == 200}) == 1
        assert len(upstream.exchanges) == 1


async def test_a_failure_frees_the_key(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path) as served:
        assert (await send(served.url, "POST", "/responses", BODY, KEY)).status == 400
        assert (await send(served.url, "POST", "/responses", BODY, KEY)).headers["idempotent-replayed"] == "true"
    refused = fast(upstream, retries={"count": 0}, base_url="http://127.0.0.1:9/v1")
    async with whole(tmp_path, models=[refused]) as served:
        for _ in range(2):
            answer = await send(served.url, "POST", "/responses", BODY, {"idempotency-key": "2"})
            assert (answer.status, "idempotent-replayed" in answer.headers) == (502, False)


async def test_a_page_of_a_listed_site_gets_its_stream(tmp_path: Path, upstream: Upstream) -> None:
    server = {"cors_origins": [SITE], "api_keys": ["k"]}
    async with whole(tmp_path, models=[fast(upstream)], server=server) as served:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await send(served.url, "OPTIONS", "/responses", headers={"origin": SITE, **asked})
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        upstream.reply(speech("Hello"))
        page = {"origin": SITE, "authorization": "Bearer k"}
        answer = await send(served.url, "POST", "/responses", {**BODY, "stream": True}, page)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert answer.headers["access-control-allow-origin"] == SITE
        refused = await send(served.url, "GET", "/models", headers={"origin": SITE})
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, SITE)


async def test_without_keys_only_this_machine_is_answered(tmp_path: Path) -> None:
    async with whole(tmp_path) as served:
        for headers, code in (({"host": "evil.example"}, "host_not_allowed"), ({"origin": SITE}, "origin_not_allowed")):
            answer = await send(served.url, "POST", "/conversations", {}, headers)
            assert (answer.status, answer.json["error"]["code"]) == (403, code)
            assert answer.headers["x-request-id"].startswith("req_")
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await served.raw.ws_connect(f"{served.url}/v1/responses", headers=headers)
            assert caught.value.status == 403
        assert (await send(served.url, "POST", "/conversations", {})).status == 200
    async with whole(tmp_path, server={"trusted_hosts": ["evil.example"], "cors_origins": [SITE]}) as served:
        headers = {"host": "evil.example", "origin": SITE}
        assert (await send(served.url, "POST", "/conversations", {}, headers)).status == 200
    async with whole(tmp_path, server={"api_keys": ["k"]}) as served:
        headers = {"host": "any.example", "origin": SITE, "authorization": "Bearer k"}
        assert (await send(served.url, "POST", "/conversations", {}, headers)).status == 200


async def test_every_answer_has_a_request_id(tmp_path: Path) -> None:
    server = {"max_body_mb": 1, "cors_origins": [SITE], "api_keys": ["k"]}
    key = {"authorization": "Bearer k"}
    async with whole(tmp_path, server=server) as served:
        answers = {
            200: await send(served.url, "GET", "/models", headers=key),
            400: await send(served.url, "POST", "/responses", {}, key),
            401: await send(served.url, "GET", "/models"),
            404: await send(served.url, "GET", "/nothing", headers=key),
            405: await send(served.url, "PUT", "/responses", headers=key),
            413: await send(served.url, "POST", "/responses", b" " * 1_048_577, key),
            415: await send(served.url, "POST", "/responses", b"x", {**key, "content-type": "text/plain"}),
        }
        preflight = {"origin": SITE, "access-control-request-method": "POST"}
        assert (await send(served.url, "OPTIONS", "/x", headers=preflight)).headers["x-request-id"].startswith("req_")
        for status, answer in answers.items():
            assert answer.status == status
            assert answer.headers["x-request-id"].startswith("req_")


async def test_unknown_parameters_are_refused_or_ignored(tmp_path: Path, upstream: Upstream) -> None:
    body = {**BODY, "made_up": 1}
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        assert (await served.ask("POST", "/responses", body))[1]["error"]["code"] == "unknown_parameter"
    async with whole(tmp_path, models=[fast(upstream)], server={"unknown_parameters": "ignore"}) as served:
        upstream.reply(speech("Hello"))
        assert text_of(await served.create(**body)) == "Hello"
        assert "made_up" not in upstream.exchanges[-1].json
        assert (await served.ask("POST", "/conversations", {"made_up": 1}))[0] == 200


async def made(served: Whole, upstream: Upstream, count: int) -> list[str]:
    ids: list[str] = []
    for _ in range(count):
        upstream.reply(speech("Hello"))
        ids.append((await served.create(**BODY))["id"])
    return ids


async def test_responses_are_listed(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        empty: Json = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
        assert await served.ask("GET", "/responses") == (200, empty)
        ids = await made(served, upstream, 5)
        upstream.reply(speech("Hello"))
        await served.create(**BODY, store=False)

        async def listed(query: str) -> tuple[list[str], bool]:
            status, page = await served.ask("GET", f"/responses?{query}")
            assert status == 200, page
            found = [one["id"] for one in page["data"]]
            assert (page["first_id"], page["last_id"]) == (found[0], found[-1])
            return found, page["has_more"]

        assert await listed("") == (ids[::-1], False)
        assert await listed("order=asc&limit=2") == (ids[:2], True)
        assert await listed(f"order=asc&limit=2&after={ids[1]}") == (ids[2:4], True)
        assert await listed(f"limit=10&before={ids[3]}") == ([ids[4]], False)
        assert (await served.ask("GET", "/responses?limit=0"))[0] == 400
        assert (await served.ask("GET", "/responses?after=resp_unknown"))[1]["error"]["code"] == "invalid_value"
        _, page = await served.ask("GET", "/responses?limit=1")
        assert page["data"] == [(await served.ask("GET", f"/responses/{ids[4]}"))[1]]


async def test_a_conversation_is_forked_at_an_item(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        _, source = await served.ask("POST", "/conversations", {"metadata": {"a": "b"}})
        for text in ("one", "two"):
            upstream.reply(speech(text))
            await served.create(**BODY, conversation=source["id"])
        items = f"/conversations/{source['id']}/items"
        before = (await served.ask("GET", f"{items}?order=asc"))[1]
        path = f"/conversations/{source['id']}/fork"
        status, fork = await served.ask("POST", path, {"item_id": before["data"][1]["id"]})
        assert status == 200
        assert fork["id"] != source["id"]
        assert (fork["object"], fork["metadata"]) == ("conversation", {"a": "b"})
        upstream.reply(speech("three"))
        await served.create(**BODY, conversation=fork["id"])
        assert [message["content"] for message in upstream.exchanges[-1].json["messages"]] == ["Hi", "one", "Hi"]
        forked = (await served.ask("GET", f"/conversations/{fork['id']}/items?order=asc"))[1]
        assert forked["data"][:2] == before["data"][:2]
        assert len(forked["data"]) == 4
        assert (await served.ask("GET", f"{items}?order=asc"))[1] == before
        whole_fork = (await served.ask("POST", path, {"metadata": {}}))[1]
        assert whole_fork["metadata"] == {}
        await served.ask("DELETE", f"/conversations/{source['id']}")
        copied = (await served.ask("GET", f"/conversations/{whole_fork['id']}/items?order=asc"))[1]
        assert copied["data"] == before["data"]


async def test_a_fork_of_nothing_is_404(tmp_path: Path) -> None:
    async with whole(tmp_path) as served:
        _, source = await served.ask("POST", "/conversations", {})
        status, answer = await served.ask("POST", f"/conversations/{source['id']}/fork", {"item_id": "msg_unknown"})
        assert (status, "msg_unknown" in answer["error"]["message"]) == (404, True)
        assert (await served.ask("POST", "/conversations/conv_unknown/fork"))[0] == 404
        assert (await served.ask("POST", "/conversations/resp_x/fork"))[0] == 400
        assert (await served.ask("POST", f"/conversations/{source['id']}/fork", {"x": 1}))[0] == 400
        assert (await served.ask("POST", f"/conversations/{source['id']}/fork"))[0] == 200


async def test_what_has_expired_is_gone(tmp_path: Path, upstream: Upstream) -> None:
    soon = {"days": 0.2 / 86_400, "idempotency_hours": 0.2 / 3600, "sweep_seconds": 0.05}
    async with whole(tmp_path, models=[fast(upstream)], retention=soon) as served:
        upstream.reply(speech("Hello"))
        first = await send(served.url, "POST", "/responses", BODY, KEY)
        assert first.status == 200
        status = 200
        async with asyncio.timeout(DEADLINE):
            while status != 404:
                status, _ = await served.ask("GET", f"/responses/{first.json['id']}")
        upstream.reply(speech("Hello"))
        assert "idempotent-replayed" not in (await send(served.url, "POST", "/responses", BODY, KEY)).headers
