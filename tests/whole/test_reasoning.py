"""Reasoning, sealed for clients that keep it and shown to those that ask."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.upstream import DONE, Reply, Upstream, chunk, running, sse, usage
from tests.whole.house import Json, Whole, fast, text_of, whole

ENCRYPTED = ["reasoning.encrypted_content"]
FIRST = "the first secret of this server, kept well"
SECOND = "the second secret of this server, kept well"


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    async with running() as found:
        yield found


def thoughtful(*thoughts: str, answer: str = "Hello") -> Reply:
    """A stream that thinks aloud in pieces and then answers."""
    parts = [sse(chunk(role="assistant", content=""))] + [sse(chunk(reasoning_content=piece)) for piece in thoughts]
    return Reply([*parts, sse(chunk(content=answer)), sse(chunk(finish="stop")) + sse(usage()) + DONE])


def house(data: Path, upstream: Upstream, **tree: Any) -> AbstractAsyncContextManager[Whole]:
    """A server that sends all reasoning back."""
    dialect = {"send_reasoning": "always", **tree.pop("dialect", {})}
    return whole(data, models=[fast(upstream, dialect=dialect)], **tree)


def sent(upstream: Upstream) -> list[Json]:
    """The messages of the last request."""
    return upstream.exchanges[-1].json["messages"]


async def test_a_client_that_stores_nothing_gets_its_reasoning_back_to_the_model(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.reply(thoughtful("First ", "this."), thoughtful("Then that."))
    async with house(tmp_path, upstream) as served:
        asked: Json = {"model": "m", "store": False, "include": ENCRYPTED}
        first = await served.create(**asked, input="Hi")
        reasoning, message = first["output"]
        sealed = reasoning["encrypted_content"]
        assert "First" not in base64.b64decode(sealed).decode("latin-1")
        stripped: Json = {"type": "reasoning", "id": reasoning["id"], "summary": [], "encrypted_content": sealed}
        history: list[Json] = [
            {"role": "user", "content": "Hi"},
            stripped,
            message,
            {"role": "user", "content": "And?"},
        ]
        events = await served.stream(**asked, input=history)
        assert [m.get("reasoning_content") for m in sent(upstream)] == [None, "First this.", None]
        done = next(e["item"] for e in events if e["type"] == "response.output_item.done")
        assert done["type"] == "reasoning"
        assert done["encrypted_content"] not in {"", sealed}
        assert events[-1]["response"]["output"][0] == done
        added = next(e["item"] for e in events if e["type"] == "response.output_item.added")
        assert "encrypted_content" not in added


async def test_encrypted_content_is_shown_to_who_asks(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(thoughtful("First this."))
    async with house(tmp_path, upstream) as served:
        plain = await served.create(model="m", input="Hi")
        assert "encrypted_content" not in plain["output"][0]
        path = f"/responses/{plain['id']}"
        assert (await served.ask("GET", path))[1]["output"] == plain["output"]
        _, shown = await served.ask("GET", f"{path}?include[]={ENCRYPTED[0]}")
        assert shown["output"][0]["encrypted_content"]


async def test_a_model_without_reasoning_may_be_asked_for_it(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(thoughtful())
    async with house(tmp_path, upstream) as served:
        response = await served.create(model="m", input="Hi", include=ENCRYPTED, store=False)
        assert [item["type"] for item in response["output"]] == ["message"]


async def refused(served: Whole, sealed: str, place: int = 1, **body: Any) -> Json:
    """The error of a request whose reasoning was not sealed here."""
    front: list[Json] = [{"role": "user", "content": "Hi"}] * place
    reasoning: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    status, answer = await served.ask(
        "POST", "/responses", {"model": "m", "input": [*front, reasoning], "store": False, **body}
    )
    assert status == 400, answer
    assert answer["error"]["type"] == "invalid_request_error"
    return answer["error"]


async def test_what_was_not_sealed_here_is_refused_with_its_place(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(thoughtful("First."))
    async with house(tmp_path, upstream) as served:
        first = await served.create(model="m", input="Hi", store=False, include=ENCRYPTED)
        sealed: str = first["output"][0]["encrypted_content"]
        raw = bytearray(base64.b64decode(sealed))
        raw[-1] ^= 1
        for forged in ("gAAAAABforged", sealed[:-4], sealed[4:], base64.b64encode(raw).decode(), "é", "AA=="):
            error = await refused(served, forged)
            assert error["code"] == "invalid_encrypted_content"
            assert error["param"] == "input[1].encrypted_content"
        assert (await refused(served, "forged", place=3, stream=True))["param"] == "input[3].encrypted_content"
        assert len(upstream.exchanges) == 1


async def test_another_server_cannot_read_it(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(thoughtful("First."))
    async with house(tmp_path / "one", upstream) as served:
        first = await served.create(model="m", input="Hi", include=ENCRYPTED)
    async with house(tmp_path / "other", upstream) as served:
        error = await refused(served, first["output"][0]["encrypted_content"], place=0)
        assert (error["code"], error["param"]) == ("invalid_encrypted_content", "input[0].encrypted_content")


async def test_keys_are_changed_by_putting_the_new_one_in_front(tmp_path: Path, upstream: Upstream) -> None:
    upstream.default = thoughtful("First.")
    asked: Json = {"model": "m", "store": False, "include": ENCRYPTED}
    async with house(tmp_path, upstream, seal={"keys": [FIRST]}) as served:
        old = (await served.create(**asked, input="Hi"))["output"]
    async with house(tmp_path, upstream, seal={"keys": [SECOND, FIRST]}) as served:
        new = (await served.create(**asked, input=[*old, {"role": "user", "content": "And?"}]))["output"]
        assert sent(upstream)[0]["reasoning_content"] == "First."
    async with house(tmp_path, upstream, seal={"keys": [SECOND]}) as served:
        assert (await refused(served, old[0]["encrypted_content"]))["code"] == "invalid_encrypted_content"
        await served.create(**asked, input=[*new, {"role": "user", "content": "And?"}])


async def test_the_key_of_the_data_folder_survives_a_restart(tmp_path: Path, upstream: Upstream) -> None:
    upstream.default = thoughtful("First.")
    asked: Json = {"model": "m", "store": False, "include": ENCRYPTED}
    async with house(tmp_path, upstream) as served:
        first = await served.create(**asked, input="Hi")
    async with house(tmp_path, upstream) as served:
        again: list[Json] = [{"role": "user", "content": "Hi"}, *first["output"], {"role": "user", "content": "And?"}]
        assert text_of(await served.create(**asked, input=again)) == "Hello"


@pytest.mark.parametrize("asked", [{"summary": "auto"}, {"summary": "detailed"}, {"generate_summary": "concise"}])
async def test_a_summary_that_is_asked_for_is_the_visible_reasoning(
    tmp_path: Path, upstream: Upstream, asked: Json
) -> None:
    upstream.reply(thoughtful("First ", "this."), thoughtful())
    async with house(tmp_path, upstream) as served:
        events = await served.stream(model="m", input="Hi", reasoning=asked)
        kinds = [event["type"].removeprefix("response.") for event in events]
        assert kinds[2:9] == [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
        reasoning = events[-1]["response"]["output"][0]
        assert reasoning["summary"] == [{"type": "summary_text", "text": "First this."}]
        assert not reasoning.get("content")
        response_id = events[-1]["response"]["id"]
        await served.create(model="m", input="And?", previous_response_id=response_id)
        assert sent(upstream)[1]["reasoning_content"] == "First this."


async def test_without_a_summary_the_reasoning_itself_is_told(tmp_path: Path, upstream: Upstream) -> None:
    upstream.reply(thoughtful("First ", "this."))
    async with house(tmp_path, upstream) as served:
        events = await served.stream(model="m", input="Hi", reasoning={"effort": "low"})
        kinds = [event["type"].removeprefix("response.") for event in events]
        assert "reasoning_text.delta" in kinds
        assert not any("summary" in kind for kind in kinds)
        assert upstream.exchanges[-1].json["reasoning_effort"] == "low"


async def test_tags_in_an_answer_become_reasoning_where_the_endpoint_is_said_to_have_them(
    tmp_path: Path, upstream: Upstream
) -> None:
    pieces = ["<thi", "nk>First", " this.</", "think>", "\n\nHello"]
    reply = Reply([*(sse(chunk(content=piece)) for piece in pieces), sse(chunk(finish="stop")) + sse(usage()) + DONE])
    upstream.reply(reply, reply)
    async with house(tmp_path, upstream, dialect={"think_tags": True}) as served:
        response = await served.create(model="m", input="Hi")
        assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
        assert response["output"][0]["content"][0]["text"] == "First this."
        assert text_of(response) == "Hello"
    async with house(tmp_path, upstream) as served:
        assert text_of(await served.create(model="m", input="Hi")).startswith("<think>First")
