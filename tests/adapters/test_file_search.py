"""The tool `file_search`: what the model is shown and told, and what the item holds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.tools.file_search import MOST_QUERIES, MOST_STORES, FileSearch, make
from antiphon.core.effects import Call, Outcome
from antiphon.core.includes import FILE_RESULTS, shown
from antiphon.core.passages import LONGEST
from antiphon.wire.codec import builtins
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.tools import FileSearchTool, RankingOptions
from tests.recorded import chat_streams
from tests.shared import needs_shared
from tests.stacks import Stacks, hit

DEADLINE = 5.0
CONFIG = FileSearchTool(vector_store_ids=("vs_1",))
HITS = (
    hit("file-1", "The bridge was opened in 1931.", 0.9, region="us", year=1931),
    hit("file-2", "It is 340 m long.", 0.5, region="eu"),
)


async def run(
    stacks: Stacks, arguments: object, config: FileSearchTool = CONFIG, project: str = "default"
) -> tuple[Outcome, dict[str, Any]]:
    """The outcome, and the item that it makes."""
    tool = FileSearch(stacks)
    (offer,) = await FileSearch(Stacks(stores=config.vector_store_ids)).offers("default", config, 0)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = Call("call_1", "fs_1", offer.name, text, offer)
    async with asyncio.timeout(DEADLINE):
        outcome = await tool.run(project, call, config)
    assert offer.receipt is not None
    return outcome, builtins(offer.receipt.closed("fs_1", call, outcome))


@needs_shared
async def test_the_function_shown_to_the_model_is_the_recorded_one() -> None:
    (offer,) = await FileSearch(Stacks()).offers("default", CONFIG, 0)
    recorded = [t["function"] for one in chat_streams() for t in one.asked.get("tools") or () if "function" in t]
    ours = {"name": offer.name, "description": offer.description, "parameters": offer.parameters}
    assert ours in recorded


async def test_the_item_holds_queries_and_results_and_shows_results_where_they_are_included() -> None:
    stacks = Stacks(*HITS)
    outcome, item = await run(stacks, {"query": " when was it opened? "})
    assert item["type"] == "file_search_call"
    assert (item["id"], item["status"], item["queries"]) == ("fs_1", "completed", ["when was it opened?"])
    assert item["results"][0] == {
        "file_id": "file-1",
        "filename": "file-1.txt",
        "score": 0.9,
        "text": "The bridge was opened in 1931.",
        "attributes": {"region": "us", "year": 1931},
        "vector_store_id": "vs_1",
    }
    (offer,) = await FileSearch(stacks).offers("default", CONFIG, 0)
    assert offer.receipt is not None
    closed = offer.receipt.closed("fs_1", Call("c", "fs_1", "file_search", "{}", offer), outcome)
    assert builtins(shown(closed, ()))["results"] is None
    assert builtins(shown(closed, {FILE_RESULTS})) == item | {"queries": ["when was it opened?"]}


async def test_the_model_is_told_passages_with_their_marks_and_attributes() -> None:
    outcome, _ = await run(Stacks(*HITS), {"query": "bridge"})
    told = outcome.output
    assert told.index("<|file-1|>") < told.index("The bridge was opened in 1931.") < told.index("cite as <|file-2|>")
    assert '{"region":"us","year":1931}' in told
    assert "0.900" in told
    assert "not instructions" in told


async def test_pages_are_told_where_they_are_known() -> None:
    paged = [msgspec.structs.replace(HITS[0], first_page=3, last_page=last) for last in (3, 4, None)]
    outcome, _ = await run(Stacks(*paged), {"query": "bridge"})
    assert outcome.output.count("page 3;") == 2
    assert "pages 3 to 4;" in outcome.output


async def test_the_settings_of_the_request_reach_the_search() -> None:
    filters = {"type": "and", "filters": [{"type": "eq", "key": "region", "value": "eu"}]}
    config = FileSearchTool(
        vector_store_ids=("vs_2", "vs_1", "vs_2"),
        filters=filters,
        max_num_results=1,
        ranking_options=RankingOptions(ranker="none", score_threshold=0.25),
    )
    stacks = Stacks(*HITS, stores=("vs_1", "vs_2"))
    _, item = await run(stacks, {"query": "bridge"}, config)
    assert [result["file_id"] for result in item["results"]] == ["file-2"]
    (asked,) = stacks.asked
    assert asked.store_ids == ("vs_2", "vs_1")
    assert (asked.limit, asked.ranking) == (1, config.ranking_options)


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ({"query": ["a", "b", "a"]}, ["a", "b"]),
        ({"queries": ["a", "b"]}, ["a", "b"]),
        ({"queries": "a"}, ["a"]),
        ({"query": "a", "queries": ["", " b "]}, ["a", "b"]),
    ],
)
async def test_several_queries_in_one_call_are_one_search(arguments: object, queries: list[str]) -> None:
    stacks = Stacks(*HITS)
    _, item = await run(stacks, arguments)
    assert item["queries"] == queries
    assert [list(asked.queries) for asked in stacks.asked] == [queries]


async def test_more_queries_than_one_call_takes_are_said() -> None:
    stacks = Stacks(*HITS)
    outcome, item = await run(stacks, {"query": [str(number) for number in range(MOST_QUERIES + 2)]})
    assert len(item["queries"]) == MOST_QUERIES
    assert "2 more queries were not searched" in outcome.output


async def test_an_empty_store_says_so() -> None:
    outcome, item = await run(Stacks(), {"query": "bridge"})
    assert not outcome.failed
    assert outcome.output.startswith("Nothing was found in the files for: bridge.")
    assert (item["status"], item["results"]) == ("completed", [])


async def test_a_search_that_fails_is_told_in_words() -> None:
    outcome, item = await run(Stacks(*HITS), {"query": "fail"})
    assert outcome.failed
    assert outcome.output == "The search failed: The embedder does not answer."
    assert (item["status"], item["queries"], item["results"]) == ("failed", ["fail"], None)


async def test_another_projects_store_is_none_of_this_one() -> None:
    outcome, _ = await run(Stacks(*HITS), {"query": "x"}, project="other")
    assert outcome.failed
    assert "not found" in outcome.output


async def test_a_long_answer_is_cut_between_passages_and_says_so() -> None:
    hits = [hit(f"file-{number}", "word " * 10_000) for number in range(10)]
    outcome, item = await run(Stacks(*hits), {"query": "x"})
    assert len(outcome.output) < LONGEST + 2_000
    assert "7 passages left out" in outcome.output
    assert len(item["results"]) == 10


async def test_a_search_that_never_ran_is_an_incomplete_item() -> None:
    (offer,) = await FileSearch(Stacks()).offers("default", CONFIG, 0)
    assert offer.receipt is not None
    for arguments, queries in (('{"query": "x"}', ["x"]), ('{"query": "x', [])):
        item = builtins(offer.receipt.closed("fs_1", Call("c", "fs_1", "file_search", arguments, offer), None))
        assert (item["status"], item["queries"], item["results"]) == ("incomplete", queries, None)


@pytest.mark.parametrize(
    ("config", "kind", "param"),
    [
        ({"vector_store_ids": ["vs_9"]}, NotFoundError, "tools[3].vector_store_ids"),
        ({"vector_store_ids": []}, InvalidRequestError, "tools[3].vector_store_ids"),
        ({"vector_store_ids": ["vs_1"] * (MOST_STORES + 1)}, InvalidRequestError, "tools[3].vector_store_ids"),
        ({"vector_store_ids": ["vs_1"], "filters": {"type": "like"}}, InvalidRequestError, "tools[3].filters.type"),
        (
            {"vector_store_ids": ["vs_1"], "filters": {"type": "eq", "key": "a", "value": None}},
            InvalidRequestError,
            "tools[3].filters.value",
        ),
    ],
)
async def test_what_cannot_be_searched_is_refused_before_anything_starts(
    config: dict[str, Any], kind: type[InvalidRequestError], param: str
) -> None:
    with pytest.raises(kind) as caught:
        await FileSearch(Stacks()).offers("default", msgspec.convert(config, FileSearchTool), 3)
    assert caught.value.param == param


def test_it_is_not_served_where_nothing_can_be_searched(tmp_path: Any) -> None:
    assert make(Plain(), Parts(name="file_search", clock=SeededClock(), folder=tmp_path)) is None
