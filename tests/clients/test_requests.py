"""Every request that was recorded of 25 real clients is served: legal streams, objects that fit OpenAI's document.

The ids in them are of a server that is gone. They stand for one conversation, one vector store and one response of
ours, which holds the tool calls that the request answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.grammar import check, parse_sse
from tests.schemas import validate
from tests.shared import SHARED, needs_shared
from tests.whole.house import CLIENT_EVENT, CLIENT_RESPONSE, Json, Whole, whole
from tests.whole.scripts import SAYS, scripted

pytestmark = needs_shared
REQUESTS = sorted((SHARED / "client_requests").glob("*.json"))

REFUSED = {
    "invalid_encrypted_content": (400, {"agents-fu.02", "codex-fu.02", "langchain-fu.02", "openresp-fu.02"}),
    # a reference to an item of a response that was never made here
    None: (404, {"aisdk-fu.02"}),
}
"""Code and status of what must be refused, and the requests: they carry what another server made."""


def refusal(name: str) -> tuple[int, str | None] | None:
    """How the request of this name is refused, None when it is served."""
    return next(((status, code) for code, (status, names) in REFUSED.items() if name in names), None)


def items(body: Json) -> Iterator[Json]:
    found = body.get("input") if "input" in body else body.get("items")
    for item in cast("list[Any]", found) if isinstance(found, list) else ():
        if isinstance(item, dict):
            yield cast("Json", item)


def pending(body: Json) -> list[str]:
    """The ids of calls that the request answers and does not have itself."""
    calls = {item["call_id"] for item in items(body) if str(item.get("type")).endswith("_call") and "call_id" in item}
    answered = [item["call_id"] for item in items(body) if str(item.get("type")).endswith("_call_output")]
    return [call_id for call_id in answered if call_id not in calls]


def scene(body: Json) -> Json:
    """Settings: a model that first makes the calls which the request answers, then says something."""
    name = next((tool["name"] for tool in body.get("tools") or () if "name" in tool), "f")
    calls = [{"name": name, "arguments": "{}", "id": call_id} for call_id in pending(body)]
    opening = [{"acts": [{"act": "calls", "calls": calls}]}] if calls and body.get("previous_response_id") else []
    settings: Json = scripted(*opening, SAYS)
    settings["models"][0]["models"] = model_names()
    return settings


async def prepared(served: Whole, request: Json) -> tuple[str, Json]:
    """The path and body of the request with ids of ours."""
    body: Json = request["body"] or {}
    path = request["path"]
    if "conv_1" in json.dumps([path, body]):
        calls = [{"type": "function_call", "name": "f", "arguments": "{}", "call_id": one} for one in pending(body)]
        status, conversation = await served.ask(
            "POST", "/conversations", {"items": [{"role": "user", "content": "Hi"}, *calls]}
        )
        assert status == 200, conversation
        path = path.replace("conv_1", conversation["id"])
        body = json.loads(json.dumps(body).replace("conv_1", conversation["id"]))
    for tool in body.get("tools") or ():
        if tool.get("type") == "file_search":
            _, store = await served.ask("POST", "/vector_stores", {})
            tool["vector_store_ids"] = [store["id"]]
    if body.get("previous_response_id"):
        tools = body.get("tools") or ()
        previous = await served.create(model=body["model"], input="Hi", tools=[t for t in tools if "name" in t])
        body["previous_response_id"] = previous["id"]
    return path, body


def model_names() -> list[str]:
    bodies: list[Json] = [json.loads(path.read_bytes())["body"] or {} for path in REQUESTS]
    return sorted({body["model"] for body in bodies if "model" in body})


def judge(path: str, kind: str, received: bytes) -> None:
    """Assert that an answer of 200 is what OpenAI's document and the official client call one."""
    if kind.startswith("text/event-stream"):
        events = parse_sse(received)
        check(events)
        for event in events:
            validate("ResponseStreamEvent", event)
            if not event["type"].endswith("output_item.added"):
                CLIENT_EVENT.validate_python(event)
        assert events[-1]["type"] == "response.completed"
        return
    found = json.loads(received)
    if path.endswith("/responses"):
        validate("Response", found)
        CLIENT_RESPONSE.validate_python(found)
        assert found["status"] == "completed"
    elif "/items" in path:
        validate("ConversationItemList", found)
    else:
        validate("ConversationResource", found)


@pytest.mark.parametrize("path", [p for p in REQUESTS if "ws.ws" not in p.name], ids=lambda path: path.stem)
async def test_a_request_of_a_real_client(tmp_path: Path, path: Path) -> None:
    request: Json = json.loads(path.read_bytes())
    async with whole(tmp_path, **scene(request["body"] or {})) as served:
        target, body = await prepared(served, request)
        headers = {name: value for name, value in request["headers"].items() if name != "content-type"}
        sent = None if request["method"] == "GET" else body
        async with served.raw.request(request["method"], served.url + target, json=sent, headers=headers) as answer:
            received = await answer.read()
        if (refused := refusal(path.stem)) is not None:
            assert (answer.status, json.loads(received)["error"]["code"]) == refused
            return
        assert answer.status == 200, received
        judge(target.partition("?")[0], answer.headers["content-type"], received)
