"""The recorded web_search cases of api.openai.com and Azure models, through the whole server and the official client.

A case holds what the model said; what the search found stands in what the model was told. From that a folder of
recordings is made in which the search can be found too.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.shared import SHARED, needs_shared
from tests.whole.house import Json, whole

pytestmark = needs_shared

DATED = "web_search_2025_08_26"
QUESTIONS = {
    "llama_experts": ("How many experts does the Llama 4 Maverick model have?", "web_search", "128"),
    f"{DATED}_type": ("What is the latest version of Python?", DATED, "3."),
}
CASES = [
    f"test_response_{form}_web_search[{client}-txt={provider}/gpt-4o-{kind}]"
    for form, kinds in {"non_streaming": [*QUESTIONS], "streaming": [f"{DATED}_type"]}.items()
    for kind in kinds
    for client in ("openai_client", "client_with_models")
    for provider in ("openai", "azure")
]


@cache
def recorded() -> dict[str, list[Json]]:
    """The recordings of searches of the web, by case."""
    found: dict[str, list[Json]] = {}
    for path in sorted((SHARED / "recordings" / "responses").glob("*.json")):
        exchange: Json = json.loads(path.read_bytes())
        case = str(exchange.get("test_id") or "").rpartition("::")[2]
        if "web_search" in case:
            found.setdefault(case, []).append(exchange)
    return found


def asked(exchange: Json) -> str:
    """The arguments of the search that the model makes in this exchange."""
    chunks = [chunk["__data__"] for chunk in exchange["response"]["body"]]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    made = [call["function"].get("arguments") or "" for delta in deltas for call in delta.get("tool_calls") or ()]
    return "".join(made)


def told(exchange: Json) -> tuple[str, str] | None:
    """The arguments of the search that the model is told of in this exchange, and what it found."""
    messages: list[Json] = exchange["request"]["body"]["messages"]
    if messages[-1]["role"] != "tool" or '"top_k"' not in messages[-1]["content"]:
        return None
    return messages[-2]["tool_calls"][0]["function"]["arguments"], messages[-1]["content"]


def folder(case: str, place: Path) -> Path:
    """The exchanges of the case that know what a search found, those that lead to them, and the searches."""
    place.mkdir()
    chats = [exchange for exchange in recorded()[case] if "tool_name" not in exchange["request"]]
    found = {one[0]: one[1] for exchange in chats if (one := told(exchange)) is not None}
    kept = [exchange for exchange in chats if told(exchange) is not None or asked(exchange) in found]
    for arguments, content in found.items():
        kept.append(
            {
                "test_id": chats[0]["test_id"],
                "request": {"tool_name": "web_search", "kwargs": json.loads(arguments)},
                "response": {"body": {"__type__": "Result", "__data__": {"content": content}}},
            }
        )
    for number, exchange in enumerate(kept):
        (place / f"{number}.json").write_text(json.dumps(exchange), encoding="utf-8")
    return place


@pytest.mark.parametrize("case", CASES)
async def test_a_recorded_search_is_made_told_and_answered(tmp_path: Path, case: str) -> None:
    question, kind, expected = QUESTIONS[case.rpartition("gpt-4o-")[2].rstrip("]")]
    place = folder(case, tmp_path / "recordings")
    include = ["web_search_call.action.sources"]
    body: Any = {"model": "recorded/gpt-4o", "input": question, "tools": [{"type": kind}], "include": include}
    async with whole(tmp_path / "data", recordings={"dir": place}) as served:
        if "non_streaming" in case:
            await served.create(**body)
            client: Any = served.client
            made = await client.responses.create(**body)
        else:
            await served.stream(**body)
            async with served.client.responses.stream(**body) as stream:
                kinds = [event.type async for event in stream]
                made: Any = await stream.get_final_response()
            searching = [f"response.web_search_call.{phase}" for phase in ("in_progress", "searching", "completed")]
            assert [each for each in kinds if each in searching] == searching
    search, message = made.model_dump()["output"]
    assert (search["type"], search["status"], message["type"]) == ("web_search_call", "completed", "message")
    assert search["action"]["type"] == "search"
    assert search["action"]["query"]
    assert search["action"]["sources"]
    assert expected in message["content"][0]["text"]


def test_every_recorded_case_of_a_search_is_run() -> None:
    assert set(recorded()) <= set(CASES)
