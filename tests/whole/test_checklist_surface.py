"""Lines of the wire checklist that no other test holds: what a client sees of the whole server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.upstream import DONE, Reply, Upstream, chunk, refusal, speech, sse, usage
from tests.whole.house import Json, Whole, fast, text_of, whole

F: Json = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
SCHEMA: Json = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT: Json = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
CLIENT = {
    "authorization": "Bearer anything",
    "openai-organization": "org-1",
    "openai-project": "proj_1",
    "openai-beta": "assistants=v2",
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "0",
    "x-stainless-poll-helper": "true",
    "x-client-request-id": "mine",
}
KEYS = """
id object created_at status background completed_at error frequency_penalty incomplete_details instructions
max_output_tokens max_tool_calls model moderation output parallel_tool_calls presence_penalty previous_response_id
prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier store temperature text tool_choice
tools top_logprobs top_p truncation usage user metadata
""".split()


def messages(upstream: Upstream, place: int = -1) -> list[Json]:
    """What the endpoint was told."""
    return upstream.exchanges[place].json["messages"]


def said(text: str) -> Json:
    return {"role": "user", "content": text}


async def created(served: Whole, upstream: Upstream, **body: Any) -> Json:
    upstream.reply(speech("Hello"))
    return await served.create(**{"model": "m", "input": "Hi", **body})


async def test_headers_of_the_official_clients_change_nothing(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hello"))
        url = f"{served.url}/v1/responses?beta=true"
        async with served.raw.post(url, json={"model": "m", "input": "Hi"}, headers=CLIENT) as answer:
            assert answer.status == 200
            assert text_of(await answer.json()) == "Hello"
        sent = upstream.exchanges[0].headers
        assert not [name for name in sent if name.startswith(("openai-", "x-stainless-", "x-client-"))]


async def test_null_is_absent(tmp_path: Path, upstream: Upstream) -> None:
    names = (
        "instructions include tools tool_choice metadata temperature top_p top_logprobs max_output_tokens store stream "
        "background max_tool_calls parallel_tool_calls previous_response_id conversation reasoning text truncation "
        "service_tier safety_identifier prompt_cache_key prompt user stream_options context_management"
    )
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        plain = await created(served, upstream)
        nulls = await created(served, upstream, **dict.fromkeys(names.split()))
        empty: Json = {"include": [], "text": {}, "metadata": {}, "reasoning": {}, "tools": []}
        empties = await created(served, upstream, **empty)
        for other in (nulls, empties):
            differing = {name for name in KEYS if other[name] != plain[name]}
            assert differing <= {"id", "created_at", "completed_at", "output"}
        assert upstream.exchanges[0].json == upstream.exchanges[1].json == upstream.exchanges[2].json


async def test_a_response_has_the_recorded_keys_and_whole_seconds(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        response = await created(served, upstream)
        assert list(response) == KEYS
        assert type(response["created_at"]) is type(response["completed_at"]) is int
        assert response["metadata"] == {}


async def test_what_was_asked_for_is_echoed(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
            response = await created(served, upstream, reasoning={"effort": effort})
            assert response["reasoning"] == {"effort": effort, "summary": None}
            assert upstream.exchanges[-1].json["reasoning_effort"] == effort
        asked: Json = {
            "text": {"format": {**FORMAT, "description": "Where"}, "verbosity": "low"},
            "safety_identifier": "someone",
            "prompt_cache_key": "key",
            "user": "ada",
            "metadata": {"a": "b"},
            "truncation": "auto",
        }
        response = await created(served, upstream, service_tier="fast", **asked)
        assert {name: response[name] for name in asked} == asked
        assert response["service_tier"] == "priority"
        assert (await created(served, upstream))["service_tier"] == "default"


async def test_a_schema_of_its_own_dialect_beside_a_choice_of_tools(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for choice in ("auto", "none", "required"):
            await created(served, upstream, text={"format": FORMAT}, tools=[F], tool_choice=choice)
            body = upstream.exchanges[-1].json
            assert body["response_format"]["json_schema"]["schema"] == SCHEMA
            assert body.get("tool_choice", "auto") == choice


HOSTED: list[Json] = [
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation"},
    {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example"},
    {"type": "programmatic_tool_calling"},
]


@pytest.mark.parametrize("tool", HOSTED, ids=lambda tool: str(tool["type"]))
async def test_a_hosted_tool_that_is_not_served_is_never_forced(tool: Json, tmp_path: Path, upstream: Upstream) -> None:
    named = {name: tool[name] for name in ("type", "server_label") if name in tool}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for choice in (named, allowed, "required"):
            body = {"model": "m", "input": "Hi", "tools": [tool], "tool_choice": choice}
            assert (await served.ask("POST", "/responses", body))[0] == 400
        assert upstream.exchanges == []
        response = await created(served, upstream, tools=[tool, F])
        assert [one["type"] for one in response["tools"]] == [tool["type"], "function"]
        assert [one["function"]["name"] for one in upstream.exchanges[0].json["tools"]] == ["f"]


async def test_moderation_is_refused_by_name(tmp_path: Path) -> None:
    async with whole(tmp_path) as served:
        body = {"model": "m", "input": "Hi", "moderation": {"model": "omni-moderation-latest"}}
        status, answer = await served.ask("POST", "/responses", body)
        error = answer["error"]
        assert (status, error["code"], error["param"]) == (400, "unsupported_parameter", "moderation")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"max_output_tokens": 1}, "integer_below_min_value"),
        ({"max_output_tokens": -5}, "integer_below_min_value"),
        ({"previous_response_id": "resp_unknown"}, "previous_response_not_found"),
        ({"model": "unknown"}, "model_not_found"),
        ({"tool_choice": "required"}, "invalid_value"),
    ],
)
async def test_wrong_requests_are_never_200(fields: Json, code: str, tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for stream in (False, True):
            body = {"model": "m", "input": "Hi", "stream": stream, **fields}
            status, answer = await served.ask("POST", "/responses", body)
            assert (status, answer["error"]["code"]) == (400, code)
        assert upstream.exchanges == []


async def test_a_connection_serves_on_after_errors(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream, retries={"count": 0})]) as served:
        for reply in (refusal(400, {"error": {"message": "no"}}), refusal(500, {}), speech("Hello")):
            upstream.reply(reply)
            async with served.raw.post(f"{served.url}/v1/responses", json={"model": "m", "input": "Hi"}) as answer:
                assert "connection" not in answer.headers
                found = await answer.json()
        assert text_of(found) == "Hello"


# references, chains, conversations


async def test_a_reference_to_nothing_is_404(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        for reference in ({"type": "item_reference", "id": "msg_unknown"}, {"id": "msg_unknown"}):
            status, answer = await served.ask("POST", "/responses", {"model": "m", "input": [reference]})
            assert (status, answer["error"]["param"]) == (404, "input")
            assert "'msg_unknown' not found" in answer["error"]["message"]


async def test_the_input_of_a_chain_is_listed_with_ids_and_statuses(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        first = await created(served, upstream, input="One")
        second = await created(served, upstream, input=[said("Two")], previous_response_id=first["id"])
        _, page = await served.ask("GET", f"/responses/{second['id']}/input_items")
        texts = [item["content"][0]["text"] for item in page["data"]]
        assert texts == ["Two", "Hello", "One"]
        assert [item["content"][0]["type"] for item in page["data"]] == ["input_text", "output_text", "input_text"]
        assert all(item["id"].startswith("msg_") and item["status"] == "completed" for item in page["data"])


async def test_a_stored_response_remembers_what_it_continues(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        first = await created(served, upstream)
        second = await created(served, upstream, previous_response_id=first["id"])
        stored = (await served.ask("GET", f"/responses/{second['id']}"))[1]
        assert stored["previous_response_id"] == first["id"]
        assert stored == second


async def test_the_official_client_pages_to_the_end(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        given: Any = [said(str(place)) for place in range(7)]
        response = await created(served, upstream, input=given)
        items = served.client.responses.input_items.list(response["id"], limit=2, order="asc")
        texts = [item.model_dump()["content"][0]["text"] async for item in items]
        assert texts == [str(place) for place in range(7)]
        conversation = await served.client.conversations.create(items=given)
        listed = served.client.conversations.items.list(conversation.id, limit=3)
        assert [item.model_dump()["content"][0]["text"] async for item in listed] == texts[::-1]


async def test_a_conversation_outlives_its_responses(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        _, conversation = await served.ask("POST", "/conversations", {})
        response = await created(served, upstream, conversation=conversation["id"])
        status, gone = await served.ask("DELETE", f"/responses/{response['id']}")
        assert (status, gone) == (200, {"id": response["id"], "object": "response", "deleted": True})
        assert (await served.ask("GET", f"/responses/{response['id']}"))[0] == 404
        assert (await served.ask("DELETE", f"/responses/{response['id']}"))[0] == 404
        _, page = await served.ask("GET", f"/conversations/{conversation['id']}/items")
        assert [item["role"] for item in page["data"]] == ["assistant", "user"]


async def test_the_next_turn_sees_what_was_added_and_not_what_was_deleted(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        _, conversation = await served.ask("POST", "/conversations", {"items": [said("One"), said("Two")]})
        path = f"/conversations/{conversation['id']}/items"
        _, page = await served.ask("GET", f"{path}?order=asc")
        assert (await served.ask("DELETE", f"{path}/{page['data'][0]['id']}"))[1] == conversation
        added = {"items": [{"role": "assistant", "content": "Three"}]}
        assert (await served.ask("POST", path, added))[0] == 200
        await created(served, upstream, input="Four", conversation={"id": conversation["id"]})
        assert [one["content"] for one in messages(upstream)] == ["Two", "Three", "Four"]


# what the endpoint is told, and what it counts


async def test_items_of_tools_that_are_not_served_are_accepted(tmp_path: Path, upstream: Upstream) -> None:
    items: list[Json] = [
        said("Draw and count."),
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "1 + 1"}
        | {"outputs": [{"type": "logs", "logs": "2"}], "status": "completed"},
        {"type": "image_generation_call", "id": "ig_1", "result": "aGk=", "status": "completed"},
        {"type": "file_search_call", "id": "fs_1", "queries": ["cats"], "results": None, "status": "completed"},
        said("And now?"),
    ]
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        response = await created(served, upstream, input=items)
        told = json.dumps(messages(upstream))
        assert all(word in told for word in ("1 + 1", "cats", "And now?"))
        _, page = await served.ask("GET", f"/responses/{response['id']}/input_items?order=asc")
        assert [item["type"] for item in page["data"]] == [item.get("type", "message") for item in items]
        again = await created(served, upstream, input="Go on", previous_response_id=response["id"])
        assert again["status"] == "completed"


async def test_every_part_reaches_the_endpoint(tmp_path: Path, upstream: Upstream) -> None:
    content: list[Json] = [
        {"type": "input_text", "text": "Look."},
        {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "original"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
        {"type": "input_file", "filename": "a.md", "file_data": "aGk="},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]
    async with whole(tmp_path, models=[fast(upstream, dialect={"files": "native"})]) as served:
        await created(served, upstream, input=[{"role": "user", "content": content}])
        assert messages(upstream)[0]["content"] == [
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "high"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
            {"type": "text", "text": "File a.md:\nhi"},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        ]
        for part in ({"type": "input_image", "file_id": "file-1"}, {"type": "input_file", "file_id": "file-1"}):
            body = {"model": "m", "input": [{"role": "user", "content": [part]}]}
            status, answer = await served.ask("POST", "/responses", body)
            assert (status, answer["error"]["param"]) == (404, "input[0].content[0].file_id")


async def test_usage_is_the_sum_of_all_rounds(tmp_path: Path, upstream: Upstream) -> None:
    searching = {"index": 0, "id": "call_1", "function": {"name": "web_search", "arguments": '{"query": "cats"}'}}
    counts = sse(usage(7, 3))
    called = Reply([sse(chunk(tool_calls=[searching])), sse(chunk(finish="tool_calls")), counts, DONE])
    search = {"kind": "tavily", "url": "http://127.0.0.1:9", "key": "k"}
    async with whole(tmp_path, models=[fast(upstream)], web_search=search) as served:
        upstream.reply(called)
        response = await created(served, upstream, tools=[{"type": "web_search"}])
        assert len(upstream.exchanges) == 2
        assert response["usage"] == {
            "input_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 17,
        }


ENDS = {
    "completed": ("stop", "eos", "end_turn", "STOP", "tool_calls", "a word of its own"),
    "incomplete": ("length", "max_tokens", "content_filter"),
    "failed": ("error", "abort"),
}


@pytest.mark.parametrize(("status", "word"), [(status, word) for status, words in ENDS.items() for word in words])
async def test_every_finish_word_has_an_end(status: str, word: str, tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.reply(speech("Hello", finish=word))
        events = await served.stream(model="m", input="Hi")
        response = events[-1]["response"]
        assert response["status"] == status
        assert text_of(response) == "Hello"
        assert (response["completed_at"] is not None) is (status == "completed")
        reason = "content_filter" if word == "content_filter" else "max_output_tokens"
        assert response["incomplete_details"] == ({"reason": reason} if status == "incomplete" else None)


async def test_stored_completions_are_found_by_their_metadata(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        upstream.default = Reply([json.dumps(COMPLETION).encode()], type="application/json")
        completions = served.client.chat.completions
        for value in ("a", "b"):
            await completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], store=True)
            made = await completions.create(
                model="m",
                messages=[{"role": "user", "content": "Hi"}],
                store=True,
                metadata={"k": value, "other": "x"},
            )
        assert [one.id async for one in completions.list(metadata={"k": "b"})] == [made.id]
        assert len([one.id async for one in completions.list(metadata={"other": "x"})]) == 2
        assert [one.id async for one in completions.list(metadata={"k": "c"})] == []


COMPLETION: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
