"""The contract of the store port, kept by every kind of store in `adapters/stores`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import structs

from antiphon.core.effects import Entry
from antiphon.ports.store import PageQuery, Store
from antiphon.wire.codec import Unknown
from antiphon.wire.errors import InvalidRequestError, StoreError
from antiphon.wire.items import FunctionCall, Message, Reasoning
from antiphon.wire.responses import IncompleteDetails, Response, ResponseError
from tests.contracts.turns import (
    DEFAULT,
    OTHER,
    answered,
    context,
    entries,
    ids,
    listed,
    said,
    save,
    searched,
    talk,
    turn,
)

# responses


async def test_an_open_store_passes_its_check(store: Store) -> None:
    await store.check()


async def test_a_response_is_read_back_equal(store: Store) -> None:
    finished = turn("a", made=[searched("a"), answered("a")])
    await save(store, finished)
    assert await store.response(DEFAULT, "resp_a") == finished.response


@pytest.mark.parametrize(
    "ending",
    [
        {"status": "failed", "error": ResponseError(code="server_error", message="It broke."), "usage": None},
        {"status": "incomplete", "incomplete_details": IncompleteDetails(reason="max_output_tokens")},
        {"status": "cancelled", "completed_at": None},
    ],
)
async def test_every_ending_is_read_back_equal(store: Store, ending: dict[str, Any]) -> None:
    finished = turn("a")
    finished = structs.replace(finished, response=structs.replace(finished.response, **ending))
    await save(store, finished)
    assert await store.response(DEFAULT, "resp_a") == finished.response
    assert await store.status(DEFAULT, "resp_a") == ending["status"]


async def test_a_response_may_be_without_items(store: Store) -> None:
    await save(store, turn("a", given=[], made=[]), turn("b", "a"))
    found = await store.response(DEFAULT, "resp_a")
    assert found is not None
    assert found.output == ()
    assert ids(await store.chain(DEFAULT, "resp_a")) == []
    assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_b_in", "msg_b_out"]


async def test_an_unknown_response_is_none(store: Store) -> None:
    assert await store.response(DEFAULT, "resp_x") is None
    assert await store.status(DEFAULT, "resp_x") is None
    assert await store.chain(DEFAULT, "resp_x") is None
    assert await store.input_items(DEFAULT, "resp_x", PageQuery()) is None
    assert await store.delete_response(DEFAULT, "resp_x") is False


async def test_the_same_response_is_not_stored_twice(store: Store) -> None:
    await save(store, turn("a"))
    with pytest.raises(StoreError):
        await save(store, turn("a", given=[said("never")]))
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_out"]
    assert await store.items(DEFAULT, ["msg_never"]) == {}


# chains


async def test_a_chain_holds_every_turn_in_order(store: Store) -> None:
    await save(store, turn("a"), turn("b", "a"), turn("c", "b"))
    found = await store.chain(DEFAULT, "resp_c")
    assert ids(found) == ["msg_a_in", "msg_a_out", "msg_b_in", "msg_b_out", "msg_c_in", "msg_c_out"]


async def test_a_chain_may_be_forked(store: Store) -> None:
    await save(store, turn("a"), turn("b", "a"), turn("c", "a"))
    assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_a_in", "msg_a_out", "msg_b_in", "msg_b_out"]
    assert ids(await store.chain(DEFAULT, "resp_c")) == ["msg_a_in", "msg_a_out", "msg_c_in", "msg_c_out"]


async def test_what_a_caller_does_with_a_chain_changes_nothing(store: Store) -> None:
    await save(store, turn("a"))
    found = await store.chain(DEFAULT, "resp_a")
    if isinstance(found, list):
        found.clear()
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_out"]


async def test_a_long_chain_is_whole(store: Store) -> None:
    count = 1200
    await save(store, *(turn(str(at), str(at - 1) if at else None) for at in range(count)))
    found = await store.chain(DEFAULT, f"resp_{count - 1}")
    assert ids(found) == [f"msg_{at}_{side}" for at in range(count) for side in ("in", "out")]


async def test_deleting_a_response_breaks_the_chains_to_it(store: Store) -> None:
    await save(store, turn("a"), turn("b", "a"), turn("c", "b"), turn("d"))
    assert await store.delete_response(DEFAULT, "resp_b") is True
    assert await store.delete_response(DEFAULT, "resp_b") is False
    assert await store.response(DEFAULT, "resp_b") is None
    assert await store.chain(DEFAULT, "resp_c") is None
    assert await store.input_items(DEFAULT, "resp_c", PageQuery()) is None
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_out"]
    assert ids(await store.chain(DEFAULT, "resp_d")) == ["msg_d_in", "msg_d_out"]
    assert await store.response(DEFAULT, "resp_c") is not None


async def test_a_new_response_does_not_mend_a_broken_chain(store: Store) -> None:
    await save(store, turn("a"), turn("b", "a"))
    await store.delete_response(DEFAULT, "resp_a")
    await save(store, turn("c"), turn("d", "c"))
    assert await store.chain(DEFAULT, "resp_b") is None


async def test_a_response_after_one_that_is_gone_has_no_chain(store: Store) -> None:
    await save(store, turn("b", "a"), turn("c", "b"))
    assert await store.chain(DEFAULT, "resp_b") is None
    assert await store.chain(DEFAULT, "resp_c") is None
    assert await store.response(DEFAULT, "resp_b") is not None


async def test_deleting_a_response_deletes_items_that_nothing_else_holds(store: Store) -> None:
    conversation = await talk(store, "a")
    await save(store, turn("a", conversation=conversation), turn("b"))
    await store.delete_response(DEFAULT, "resp_a")
    await store.delete_response(DEFAULT, "resp_b")
    assert await listed(store, conversation) == ["msg_a_in", "msg_a_out"]
    assert list(await store.items(DEFAULT, ["msg_a_in", "msg_b_in", "msg_b_out"])) == ["msg_a_in"]


async def test_input_items_are_the_chain_before_and_the_own_input(store: Store) -> None:
    await save(store, turn("a"), turn("b", "a", given=entries("b", 2)))
    first = await store.input_items(DEFAULT, "resp_b", PageQuery(limit=3, order="asc"))
    assert first is not None
    assert (ids(first.items), first.has_more) == (["msg_a_in", "msg_a_out", "msg_b_0"], True)
    rest = await store.input_items(DEFAULT, "resp_b", PageQuery(limit=3, order="asc", after="msg_b_0"))
    assert rest is not None
    assert (ids(rest.items), rest.has_more) == (["msg_b_1"], False)


# items


async def test_an_exchange_comes_back_with_its_item(store: Store) -> None:
    await save(store, turn("a", made=[searched("a"), answered("a")]))
    assert await context(store, "resp_a") == [*turn("a").input, searched("a"), answered("a")]
    assert await store.items(DEFAULT, ["ws_a"]) == {"ws_a": searched("a")}


async def test_an_entry_without_an_item_is_not_stored(store: Store) -> None:
    refused = Entry(None, searched("x").exchange)
    await save(store, turn("a", made=[refused, answered("a")]))
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a"]


async def test_all_kinds_of_items_are_read_back_equal(store: Store) -> None:
    strange = Unknown(
        {"type": "dream", "id": "dr_1", "status": "vivid", "depth": {"b": [1, None, 2.5], "a": "ü\u0000"}}
    )
    items = [
        Reasoning(id="rs_1"),
        FunctionCall(id="fc_1", call_id="call_1", name="f", arguments='{"a": 1}'),
        strange,
        said("1", 'Grüße, 你好 👋 \u0000 \\ "').item,
    ]
    await save(store, turn("a", given=[], made=[Entry(item) for item in items]))
    assert await store.response(DEFAULT, "resp_a") == turn("a", made=[Entry(item) for item in items]).response
    assert await context(store, "resp_a") == [Entry(item) for item in items]
    assert await store.items(DEFAULT, ["dr_1"]) == {"dr_1": Entry(strange)}


async def test_items_without_an_id_get_one(store: Store) -> None:
    conversation = await talk(store, "a")
    message = Message(role="user", content=())
    stored = await store.append_items(DEFAULT, conversation, [Entry(message), Entry(message)])
    assert stored is not None
    first, second = ids(stored)
    assert first != second
    assert await listed(store, conversation) == [first, second]


async def test_unknown_ids_are_absent_from_items(store: Store) -> None:
    await save(store, turn("a"))
    found = await store.items(DEFAULT, ["msg_a_in", "msg_nobody", "' OR 1=1 --", "\u0000"])
    assert list(found) == ["msg_a_in"]
    assert await store.items(DEFAULT, []) == {}


async def test_an_item_posted_again_is_referred_to_again(store: Store) -> None:
    await save(store, turn("a", made=[searched("a")]))
    shown = Entry(searched("a").item)
    await save(store, turn("b", given=[shown]))
    assert await context(store, "resp_b") == [searched("a"), *turn("b").output]
    await store.delete_response(DEFAULT, "resp_a")
    assert await context(store, "resp_b") == [searched("a"), *turn("b").output]


async def test_items_are_compared_as_json(store: Store) -> None:
    first, second = await talk(store, "a"), await talk(store, "b")
    one = Unknown({"type": "dream", "id": "dr_1", "a": 1, "b": {"c": 1, "d": 2}})
    other = Unknown({"id": "dr_1", "b": {"d": 2, "c": 1}, "a": 1, "type": "dream"})
    await store.append_items(DEFAULT, first, [Entry(one)])
    assert await store.append_items(DEFAULT, second, [Entry(other)]) == (one,)


async def test_another_item_under_a_known_id_gets_a_fresh_id(store: Store) -> None:
    first, second = await talk(store, "a", [said("1", "One.")]), await talk(store, "b")
    stored = await store.append_items(DEFAULT, second, [said("1", "Two."), said("2")])
    assert stored is not None
    fresh, kept = ids(stored)
    assert fresh != "msg_1"
    assert str(fresh).startswith("msg_")
    assert kept == "msg_2"
    assert structs.replace(stored[0], id="msg_1") == said("1", "Two.").item  # pyright: ignore[reportArgumentType]
    assert await listed(store, second) == [fresh, "msg_2"]
    assert await store.conversation_item(DEFAULT, first, "msg_1") == said("1", "One.").item
    await save(store, turn("a", given=[said("1", "Three.")]))
    assert (await store.chain(DEFAULT, "resp_a") or [])[0].item not in {said("1", "One.").item, said("1", "Two.").item}


async def test_an_id_stands_for_one_item_of_a_list(store: Store) -> None:
    conversation = await talk(store, "a", [said("1")])
    stored = await store.append_items(DEFAULT, conversation, [said("1"), said("2"), said("2")])
    found = await listed(store, conversation)
    assert len(set(found)) == 4
    assert found == ["msg_1", *ids(stored)]


# pages

NUMBERS = [f"msg_n_{place}" for place in range(5)]


@pytest.mark.parametrize(
    ("query", "expected", "has_more"),
    [
        (PageQuery(), NUMBERS[::-1], False),
        (PageQuery(limit=5), NUMBERS[::-1], False),
        (PageQuery(limit=2), ["msg_n_4", "msg_n_3"], True),
        (PageQuery(limit=2, after="msg_n_3"), ["msg_n_2", "msg_n_1"], True),
        (PageQuery(limit=3, after="msg_n_3"), ["msg_n_2", "msg_n_1", "msg_n_0"], False),
        (PageQuery(after="msg_n_0"), [], False),
        (PageQuery(limit=2, before="msg_n_1"), ["msg_n_3", "msg_n_2"], True),
        (PageQuery(before="msg_n_1"), ["msg_n_4", "msg_n_3", "msg_n_2"], False),
        (PageQuery(after="msg_n_4", before="msg_n_1"), ["msg_n_3", "msg_n_2"], False),
        (PageQuery(limit=1, after="msg_n_4", before="msg_n_1"), ["msg_n_3"], True),
        (PageQuery(order="asc"), NUMBERS, False),
        (PageQuery(limit=2, order="asc"), ["msg_n_0", "msg_n_1"], True),
        (PageQuery(limit=2, order="asc", after="msg_n_1"), ["msg_n_2", "msg_n_3"], True),
        (PageQuery(limit=3, order="asc", after="msg_n_1"), ["msg_n_2", "msg_n_3", "msg_n_4"], False),
        (PageQuery(limit=2, order="asc", before="msg_n_3"), ["msg_n_1", "msg_n_2"], True),
        (PageQuery(order="asc", before="msg_n_0"), [], False),
        (PageQuery(order="asc", after="msg_n_3", before="msg_n_1"), [], False),
    ],
)
async def test_a_page_lies_between_its_cursors(
    store: Store, query: PageQuery, expected: list[str], has_more: bool
) -> None:
    conversation = await talk(store, "a", entries("n", 5))
    await save(store, turn("a", given=entries("n", 2)), turn("b", "a", given=entries("n", 5)[2:]))
    page = await store.conversation_items(DEFAULT, conversation, query)
    assert page is not None
    assert (ids(page.items), page.has_more) == (expected, has_more)
    await save(store, turn("c", given=entries("n", 5)))
    page = await store.input_items(DEFAULT, "resp_c", query)
    assert page is not None
    assert (ids(page.items), page.has_more) == (expected, has_more)


@pytest.mark.parametrize("cursor", ["after", "before"])
async def test_an_unknown_cursor_is_refused(store: Store, cursor: str) -> None:
    conversation = await talk(store, "a", entries("n", 2))
    await talk(store, "b", [said("elsewhere")])
    await save(store, turn("a"))
    query = structs.replace(PageQuery(), **{cursor: "msg_elsewhere"})
    for listing in (
        store.conversation_items(DEFAULT, conversation, query),
        store.input_items(DEFAULT, "resp_a", query),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            await listing
        assert (refused.value.code, refused.value.param) == ("invalid_value", cursor)


# projects


async def test_a_project_sees_nothing_of_another(store: Store) -> None:
    conversation = await talk(store, "a", [said("1")])
    await save(store, turn("a"))
    await store.save_response(OTHER, turn("other"))
    asked: list[tuple[Callable[..., Awaitable[object]], tuple[object, ...], object]] = [
        (store.response, ("resp_a",), None),
        (store.status, ("resp_a",), None),
        (store.delete_response, ("resp_a",), False),
        (store.chain, ("resp_a",), None),
        (store.input_items, ("resp_a", PageQuery()), None),
        (store.items, (["msg_a_in", "msg_1"],), {}),
        (store.conversation, (conversation,), None),
        (store.update_conversation, (conversation, {"x": "y"}), None),
        (store.append_items, (conversation, [said("2")]), None),
        (store.conversation_items, (conversation, PageQuery()), None),
        (store.conversation_entries, (conversation,), None),
        (store.conversation_item, (conversation, "msg_1"), None),
        (store.delete_conversation_item, (conversation, "msg_1"), None),
        (store.lock_conversation, (conversation, "me", 2e9), None),
        (store.delete_conversation, (conversation,), False),
    ]
    for project in (OTHER, "a project that never wrote"):
        for method, arguments, nothing in asked:
            assert await method(project, *arguments) == nothing
    assert await listed(store, conversation) == ["msg_1"]
    assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_out"]


async def test_projects_may_use_the_same_ids(store: Store) -> None:
    for project, text in ((DEFAULT, "Mine."), (OTHER, "Yours.")):
        conversation = await talk(store, "a", [said("1", text)], project)
        await store.save_response(project, turn("a", given=[said("1", text)], conversation=conversation))
        await store.lock_conversation(project, conversation, project, 2e9)
    assert await store.items(DEFAULT, ["msg_1"]) == {"msg_1": said("1", "Mine.")}
    assert await store.items(OTHER, ["msg_1"]) == {"msg_1": said("1", "Yours.")}
    await store.delete_conversation(OTHER, "conv_a")
    await store.delete_response(OTHER, "resp_a")
    assert len(await listed(store, "conv_a")) == 3
    assert (await store.chain(DEFAULT, "resp_a") or [])[-1] == turn("a").output[0]


async def test_a_response_does_not_build_on_another_projects(store: Store) -> None:
    await save(store, turn("a"))
    await store.save_response(OTHER, turn("b", "a"))
    assert await store.chain(OTHER, "resp_b") is None
    page = await store.input_items(OTHER, "resp_b", PageQuery())
    assert page is None


# robustness


async def test_many_responses_are_saved_at_once(store: Store) -> None:
    await asyncio.gather(*(store.save_response(DEFAULT, turn(str(at))) for at in range(200)))
    found = await asyncio.gather(*(store.response(DEFAULT, f"resp_{at}") for at in range(200)))
    assert found == [turn(str(at)).response for at in range(200)]


async def test_one_refused_save_does_not_take_its_neighbours_down(store: Store) -> None:
    await save(store, turn("3"))
    results = await asyncio.gather(
        *(store.save_response(DEFAULT, turn(str(at), given=[said(f"new_{at}")])) for at in range(6)),
        return_exceptions=True,
    )
    assert [isinstance(result, StoreError) for result in results] == [at == 3 for at in range(6)]
    found: list[Response | None] = [await store.response(DEFAULT, f"resp_{at}") for at in range(6)]
    assert None not in found
    assert await store.items(DEFAULT, ["msg_new_3"]) == {}


async def test_a_caller_that_goes_away_harms_nobody(store: Store) -> None:
    tasks = [asyncio.create_task(store.save_response(DEFAULT, turn(str(at)))) for at in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
    for at in range(1, 20, 2):
        assert ids(await store.chain(DEFAULT, f"resp_{at}")) == [f"msg_{at}_in", f"msg_{at}_out"]


async def test_a_closed_store_refuses(store: Store) -> None:
    await save(store, turn("a"))
    await store.close()
    saving = store.save_response(DEFAULT, turn("b"))
    for asked in (store.check(), store.response(DEFAULT, "resp_a"), store.status(DEFAULT, "resp_a"), saving):
        with pytest.raises(StoreError) as refused:
            await asked
        assert refused.value.http_status == 503
    await store.close()
