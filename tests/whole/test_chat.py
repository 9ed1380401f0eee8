"""Stored chat completions, through the whole server and the official client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError, PermissionDeniedError
from openai import NotFoundError as OpenAINotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.schemas import validate
from tests.shared import SHARED
from tests.upstream import CUT, Reply, Upstream, chunk, refusal, running, speech, sse
from tests.whole.house import Whole, fast, whole

MESSAGE: Any = {"role": "user", "content": "Hi"}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-upstream",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "upstream-model",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    "system_fingerprint": None,
}


@asynccontextmanager
async def served(data: Path, **options: Any) -> AsyncGenerator[tuple[Whole, Upstream]]:
    """A server over one endpoint that answers `ANSWER`."""
    async with running() as upstream:
        upstream.default = refusal(200, ANSWER)
        async with whole(data, models=[fast(upstream, models=["m", "n"], **options)]) as house:
            yield house, upstream


async def create(
    client: AsyncOpenAI, *, model: str = "m", messages: Sequence[Any] = (MESSAGE,), **body: Any
) -> ChatCompletion:
    completions: Any = client.chat.completions
    made: object = await completions.create(model=model, messages=list(messages), store=True, **body)
    assert isinstance(made, ChatCompletion)
    return made


async def raw(house: Whole, path: str) -> dict[str, Any]:
    """A GET; its answer checked against OpenAI's document."""
    status, found = await house.ask("GET", path)
    assert status == 200, found
    schema = {"messages": "ChatCompletionMessageList", "completions": "ChatCompletionList"}
    if SHARED.is_dir():
        kind = schema.get(path.partition("?")[0].rpartition("/")[2], "CreateChatCompletionResponse")
        if kind != "ChatCompletionMessageList":  # there OpenAI's document knows messages of assistants only
            validate(kind, found)
    return found


async def test_a_stored_completion_can_be_retrieved_updated_and_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        completions = house.client.chat.completions
        made = await create(house.client, metadata={"a": "b"})
        assert made.id.startswith("chatcmpl-")
        assert made.id != ANSWER["id"]  # upstreams repeat their ids
        found = await completions.retrieve(made.id)
        assert found == made
        assert (await raw(house, f"/chat/completions/{made.id}"))["metadata"] == {"a": "b"}
        updated = await completions.update(made.id, metadata={"c": "d"})
        assert updated.to_dict()["metadata"] == {"c": "d"}
        assert (await completions.update(made.id, metadata=None)).to_dict()["metadata"] == {}
        deleted = await completions.delete(made.id)
        assert deleted.to_dict() == {"id": made.id, "object": "chat.completion.deleted", "deleted": True}
        if SHARED.is_dir():
            validate("ChatCompletionDeleted", deleted.to_dict())
        for ask in (completions.retrieve, completions.delete, completions.messages.list):
            with pytest.raises(OpenAINotFoundError, match=f"Chat completion with id '{made.id}' not found"):
                await ask(made.id)
        with pytest.raises(OpenAINotFoundError):
            await completions.update(made.id, metadata={})


@pytest.mark.parametrize("store", [False, None])
async def test_what_is_not_to_be_stored_is_not(tmp_path: Path, store: bool | None) -> None:
    async with served(tmp_path) as (house, _):
        completions = house.client.chat.completions
        made = await completions.create(model="m", messages=[MESSAGE], store=store)
        assert made.id == ANSWER["id"]
        with pytest.raises(OpenAINotFoundError):
            await completions.retrieve(made.id)
        assert [one async for one in completions.list()] == []


async def test_store_and_metadata_are_ours_unless_the_endpoint_is_to_have_them(tmp_path: Path) -> None:
    body: Any = {"seed": 3, "stop": ["x"], "logit_bias": {"5": 1}, "extra_body": {"vendor": None}}
    sent = {"model": "m", "messages": [MESSAGE], "seed": 3, "stop": ["x"], "logit_bias": {"5": 1}, "vendor": None}
    async with served(tmp_path / "one") as (house, upstream):
        await create(house.client, metadata={"a": "b"}, **body)
        assert upstream.exchanges[0].json == sent
        await house.client.chat.completions.create(model="m", messages=[MESSAGE], store=False, **body)
        assert upstream.exchanges[1].json == sent
    async with served(tmp_path / "two", pass_store=True) as (house, upstream):
        await create(house.client, metadata={"a": "b"}, **body)
        assert upstream.exchanges[0].json == {**sent, "store": True, "metadata": {"a": "b"}}


async def test_the_list_is_in_order_of_creation_and_paged(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        completions = house.client.chat.completions
        made = [(await create(house.client, metadata={"n": str(n % 2), "all": "x"})).id for n in range(5)]
        assert [one.id async for one in completions.list()] == made
        assert [one.id async for one in completions.list(limit=2)] == made
        assert [one.id async for one in completions.list(limit=2, order="desc")] == made[::-1]
        page = await raw(house, f"/chat/completions?limit=2&after={made[1]}")
        assert [page["first_id"], page["last_id"], page["has_more"]] == [made[2], made[3], True]
        odd = completions.list(metadata={"n": "1", "all": "x"}, limit=1)
        assert [one.id async for one in odd] == [made[1], made[3]]
        assert [one.id async for one in completions.list(metadata={"n": "2"})] == []
        with pytest.raises(BadRequestError) as caught:
            await completions.list(after="chatcmpl-unknown")
        assert (caught.value.param, caught.value.code) == ("after", "invalid_value")
        for query, param in (("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order")):
            status, answer = await house.ask("GET", f"/chat/completions?{query}")
            assert (status, answer["error"]["param"]) == (400, param)


async def test_the_list_can_be_of_one_model_by_any_of_its_names(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        completions = house.client.chat.completions
        one = await create(house.client, model="test/m")
        other = await create(house.client, model="n")
        for name in ("m", "test/m"):
            assert [found.id async for found in completions.list(model=name)] == [one.id]
        assert [found.id async for found in completions.list(model="n")] == [other.id]
        assert [found.id async for found in completions.list(model="unknown")] == []


async def test_an_empty_list_is_a_list(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        status, found = await house.ask("GET", "/chat/completions")
        assert (status, found["object"], found["data"], found["has_more"]) == (200, "list", [], False)


async def test_the_messages_of_the_request_are_listed(tmp_path: Path) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    ]
    call: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "system", "content": "Be brief.", "name": "boss"},
        {"role": "user", "content": parts},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
    ]
    async with served(tmp_path) as (house, _):
        made = await create(house.client, messages=messages)
        listing = house.client.chat.completions.messages.list
        listed = [one.to_dict() async for one in listing(made.id)]
        assert [one["id"] for one in listed] == [f"{made.id}-{place}" for place in range(4)]
        assert [one["role"] for one in listed] == ["system", "user", "assistant", "tool"]
        assert [one["content"] for one in listed] == ["Be brief.", None, None, "a cat"]
        assert [one["content_parts"] for one in listed] == [None, parts, None, None]
        assert listed[0]["name"] == "boss"
        assert listed[2]["tool_calls"] == [call]
        assert [one.id async for one in listing(made.id, limit=3)] == [one["id"] for one in listed]
        reverse = [one.id async for one in listing(made.id, limit=1, order="desc")]
        assert reverse == [one["id"] for one in listed[::-1]]
        page = await raw(house, f"/chat/completions/{made.id}/messages?limit=2")
        assert [page["first_id"], page["last_id"], page["has_more"]] == [f"{made.id}-0", f"{made.id}-1", True]
        with pytest.raises(BadRequestError) as caught:
            await listing(made.id, after="unknown")
        assert caught.value.param == "after"


@pytest.mark.parametrize("usage", [True, False])
async def test_a_stored_stream_is_put_together_with_its_usage(tmp_path: Path, usage: bool) -> None:
    async with served(tmp_path) as (house, upstream):
        upstream.default = speech("Hel", "lo.")
        options: Any = {"stream_options": {"include_usage": True}} if usage else {}
        stream = await house.client.chat.completions.create(
            model="m", messages=[MESSAGE], store=True, metadata={"a": "b"}, stream=True, **options
        )
        chunks: list[ChatCompletionChunk] = [one async for one in stream]
        (made,) = {one.id for one in chunks}
        assert made != chunk()["id"]
        assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello."
        assert [one.usage is not None for one in chunks if not one.choices] == ([True] if usage else [])
        assert all("usage" in one.to_dict() for one in chunks) is usage
        assert upstream.exchanges[0].json["stream_options"] == {"include_usage": True}
        found = await raw(house, f"/chat/completions/{made}")
        assert found["object"] == "chat.completion"
        assert found["choices"][0]["message"] == {"role": "assistant", "content": "Hello.", "refusal": None}
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["usage"]["total_tokens"] == 7
        assert found["metadata"] == {"a": "b"}
        assert [one.id async for one in house.client.chat.completions.list()] == [made]


@pytest.mark.parametrize(
    "end", [[CUT], [sse({"error": {"message": "It failed.", "code": 500}}), b"data: [DONE]\n\n"]], ids=["cut", "error"]
)
async def test_a_stream_that_fails_is_not_stored(tmp_path: Path, end: list[Any]) -> None:
    async with served(tmp_path) as (house, upstream):
        upstream.default = Reply([sse(chunk(content="Hel")), *end])
        with pytest.raises(APIError):
            _ = [
                part
                async for part in await house.client.chat.completions.create(
                    model="m", messages=[MESSAGE], store=True, stream=True
                )
            ]
        assert [one async for one in house.client.chat.completions.list()] == []


async def test_a_refusal_before_the_answer_is_an_http_error_and_stores_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, upstream):
        upstream.default = refusal(400, {"error": {"message": "No.", "param": "messages", "code": "bad"}})
        for stream in (False, True):
            with pytest.raises(BadRequestError, match=r"No\."):
                await house.client.chat.completions.create(model="m", messages=[MESSAGE], store=True, stream=stream)
        with pytest.raises(OpenAINotFoundError) as caught:
            await create(house.client, model="unknown")
        assert caught.value.code == "model_not_found"
        assert [one async for one in house.client.chat.completions.list()] == []


async def test_stored_completions_survive_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        made = await create(house.client, metadata={"a": "b"})
    async with served(tmp_path) as (house, _):
        assert await house.client.chat.completions.retrieve(made.id) == made
        listed = [one.to_dict() async for one in house.client.chat.completions.messages.list(made.id)]
        assert [(one["role"], one["content"]) for one in listed] == [("user", "Hi")]


async def test_completions_that_are_made_at_once_are_all_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        made = await asyncio.gather(*(create(house.client, metadata={"n": str(n)}) for n in range(20)))
        listed = [one.id async for one in house.client.chat.completions.list(limit=7)]
        assert sorted(listed) == sorted(one.id for one in made)


async def test_the_builtin_model_is_stored_as_well(tmp_path: Path) -> None:
    async with whole(tmp_path, discovery={"enabled": False, "builtin": True}) as house:
        made = await create(house.client, model="antiphon-extractive")
        assert await house.client.chat.completions.retrieve(made.id) == made
        stream = await house.client.chat.completions.create(
            model="antiphon-extractive", messages=[MESSAGE], store=True, stream=True
        )
        (streamed,) = {one.id async for one in stream}
        found = await raw(house, f"/chat/completions/{streamed}")
        assert found["choices"][0]["message"]["content"] == made.choices[0].message.content
        with pytest.raises(BadRequestError, match="does not serve completions"):
            await house.client.completions.create(model="antiphon-extractive", prompt="Hi")
        with pytest.raises(BadRequestError, match="does not serve embeddings"):
            await house.client.embeddings.create(model="antiphon-extractive", input="Hi")


async def test_the_older_completions_reach_their_endpoint(tmp_path: Path) -> None:
    piece = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "u"}
    first = {**piece, "choices": [{"index": 0, "text": "Hel", "logprobs": None, "finish_reason": None}]}
    last = {**piece, "choices": [{"index": 0, "text": "lo", "logprobs": None, "finish_reason": "stop"}]}
    async with served(tmp_path) as (house, upstream):
        upstream.reply(Reply([sse(first), sse(last)]), refusal(200, last))  # a stream without [DONE] is whole too
        stream = await house.client.completions.create(model="test/m", prompt="Hi", stream=True)
        assert "".join([part.choices[0].text async for part in stream]) == "Hello"
        assert (await house.client.completions.create(model="m", prompt=[1, 2])).choices[0].text == "lo"
        assert [one.path for one in upstream.exchanges] == ["/v1/completions"] * 2
        assert upstream.exchanges[0].json == {"model": "m", "prompt": "Hi", "stream": True}


async def test_models_cannot_be_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        with pytest.raises(PermissionDeniedError) as caught:
            await house.client.models.delete("m")
        assert (caught.value.param, caught.value.code) == ("model", "model_not_deletable")
        with pytest.raises(OpenAINotFoundError) as missing:
            await house.client.models.delete("unknown/model")
        assert missing.value.code == "model_not_found"
        assert "m" in [model.id async for model in house.client.models.list()]


async def test_a_stored_body_is_what_was_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, upstream):
        upstream.default = refusal(200, {**ANSWER, "vendor": {"x": [1, None]}})
        body = {"model": "m", "messages": [MESSAGE], "store": True}
        status, made = await house.ask("POST", "/chat/completions", body)
        assert status == 200
        assert made["vendor"] == {"x": [1, None]}
        assert json.dumps(await raw(house, f"/chat/completions/{made['id']}")) == json.dumps(made)
