"""A first hour with files through the official client, in both its kinds; and what clients of other servers send."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseFileSearchToolCall, ResponseOutputMessage
from openai.types.responses.response_output_text import AnnotationFileCitation

from tests.clients.desk import LAMP, MILL, MODEL, TEXTS, Desk, desk, wish
from tests.whole.house import DEADLINE, Json

QUESTION = wish(f"Twice a day {{{MILL}}}.", "How often does the tide mill grind corn?")
ANSWER = "Twice a day."


def tool(*store_ids: str, **fields: Any) -> Any:
    return {"type": "file_search", "vector_store_ids": [*store_ids], **fields}


def citation_of(response: Response) -> AnnotationFileCitation:
    """The only citation of an answer of one search and one message."""
    call, message = response.output
    assert isinstance(call, ResponseFileSearchToolCall)
    assert isinstance(message, ResponseOutputMessage)
    (annotation,) = message.content[0].annotations  # type: ignore[union-attr]
    assert isinstance(annotation, AnnotationFileCitation)
    return annotation


def first_hour(url: str, folder: Path) -> None:
    """All of it with the synchronous client."""
    path = folder / MILL
    path.write_text(TEXTS[MILL][0])
    with OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=DEADLINE) as client:
        with path.open("rb") as opened:
            file = client.files.create(file=opened, purpose="assistants")
        assert (file.filename, file.status) == (MILL, "processed")
        store = client.vector_stores.create(name="Mine", file_ids=[file.id], metadata={"of": "mine"})
        batch = client.vector_stores.file_batches.upload_and_poll(
            store.id, files=[(LAMP, TEXTS[LAMP][0].encode()), ("empty.txt", b"")]
        )
        assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
        client.vector_stores.files.poll(file.id, vector_store_id=store.id)
        page = client.vector_stores.search(store.id, query="When is corn ground by the tide mill?")
        assert page.data[0].file_id == file.id
        assert page.data[0].content[0].text == TEXTS[MILL][0]
        response = client.responses.create(model=MODEL, input=QUESTION, tools=[tool(store.id)])
        assert response.output_text == ANSWER
        cited = citation_of(response)
        assert (cited.file_id, cited.filename, cited.index) == (file.id, MILL, len(ANSWER) - 1)
        assert client.files.content(cited.file_id).text == TEXTS[MILL][0]
        with client.responses.stream(model=MODEL, input=QUESTION, tools=[tool(store.id)]) as stream:
            kinds = [event.type for event in stream]
            assert citation_of(stream.get_final_response()) == cited
        assert "response.output_text.annotation.added" in kinds
        assert client.vector_stores.files.delete(file.id, vector_store_id=store.id).deleted
        assert file.id not in {hit.file_id for hit in client.vector_stores.search(store.id, query="tide mill corn")}
        assert client.vector_stores.delete(store.id).deleted
        assert all(client.files.delete(each.id).deleted for each in client.files.list() if each.filename == LAMP)
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)


async def test_the_first_hour_with_the_synchronous_client(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(2 * DEADLINE):
        await asyncio.to_thread(first_hour, f"{opened.served.url}/v1", tmp_path)


async def test_the_first_hour_with_the_asynchronous_client(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        client = opened.client
        store = await client.vector_stores.create()
        joined = await client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=(MILL, TEXTS[MILL][0].encode()), attributes={"year": 1820}
        )
        assert (joined.status, joined.last_error, joined.attributes) == ("completed", None, {"year": 1820})
        hits = [hit async for hit in client.vector_stores.search(store.id, query=["tide mill", "corn"])]
        assert [hit.filename for hit in hits] == [MILL]
        response = await client.responses.create(
            model=MODEL, input=QUESTION, tools=[tool(store.id)], include=["file_search_call.results"]
        )
        assert citation_of(response).file_id == joined.id
        call = response.output[0]
        assert isinstance(call, ResponseFileSearchToolCall)
        assert [hit.file_id for hit in call.results or ()] == [joined.id]
        next_one = await client.responses.create(
            model=MODEL, input=wish(f"As I said {{{MILL}}}."), tools=[tool(store.id)], previous_response_id=response.id
        )
        assert next_one.output_text == "As I said."
        await client.vector_stores.delete(store.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model=MODEL, input=QUESTION, tools=[tool(store.id)])


async def test_two_stores_are_one_ranking_without_a_file_twice(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        other = await opened.client.vector_stores.create()
        await opened.attach(other.id, opened.ids[MILL])
        response = await opened.client.responses.create(
            model=MODEL,
            input=QUESTION,
            tools=[tool(opened.store_id, other.id)],
            include=["file_search_call.results"],
        )
        call = response.output[0]
        assert isinstance(call, ResponseFileSearchToolCall)
        assert [hit.filename for hit in call.results or ()] == [MILL, LAMP]


# what clients of other servers send


async def searched(opened: Desk, **body: Any) -> list[tuple[str, float]]:
    hits = await opened.find(opened.store_id, "the lighthouse lamp or the tide mill that grinds corn", **body)
    return [(hit["filename"], hit["score"]) for hit in hits]


@pytest.mark.parametrize("alpha", [0, 0.25, 1])
async def test_alpha_weighs_meaning_against_words(tmp_path: Path, alpha: float) -> None:
    async with desk(tmp_path) as opened:
        by_alpha = await searched(opened, search_mode="hybrid", ranking_options={"ranker": "weighted", "alpha": alpha})
        weights = {"embedding_weight": alpha, "text_weight": 1 - alpha}
        options: Json = {"ranker": "weighted", "hybrid_search": weights}
        assert by_alpha == await searched(opened, search_mode="hybrid", ranking_options=options)
        one = "keyword" if alpha == 0 else "vector"
        assert (by_alpha == await searched(opened, search_mode=one)) == (alpha in {0, 1})


async def test_the_ranker_rrf_takes_its_constant(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened:
        usual = await searched(opened)
        assert await searched(opened, ranking_options={"ranker": "rrf"}) == usual
        steep = await searched(opened, ranking_options={"ranker": "rrf", "impact_factor": 1.0})
        assert [name for name, _ in steep] == [name for name, _ in usual]
        assert steep[-1][1] < usual[-1][1]
        for factor in (0, -1, "many"):
            body = {"query": "a", "ranking_options": {"ranker": "rrf", "impact_factor": factor}}
            status, error = await opened.ask("POST", f"/vector_stores/{opened.store_id}/search", body)
            assert (status, error["error"]["param"]) == (400, "ranking_options.impact_factor")


async def test_an_embedding_model_may_be_said_with_each_file(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened:
        stores = opened.client.vector_stores
        extra = {"embedding_model": "meaning"}
        store = await stores.create(extra_body={**extra, "embedding_dimension": 256, "provider_id": "any"})
        await stores.files.create(store.id, file_id=opened.ids[MILL], extra_body=extra)
        batch = await stores.file_batches.create_and_poll(store.id, file_ids=[opened.ids[LAMP]], extra_body=extra)
        assert batch.file_counts.completed == 1


# requests as the codex CLI makes them


def message(role: str, name: str, part: Json) -> Json:
    return {"type": "message", "role": role, "id": name, "content": [part]}


@pytest.mark.parametrize("by", ["id", "data"])
async def test_a_request_like_codex_with_a_file(tmp_path: Path, by: str) -> None:
    async with desk(tmp_path) as opened:
        data = base64.b64encode(TEXTS[MILL][0].encode()).decode()
        file: Json = {"file_id": opened.ids[MILL]} if by == "id" else {"filename": MILL, "file_data": data}
        asked = message("user", "msg_2", {"type": "input_text", "text": QUESTION})
        events = await opened.served.stream(
            model=MODEL,
            input=[
                message("developer", "msg_0", {"type": "input_text", "text": "Be."}),
                message("user", "msg_1", {"type": "input_file", **file}),
                asked,
            ],
            store=False,
            include=["reasoning.encrypted_content"],
            tools=[tool(opened.store_id)],
            tool_choice="auto",
            parallel_tool_calls=True,
            prompt_cache_key="key",
            client_metadata={"thread": "1"},
        )
        response = events[-1]["response"]
        assert [item["type"] for item in response["output"]] == ["file_search_call", "message"]
        assert (TEXTS[MILL][0] if by == "id" else data) in repr(opened.model.asked[0].context)
        # what was not stored comes back with the next request
        more = message("user", "msg_3", {"type": "input_text", "text": wish(f"So {{{MILL}}}.")})
        again = [asked, *response["output"], more]
        last = (await opened.served.stream(model=MODEL, input=again, store=False, tools=[tool(opened.store_id)]))[-1]
        (part,) = last["response"]["output"][-1]["content"]
        assert part["text"] == "So."
