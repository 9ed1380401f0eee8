"""file_search through the whole server, with a model that cites as a test tells it (tests/citing.py)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from tests.citing import Citing
from tests.whole.house import Json, text_of
from tests.whole.library import Library, library
from tests.whole.test_recorded_file_search import REPORTS, clean, reports

ENDPOINT: Json = {"name": "test", "kind": "tests.citing"}
US, TECH, EU, ASIA = (name for name, _, _ in REPORTS)
SEARCH = ({"query": "campaigns updates results figures"},)


class Desk:
    """A server whose store holds the reports."""

    def __init__(self, shelf: Library, store: str, ids: Json) -> None:
        self.shelf = shelf
        self.client = shelf.client
        self.store = store
        self.ids = ids

    @property
    def model(self) -> Citing:
        found = self.shelf.served.composition.catalog.endpoints["test"]
        assert isinstance(found, Citing)
        return found

    def wish(self, say: str, *, search: Sequence[Json] = SEARCH, size: int = 1_000_000, **fields: Any) -> Json:
        """A request for this answer; `tool` are further fields of the tool."""
        tool = {"type": "file_search", "vector_store_ids": [self.store], **fields.pop("tool", {})}
        asked = json.dumps({"say": say, "search": search, "size": size})
        return {"model": "m", "input": asked, "tools": [tool], **fields}

    async def ask(self, say: str, **fields: Any) -> Json:
        return await self.shelf.served.create(**self.wish(say, **fields))

    async def stream(self, say: str, **fields: Any) -> list[Json]:
        return await self.shelf.served.stream(**self.wish(say, **fields))

    def told(self) -> str:
        """What the model was told of the last search."""
        exchange = self.model.asked[-1].context[-1].exchange
        assert exchange is not None
        return exchange.output


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with library(tmp_path, models=[ENDPOINT]) as shelf:
        store = await reports(shelf)
        yield Desk(shelf, store, {file.filename: file.id async for file in shelf.client.files.list()})


def part_of(response: Json) -> Json:
    (part,) = response["output"][-1]["content"]
    return part


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
async def test_citations_resolve_in_the_stream_and_in_the_final_object(desk: Desk, size: int) -> None:
    say = f"Sales rose {{{US}}}. Growth too {{{EU}}}{{{ASIA}}}, and {{{US}}} <|file-none|> again {{nobody.txt}}."
    events = await desk.stream(say, size=size)
    response = events[-1]["response"]
    part = part_of(response)
    assert part["text"] == "Sales rose. Growth too, and again."
    places = [(one["file_id"], one["filename"], one["index"]) for one in part["annotations"]]
    assert places == [
        (desk.ids[US], US, 10),
        (desk.ids[EU], EU, 22),
        (desk.ids[ASIA], ASIA, 22),
        (desk.ids[US], US, 27),
    ]
    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [event["annotation"] for event in added] == part["annotations"]
    assert [event["annotation_index"] for event in added] == [0, 1, 2, 3]
    assert "".join(e["delta"] for e in events if e["type"].endswith("output_text.delta")) == part["text"]
    clean([event for event in events if event["type"] != "response.created"][3:-1], part)
    for one in part["annotations"]:
        assert (await desk.client.files.retrieve(one["file_id"])).filename == one["filename"]
        assert (await desk.client.files.content(one["file_id"])).text
    stored = await desk.client.responses.retrieve(response["id"])
    assert json.loads(stored.output[-1].model_dump_json())["content"][0]["annotations"] == part["annotations"]


async def test_results_are_shown_only_where_they_are_included(desk: Desk) -> None:
    response = await desk.ask("Yes.")
    call = response["output"][0]
    assert (call["queries"], call["results"], call["status"]) == ([SEARCH[0]["query"]], None, "completed")
    got = await desk.client.responses.retrieve(response["id"], include=["file_search_call.results"])
    results = json.loads(got.output[0].model_dump_json())["results"]
    assert {result["file_id"] for result in results} == set(desk.ids.values())
    one = next(result for result in results if result["filename"] == US)
    assert (one["text"], one["attributes"]) == (REPORTS[0][1], REPORTS[0][2])
    assert one["vector_store_id"] == desk.store


FILTERED: list[tuple[Json, set[str]]] = [
    ({"type": "eq", "key": "region", "value": "us"}, {US, TECH}),
    ({"type": "eq", "key": "category", "value": "marketing"}, {US, EU}),
    (
        {
            "type": "and",
            "filters": [
                {"type": "gte", "key": "date", "value": 1672531200},
                {"type": "lt", "key": "date", "value": 1680307200},
            ],
        },
        {US, EU},
    ),
    (
        {
            "type": "or",
            "filters": [
                {"type": "eq", "key": "category", "value": "sales"},
                {
                    "type": "and",
                    "filters": [
                        {"type": "eq", "key": "region", "value": "us"},
                        {"type": "ne", "key": "category", "value": "marketing"},
                    ],
                },
            ],
        },
        {ASIA, TECH},
    ),
    ({"type": "in", "key": "region", "value": ["asia", "eu"]}, {ASIA, EU}),
    ({"type": "eq", "key": "absent", "value": 1}, set()),
]


@pytest.mark.parametrize(("filters", "names"), FILTERED)
async def test_filters_decide_what_the_model_sees(desk: Desk, filters: Json, names: set[str]) -> None:
    response = await desk.ask("Yes.", tool={"filters": filters}, include=["file_search_call.results"])
    assert {result["filename"] for result in response["output"][0]["results"]} == names
    assert all((name in desk.told()) == (name in names) for name in desk.ids)
    if not names:
        assert "Nothing was found" in desk.told()


async def test_the_model_is_given_attributes_and_as_many_passages_as_the_tool_says(desk: Desk) -> None:
    await desk.ask("Yes.", tool={"max_num_results": 2})
    assert desk.told().count("cite as") == 2
    assert '"region":' in desk.told()


async def test_several_queries_and_several_calls_in_one_answer(desk: Desk) -> None:
    search = ({"query": ["campaigns", "figures"]}, {"queries": ["updates"]})
    response = await desk.ask(f"Yes {{{TECH}}}.", search=search)
    assert [item["type"] for item in response["output"]] == ["file_search_call", "file_search_call", "message"]
    assert [item["queries"] for item in response["output"][:2]] == [["campaigns", "figures"], ["updates"]]
    assert part_of(response)["annotations"][0]["filename"] == TECH


async def test_a_chain_can_cite_what_an_earlier_turn_found(desk: Desk) -> None:
    first = await desk.ask("Yes.")
    asked = json.dumps({"say": f"Again {{{EU}}}."})
    second = await desk.shelf.served.create(model="m", input=asked, previous_response_id=first["id"])
    assert part_of(second)["text"] == "Again."
    assert part_of(second)["annotations"][0]["file_id"] == desk.ids[EU]


async def test_a_client_that_keeps_the_conversation_itself_sends_the_search_back(desk: Desk) -> None:
    asked = desk.wish("Yes.", store=False, include=["file_search_call.results"])
    first = await desk.shelf.served.create(**asked)
    said = {"role": "user", "content": json.dumps({"say": f"Again {{{EU}}}."})}
    history = [{"role": "user", "content": asked["input"]}, *first["output"]]
    second = await desk.shelf.served.create(model="m", input=[*history, said], store=False)
    assert part_of(second)["text"] == "Again."
    assert part_of(second)["annotations"][0]["file_id"] == desk.ids[EU]
    # without its results the search is known, but not what it found
    bare = [{**item, "results": None} if item.get("type") == "file_search_call" else item for item in history]
    await desk.shelf.served.create(model="m", input=[*bare, said], store=False)
    shown = json.dumps(chat_messages(desk.model.asked[-1], Dialect()))
    assert SEARCH[0]["query"] in shown
    assert "Search again" in shown


async def test_in_the_background_citations_are_the_same(desk: Desk) -> None:
    made = await desk.shelf.served.create(**desk.wish(f"Sales rose {{{US}}}.", background=True, size=3))
    while made["status"] in {"queued", "in_progress"}:
        _, made = await desk.shelf.ask("GET", f"/responses/{made['id']}")
    assert text_of(made) == "Sales rose."
    assert part_of(made)["annotations"][0]["file_id"] == desk.ids[US]


async def test_a_store_that_is_not_there_is_said_before_anything_starts(desk: Desk) -> None:
    body = desk.wish("Yes.", tool={"vector_store_ids": ["vs_none"]}, stream=True)
    with pytest.raises(openai.NotFoundError) as caught:
        await desk.client.responses.create(**body)
    assert caught.value.param == "tools[0].vector_store_ids"
    body = desk.wish("Yes.", tool={"filters": {"type": "like", "key": "a", "value": "b"}})
    status, answer = await desk.shelf.ask("POST", "/responses", body)
    assert (status, answer["error"]["param"]) == (400, "tools[0].filters.type")
    both = desk.wish("Yes.")
    status, answer = await desk.shelf.ask("POST", "/responses", {**both, "tools": both["tools"] * 2})
    assert (status, answer["error"]["param"]) == (400, "tools[1]")
    assert desk.model.asked == []


async def test_a_search_that_fails_is_a_failed_item_and_the_answer_goes_on(desk: Desk) -> None:
    desk.shelf.embedder(down=True)
    response = await desk.ask("I could not search.", search=({"query": "something never asked before"},))
    call = response["output"][0]
    assert (call["status"], call["results"]) == ("failed", None)
    assert desk.told().startswith("The search failed:")
    assert text_of(response) == "I could not search."


async def test_a_deleted_file_is_found_no_more(desk: Desk) -> None:
    await desk.client.files.delete(desk.ids[US])
    await desk.ask("Yes.")
    assert US not in desk.told()


async def test_text_formats_go_together_with_citations(desk: Desk) -> None:
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": False}
    response = await desk.ask(
        f'{{{{"fact": "rose {{{US}}}."}}}}'.replace("{{", "{").replace("}}", "}"), text={"format": schema}
    )
    assert json.loads(text_of(response)) == {"fact": "rose."}
    assert part_of(response)["annotations"][0]["filename"] == US
