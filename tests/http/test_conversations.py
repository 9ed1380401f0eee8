"""`/v1/conversations` and their items, through the official client."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError
from openai import NotFoundError as OpenAINotFoundError

from tests.http.server import Server, serving


def user(text: str, **fields: str) -> Any:
    return {"type": "message", "role": "user", "content": text, **fields}


async def texts(server: Server, conversation_id: str, query: str = "order=asc") -> list[str]:
    answer = await server.ask("GET", f"/v1/conversations/{conversation_id}/items?{query}")
    assert answer.status == 200, answer.body
    return [item["content"][0]["text"] for item in answer.json["data"]]


async def test_a_conversation_lives_from_create_to_delete() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create(metadata={"topic": "a"}, items=[user("one")])
        assert made.id.startswith("conv_")
        assert made.object == "conversation"
        assert isinstance(made.created_at, int)
        assert (await client.conversations.retrieve(made.id)).metadata == {"topic": "a"}
        updated = await client.conversations.update(made.id, metadata={"topic": "b", "n": "1"})
        assert updated.metadata == {"topic": "b", "n": "1"}
        assert await client.conversations.retrieve(made.id) == updated
        deleted = await client.conversations.delete(made.id)
        assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "conversation.deleted", True)
        with pytest.raises(OpenAINotFoundError, match=f"Conversation with id '{made.id}' not found"):
            await client.conversations.retrieve(made.id)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"items": [], "metadata": null}', b'{"items": null}'])
async def test_a_conversation_may_begin_empty(body: bytes) -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/conversations", body)
        assert answer.status == 200
        assert answer.json["metadata"] == {}
        listed = await server.ask("GET", f"/v1/conversations/{answer.json['id']}/items")
        assert listed.json == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_items_are_given_back_with_ids_in_order() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create()
        added = await client.conversations.items.create(
            made.id,
            items=[
                user("one"),
                {"type": "message", "role": "assistant", "content": "two"},
                {"type": "function_call_output", "call_id": "call_1", "output": "three"},
            ],
        )
        assert [item.type for item in added.data] == ["message", "message", "function_call_output"]
        assert [str(item.id)[:4] for item in added.data] == ["msg_", "msg_", "fc_0"]
        assert (added.first_id, added.last_id, added.has_more) == (added.data[0].id, added.data[2].id, False)
        raw = (await server.ask("GET", f"/v1/conversations/{made.id}/items?order=asc")).json["data"]
        assert raw[0] == {
            "type": "message",
            "id": added.data[0].id,
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": "one"}],
        }
        assert raw[1]["content"] == [{"type": "output_text", "text": "two", "annotations": [], "logprobs": []}]


async def test_items_are_listed_in_pages_either_way() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create(items=[user(str(number)) for number in range(7)])
        assert await texts(server, made.id) == list("0123456")
        assert await texts(server, made.id, "") == list("6543210")
        for order, expected in (("asc", "0123456"), ("desc", "6543210")):
            pages = client.conversations.items.list(made.id, limit=3, order=order)  # pyright: ignore[reportArgumentType] (a literal of the two)
            found: list[Any] = [item async for item in pages]
            assert "".join(item.content[0].text for item in found) == expected
        first = (await server.ask("GET", f"/v1/conversations/{made.id}/items?order=asc&limit=2")).json
        assert first["has_more"]
        assert await texts(server, made.id, f"order=asc&limit=2&after={first['last_id']}") == ["2", "3"]


async def test_an_unknown_cursor_is_400() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create(items=[user("one")])
        for query, param in (("after=msg_none", "after"), ("limit=0", "limit"), ("include[]=all", "include[0]")):
            answer = await server.ask("GET", f"/v1/conversations/{made.id}/items?{query}")
            assert answer.status == 400
            assert answer.error["param"] == param


async def test_one_item_is_retrieved_and_deleted() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create(items=[user("one"), user("two")])
        first = (await client.conversations.items.list(made.id, order="asc")).data[0]
        item_id = str(first.id)
        assert await client.conversations.items.retrieve(item_id, conversation_id=made.id) == first
        left = await client.conversations.items.delete(item_id, conversation_id=made.id)
        assert left == made
        assert await texts(server, made.id) == ["two"]
        for call in (client.conversations.items.retrieve, client.conversations.items.delete):
            with pytest.raises(OpenAINotFoundError, match=f"Item with id '{item_id}' not found"):
                await call(item_id, conversation_id=made.id)


async def test_equal_messages_are_two_messages() -> None:
    async with serving() as server, server.client() as client:
        made = await client.conversations.create(items=[user("same"), user("same")])
        await client.conversations.items.create(made.id, items=[user("same")])
        assert await texts(server, made.id) == ["same"] * 3


async def test_a_reference_brings_the_item_it_names() -> None:
    async with serving() as server, server.client() as client:
        old = await client.conversations.create(items=[user("one")])
        item_id = str((await client.conversations.items.list(old.id)).data[0].id)
        reference: Any = {"type": "item_reference", "id": item_id}
        made = await client.conversations.create(items=[user("zero"), reference])
        assert await texts(server, made.id) == ["zero", "one"]
        assert await texts(server, old.id) == ["one"]
        unknown: Any = {"type": "item_reference", "id": "msg_none"}
        with pytest.raises(OpenAINotFoundError, match="Item with id 'msg_none' not found"):
            await client.conversations.items.create(made.id, items=[unknown])
        assert await texts(server, made.id) == ["zero", "one"]


async def test_an_item_with_a_known_id_does_not_move() -> None:
    async with serving() as server, server.client() as client:
        first = await client.conversations.create(items=[user("one", id="msg_mine")])
        second = await client.conversations.create(items=[user("one", id="msg_mine")])
        third = await client.conversations.create(items=[user("other", id="msg_mine")])
        assert await texts(server, first.id) == await texts(server, second.id) == ["one"]
        assert await texts(server, third.id) == ["other"]


async def test_an_unknown_conversation_is_404_everywhere() -> None:
    async with serving() as server:
        base = "/v1/conversations/conv_none"
        asks: list[tuple[str, str, object]] = [
            ("GET", base, None),
            ("POST", base, {"metadata": {}}),
            ("DELETE", base, None),
            ("GET", f"{base}/items", None),
            ("POST", f"{base}/items", {"items": [user("x")]}),
            ("GET", f"{base}/items/msg_1", None),
            ("DELETE", f"{base}/items/msg_1", None),
        ]
        for method, path, body in asks:
            answer = await server.ask(method, path, body)
            assert answer.status == 404, (method, path)
            assert answer.error["message"] == "Conversation with id 'conv_none' not found."


async def test_an_id_of_another_kind_is_400_before_existence_is_asked() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(BadRequestError, match="Expected an ID that begins with 'conv_'") as caught:
            await client.conversations.retrieve("resp_1")
        assert caught.value.param == "conversation_id"
        for method, path in (("DELETE", ""), ("GET", "/items"), ("GET", "/items/msg_1"), ("DELETE", "/items/msg_1")):
            assert (await server.ask(method, f"/v1/conversations/x{path}")).status == 400


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"items": [user("x")] * 21}, "array_above_max_length", "items"),
        ({"items": []}, "empty_array", "items"),
        ({}, "missing_required_parameter", "items"),
        ({"items": "x"}, "invalid_type", "items"),
        ({"items": [{"type": "message", "role": "user"}]}, "missing_required_parameter", "items[0].content"),
        ({"items": [user("x")], "other": 1}, "unknown_parameter", "other"),
    ],
)
async def test_items_that_are_wrong_are_400(body: object, code: str, param: str) -> None:
    async with serving() as server:
        made = (await server.ask("POST", "/v1/conversations", {})).json
        answer = await server.ask("POST", f"/v1/conversations/{made['id']}/items", body)
        assert answer.status == 400
        assert (answer.error["code"], answer.error["param"]) == (code, param)


async def test_a_compaction_trigger_is_not_stored() -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/conversations", {"items": [{"type": "compaction_trigger"}]})
        assert answer.status == 400
