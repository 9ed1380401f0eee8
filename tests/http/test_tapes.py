"""The cassettes that requests choose for themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from antiphon.http.tapes import MODE, NAME, Tapes
from antiphon.wire.errors import InvalidRequestError, OverloadedError
from tests.upstream import DONE, Reply, Upstream, chunk, sse, usage
from tests.whole.house import Json, Whole, fast, whole


def said(text: str) -> Reply:
    return Reply([sse(chunk(role="assistant", content=text)), sse(chunk(finish="stop")) + sse(usage()) + DONE])


@asynccontextmanager
async def shelf(data: Path, upstream: Upstream, **tree: Any) -> AsyncGenerator[Whole]:
    """A server whose requests may choose cassettes in the folder `tapes`."""
    async with whole(data, models=[fast(upstream)], cassette={"root": data / "tapes"}, **tree) as served:
        yield served


async def ask(
    served: Whole, path: str, body: Json, name: str | None = None, mode: str | None = None
) -> tuple[int, str]:
    headers = {key: value for key, value in ((NAME, name), (MODE, mode)) if value is not None}
    async with served.raw.post(f"{served.url}/v1{path}", json=body, headers=headers) as answer:
        return answer.status, await answer.text()


def text_of(answer: tuple[int, str]) -> str:
    assert answer[0] == 200, answer
    return json.loads(answer[1])["output"][0]["content"][0]["text"]


HI: Json = {"model": "m", "input": "Hi"}


async def test_a_request_records_and_another_replays(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(said("One."), said("Two."))
    async with shelf(tmp_path, upstream) as served:
        assert text_of(await ask(served, "/responses", HI, "first", "record")) == "One."
        assert text_of(await ask(served, "/responses", HI)) == "Two."
        assert text_of(await ask(served, "/responses", HI, "first")) == "One."
        assert text_of(await ask(served, "/responses", HI, "first", "replay")) == "One."
    assert len(upstream.exchanges) == 2
    ports = sorted(path.name.partition("-")[0] for path in (tmp_path / "tapes" / "first").iterdir())
    assert ports == ["model.list", "model.stream"]


async def test_a_cassette_answers_where_the_endpoint_is_gone(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(said("One."))
    async with shelf(tmp_path, upstream) as served:
        await ask(served, "/responses", HI, "first", "record")
    async with whole(tmp_path / "other", cassette={"root": tmp_path / "tapes"}) as served:
        assert text_of(await ask(served, "/responses", HI, "first")) == "One."
        assert text_of(await ask(served, "/responses", {**HI, "model": "test/m"}, "first")) == "One."
        status, words = await ask(served, "/responses", HI)
        assert (status, "does not exist" in words) == (400, True)


async def test_a_mode_may_ask_only_for_what_is_missing(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(said("One."))
    async with shelf(tmp_path, upstream) as served:
        for _ in range(2):
            assert text_of(await ask(served, "/responses", HI, "a.b-c_1", "replay_or_record")) == "One."
        status, words = await ask(served, "/responses", {**HI, "input": "Bye"}, "a.b-c_1")
    assert (status, json.loads(words)["error"]["code"]) == (400, "replay_miss")
    assert 'asked \\"Bye\\", recorded \\"Hi\\"' in words


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a b", "/etc", "%2e%2e", "x" * 101, "nowhere"])
async def test_a_name_is_one_segment_of_a_path(tmp_path: Path, upstream: Upstream, name: str) -> None:
    async with shelf(tmp_path, upstream) as served:
        status, words = await ask(served, "/responses", HI, name)
    assert (status, json.loads(words)["error"]["code"]) == (400, "invalid_cassette")
    assert NAME in words


async def test_a_mode_is_one_of_three_and_needs_a_name(tmp_path: Path, upstream: Upstream) -> None:
    async with shelf(tmp_path, upstream) as served:
        for name, mode in (("first", "rewind"), (None, "record")):
            status, words = await ask(served, "/responses", HI, name, mode)
            assert (status, MODE in words) == (400, True)


async def test_nobody_chooses_where_no_folder_is_set(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        status, words = await ask(served, "/responses", HI, "first", "record")
    assert (status, "cassette.root" in words) == (400, True)
    assert not upstream.exchanges


async def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "tapes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tapes" / "link").symlink_to(tmp_path / "elsewhere")
    async with shelf(tmp_path, upstream) as served:
        status, words = await ask(served, "/responses", HI, "link", "record")
    assert (status, "leads out" in words) == (400, True)


async def test_what_outlives_its_request_cannot_choose(tmp_path: Path, upstream: Upstream) -> None:
    asked = [
        ("/responses", {**HI, "background": True}),
        ("/vector_stores/vs_1/files", {"file_id": "file-1"}),
        ("/vector_stores/vs_1/file_batches", {"file_ids": ["file-1"]}),
        ("/vector_stores", {"file_ids": ["file-1"]}),
    ]
    async with shelf(tmp_path, upstream) as served:
        for path, body in asked:
            status, words = await ask(served, path, body, "first", "record")
            assert (status, "outlives its request" in words) == (400, True), words
        assert (await ask(served, "/vector_stores", {"name": "x"}, "first", "record"))[0] == 200


async def test_chat_completions_pass_the_cassette(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(said("One."))
    body: Json = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with shelf(tmp_path, upstream) as served:
        first = await ask(served, "/chat/completions", body, "first", "record")
        assert first[0] == 200
        assert await ask(served, "/chat/completions", body, "first") == first
    assert len(upstream.exchanges) == 1


async def test_a_websocket_chooses_for_all_its_responses(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(said("One."))
    frame = {"type": "response.create", **HI}
    async with shelf(tmp_path, upstream) as served:
        url = f"{served.url}/v1/responses"
        for mode in ("record", "replay"):
            async with served.raw.ws_connect(url, headers={NAME: "socket", MODE: mode}) as socket:
                for _ in range(1 if mode == "record" else 2):
                    assert await _completed(socket, frame) == "One."
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await served.raw.ws_connect(url, headers={NAME: "../socket"})
        assert refused.value.status == 400
    assert len(upstream.exchanges) == 1


async def _completed(socket: aiohttp.ClientWebSocketResponse, frame: Json) -> str:
    await socket.send_json(frame)
    while (event := await socket.receive_json(timeout=10))["type"] != "response.completed":
        assert event["type"] not in {"error", "response.failed"}, event
    return event["response"]["output"][0]["content"][0]["text"]


async def test_the_document_names_the_headers(tmp_path: Path, upstream: Upstream) -> None:
    async with shelf(tmp_path, upstream) as served:
        _, document = await served.ask("GET", "/openapi.json")
    named = {
        path
        for path, operations in document["paths"].items()
        if any((one["name"], one["in"]) == (NAME, "header") for one in operations.get("post", {}).get("parameters", ()))
    }
    assert {"/responses", "/chat/completions", "/embeddings", "/completions", "/rerank"} <= named
    assert "/files" not in named


def scope(name: str, mode: str = "record") -> Json:
    return {"headers": [(NAME.lower().encode(), name.encode()), (MODE.lower().encode(), mode.encode())]}


def test_only_so_many_cassettes_are_open(tmp_path: Path) -> None:
    made: list[str] = []
    tapes = Tapes(tmp_path, most=2)
    with tapes.chosen(scope("a")), tapes.chosen(scope("b")), pytest.raises(OverloadedError), tapes.chosen(scope("c")):
        made.append("never")
    with tapes.chosen(scope("c")), tapes.chosen(scope("b")):
        made.append("then")
    assert made == ["then"]


def test_a_refusal_leaves_no_cassette_behind(tmp_path: Path) -> None:
    tapes = Tapes(tmp_path)
    with pytest.raises(InvalidRequestError), tapes.chosen(scope("..")):
        pass
    assert list(tmp_path.iterdir()) == []
