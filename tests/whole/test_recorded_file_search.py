"""Recorded file searches of api.openai.com models, through the whole server and the official client.

The model's side is recorded; the search is ours. What the recorded model was told came from other files, so that its
citations name files that are not there: they must leave nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.shared import SHARED, needs_shared
from tests.whole.house import Json, text_of
from tests.whole.library import Library, library

pytestmark = needs_shared
MODEL = "recorded/gpt-4o"
RECORDED = SHARED / "recordings"
CLIENTS = [
    f"{client}-txt={provider}" for client in ("openai_client", "client_with_models") for provider in ("openai", "azure")
]
EXPERTS = "How many experts does the Llama 4 Maverick model have?"
EMBEDDED = "gpt-4o:emb=sentence-transformers/nomic-ai/nomic-embed-text-v1.5:dim=768"
REPORTS: list[tuple[str, str, Json]] = [
    (
        "us_marketing_q1.txt",
        "US promotional campaigns for Q1 2023. Revenue increased by 15% in the US region.",
        {"region": "us", "category": "marketing", "date": 1672531200},
    ),
    (
        "us_engineering_q2.txt",
        "US technical updates for Q2 2023. New features deployed in the US region.",
        {"region": "us", "category": "engineering", "date": 1680307200},
    ),
    (
        "eu_marketing_q1.txt",
        "European advertising campaign results for Q1 2023. Strong growth in EU markets.",
        {"region": "eu", "category": "marketing", "date": 1672531200},
    ),
    (
        "asia_sales_q3.txt",
        "Asia Pacific revenue figures for Q3 2023. Record breaking quarter in Asia.",
        {"region": "asia", "category": "sales", "date": 1688169600},
    ),
]


@asynccontextmanager
async def recorded(data: Path, case: str) -> AsyncGenerator[Library]:
    async with library(data, recordings={"dir": RECORDED, "case": case}) as shelf:
        yield shelf


async def reports(shelf: Library) -> str:
    """The store of the recorded cases; its id."""
    store = await shelf.store()
    for name, text, attributes in REPORTS:
        attached = await shelf.attach(store.id, await shelf.file(text, name), attributes=attributes)
        assert attached.status == "completed"
    return store.id


def shape(response: Json) -> list[str]:
    return [item["type"] for item in response["output"]]


def clean(*values: Any) -> None:
    assert "<|" not in json.dumps(values)


@pytest.mark.parametrize("client", CLIENTS)
async def test_response_non_streaming_file_search(tmp_path: Path, client: str) -> None:
    case = f"test_response_non_streaming_file_search[{client}/{EMBEDDED}-llama_experts_pdf]"
    async with recorded(tmp_path, case) as shelf:
        store = await shelf.store()
        pdf = await shelf.file((SHARED / "data" / "models.pdf").read_bytes(), "models.pdf")
        assert (await shelf.attach(store.id, pdf)).status == "completed"
        tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
        response = await shelf.served.create(
            model=MODEL, input=EXPERTS, tools=tools, include=["file_search_call.results"], stream=False
        )
        assert shape(response) == ["file_search_call", "message"]
        call = response["output"][0]
        assert call["status"] == "completed"
        assert call["queries"]
        assert call["results"]
        assert call["results"][0]["file_id"] == pdf
        assert call["results"][0]["filename"] == "models.pdf"
        assert "128" in "".join(result["text"] for result in call["results"])
        assert all(0 <= result["score"] <= 1 for result in call["results"])
        assert "128" in text_of(response)
        clean(response["output"][1])
        assert response["output"][1]["content"][0]["annotations"] == []  # the recorded file is not there


@pytest.mark.parametrize("client", CLIENTS)
async def test_response_non_streaming_file_search_empty_vector_store(tmp_path: Path, client: str) -> None:
    case = f"test_response_non_streaming_file_search_empty_vector_store[{client}/{EMBEDDED}]"
    async with recorded(tmp_path, case) as shelf:
        store = await shelf.store()
        tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
        response = await shelf.served.create(
            model=MODEL, input=EXPERTS, tools=tools, include=["file_search_call.results"]
        )
        assert shape(response) == ["file_search_call", "message"]
        assert (response["output"][0]["status"], response["output"][0]["results"]) == ("completed", [])
        assert response["output"][0]["queries"]
        assert text_of(response)


@pytest.mark.parametrize("client", CLIENTS)
async def test_response_file_search_streaming_events(tmp_path: Path, client: str) -> None:
    case = f"test_response_file_search_streaming_events[{client}/gpt-4o]"
    async with recorded(tmp_path, case) as shelf:
        tools = [{"type": "file_search", "vector_store_ids": [await reports(shelf)]}]
        question = "What are the marketing updates?"
        events = await shelf.served.stream(
            model=MODEL, input=question, tools=tools, include=["file_search_call.results"]
        )
        kinds = [event["type"].removeprefix("response.") for event in events]
        assert list(dict.fromkeys(kinds)) == [
            "created",
            "in_progress",
            "output_item.added",
            "file_search_call.in_progress",
            "file_search_call.searching",
            "file_search_call.completed",
            "output_item.done",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "completed",
        ]
        added = next(event for event in events if event["type"] == "response.output_item.added")
        assert (added["item"]["queries"], added["item"]["results"]) == ([], None)
        phases = [event for event in events if "file_search_call" in event["type"]]
        assert {event["item_id"] for event in phases} == {added["item"]["id"]}
        assert {event["output_index"] for event in phases} == {0}
        response = events[-1]["response"]
        names = {result["filename"] for result in response["output"][0]["results"]}
        assert {"us_marketing_q1.txt", "eu_marketing_q1.txt"} <= names
        clean([event for event in events if "item" not in event and "response" not in event], response["output"][1])
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == text_of(response)


@pytest.mark.parametrize("client", CLIENTS)
async def test_response_file_search_filter_compound_and(tmp_path: Path, client: str) -> None:
    case = f"test_response_file_search_filter_compound_and[{client}/gpt-4o]"
    async with recorded(tmp_path, case) as shelf:
        both = [
            {"type": "eq", "key": "region", "value": "us"},
            {"type": "eq", "key": "category", "value": "engineering"},
        ]
        filters = {"type": "and", "filters": both}
        tools = [{"type": "file_search", "vector_store_ids": [await reports(shelf)], "filters": filters}]
        response = await shelf.served.create(
            model=MODEL,
            input="What are the engineering updates from the US?",
            tools=tools,
            include=["file_search_call.results"],
        )
        assert shape(response) == ["file_search_call", "message"]
        call = response["output"][0]
        assert [result["filename"] for result in call["results"]] == ["us_engineering_q2.txt"]
        assert call["results"][0]["attributes"] == REPORTS[1][2]
        assert response["tools"][0]["filters"] == filters
        clean(response["output"][1])


@pytest.mark.parametrize("client", CLIENTS)
async def test_response_text_format(tmp_path: Path, client: str) -> None:
    async with recorded(tmp_path, f"test_response_text_format[{client}/gpt-4o-text_format0]") as shelf:
        response = await shelf.served.create(
            model=MODEL, input="What is the capital of France?", text={"format": {"type": "text"}}
        )
        assert "Paris" in text_of(response)
        assert response["text"]["format"] == {"type": "text"}


async def test_a_search_that_was_not_recorded_is_a_loud_miss(tmp_path: Path) -> None:
    async with recorded(tmp_path, "test_response_file_search_streaming_events") as shelf:
        store = await shelf.store("Text.")
        tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
        status, answer = await shelf.ask("POST", "/responses", {"model": MODEL, "input": "Unheard of", "tools": tools})
        assert (status, answer["error"]["code"]) == (400, "replay_miss")
        assert "recording" in answer["error"]["message"].lower()
