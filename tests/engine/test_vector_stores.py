"""Vector stores and their files without HTTP: owners, failures between rows and index, and who is woken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.filters import Comparison
from antiphon.ports.index import Document, Value
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import InvalidRequestError, NotFoundError, StoreError
from antiphon.wire.vector_stores import (
    AttachFile,
    ContextualStrategy,
    CreateFileBatch,
    CreateVectorStore,
    UpdateVectorStore,
)
from tests.engine.shelves import PROJECT, House, house, texts_of

PAGE = PageQuery()
Call = Callable[[House, str, str, str, str], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "retrieve": lambda h, project, store, file, batch: h.stores.retrieve(project, store),
    "update": lambda h, project, store, file, batch: h.stores.update(project, store, UpdateVectorStore(name="mine")),
    "attach": lambda h, project, store, file, batch: h.members.attach(project, store, AttachFile(file_id=file)),
    "list": lambda h, project, store, file, batch: h.members.list(project, store, PAGE, None),
    "file": lambda h, project, store, file, batch: h.members.retrieve(project, store, file),
    "label": lambda h, project, store, file, batch: h.members.label(project, store, file, {"a": 1}),
    "content": lambda h, project, store, file, batch: h.members.content(project, store, file),
    "detach": lambda h, project, store, file, batch: h.members.detach(project, store, file),
    "batch": lambda h, project, store, file, batch: h.members.batch(project, store, CreateFileBatch(file_ids=(file,))),
    "get batch": lambda h, project, store, file, batch: h.members.retrieve_batch(project, store, batch),
    "cancel batch": lambda h, project, store, file, batch: h.members.cancel_batch(project, store, batch),
    "list batch": lambda h, project, store, file, batch: h.members.list_batch(project, store, batch, PAGE, None),
    "delete": lambda h, project, store, file, batch: h.stores.delete(project, store),
}


@pytest.mark.parametrize("call", list(CALLS))
async def test_ids_of_another_project_answer_like_unknown_ones(call: str, tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf("A cat.")
        file = await h.add(store, "A dog.")
        batch = await h.members.batch(PROJECT, store.id, CreateFileBatch(file_ids=(file,)))
        before = await h.stores.retrieve(PROJECT, store.id)
        await h.stores.create("other", CreateVectorStore())
        await h.file(project="other")
        with pytest.raises(NotFoundError) as foreign:
            await CALLS[call](h, "other", store.id, file, batch.id)
        with pytest.raises(NotFoundError) as unknown:
            await CALLS[call](h, PROJECT, "vs_nobody", file, batch.id)
        assert foreign.value.message.replace(store.id, "vs_nobody") == unknown.value.message
        assert foreign.value.param == unknown.value.param == "vector_store_id"
        assert await h.stores.retrieve(PROJECT, store.id) == before


async def test_files_of_another_project_answer_like_unknown_ones(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf("A cat.")
        foreign = await h.file(project="other")
        known = await h.file()
        for file in (foreign, "file-nobody"):
            for call, param in (
                (h.stores.create(PROJECT, CreateVectorStore(file_ids=(known, file))), "file_ids[1]"),
                (h.members.attach(PROJECT, store.id, AttachFile(file_id=file)), "file_id"),
                (h.members.batch(PROJECT, store.id, CreateFileBatch(file_ids=(known, file))), "file_ids[1]"),
            ):
                with pytest.raises(NotFoundError, match=f"No such File object: {file}") as raised:
                    await call
                assert raised.value.param == param
        assert (await h.stores.retrieve(PROJECT, store.id)).file_counts.total == 1
        assert [s.id for s in (await h.stores.list(PROJECT, PAGE)).data] == [store.id]


async def test_whoever_ingests_is_woken_for_what_joins_and_told_of_what_leaves(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        heard = h.ingestion
        await h.stores.create(PROJECT, CreateVectorStore())
        assert (heard.woken, heard.doubted) == (0, 0)
        store = await h.stores.create(PROJECT, CreateVectorStore(file_ids=(await h.file(),)))
        assert heard.woken == 1
        await h.members.attach(PROJECT, store.id, AttachFile(file_id=(file := await h.file())))
        batch = await h.members.batch(PROJECT, store.id, CreateFileBatch(file_ids=(await h.file(),)))
        assert (heard.woken, heard.doubted) == (3, 0)
        await h.members.detach(PROJECT, store.id, file)
        await h.members.cancel_batch(PROJECT, store.id, batch.id)
        await h.stores.delete(PROJECT, store.id)
        assert (heard.woken, heard.doubted) == (3, 3)


async def test_what_was_deleted_stays_deleted_though_the_index_is_down(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store, other = await h.shelf("A cat."), await h.shelf("A dog.")
        (file,) = (await h.members.list(PROJECT, other.id, PAGE, None)).data
        h.index.down = True
        assert (await h.stores.delete(PROJECT, store.id)).deleted
        assert (await h.members.detach(PROJECT, other.id, file.id)).deleted
        h.index.down = False
        with pytest.raises(NotFoundError):
            await h.find("cat", store)
        assert (await h.find("dog", other)).hits == []


async def test_attributes_of_a_file_are_not_told_as_set_when_the_index_did_not_take_them(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf("A cat.", a=1)
        (file,) = (await h.members.list(PROJECT, store.id, PAGE, None)).data

        async def refuse(document: Document, attributes: dict[str, Value], /) -> None:
            raise StoreError("The index is down.")

        h.index.before_label = refuse
        with pytest.raises(StoreError):
            await h.members.label(PROJECT, store.id, file.id, {"a": 2})
        h.index.before_label = None
        assert (await h.members.label(PROJECT, store.id, file.id, {"a": 2})).attributes == {"a": 2}
        found = await h.find("cat", store, filter=Comparison(type="eq", key="a", value=2))
        assert texts_of(found) == ["A cat."]


async def test_of_two_who_set_attributes_the_index_follows_the_row(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.shelf("A cat.")
        (file,) = (await h.members.list(PROJECT, store.id, PAGE, None)).data

        async def overtaken(document: Document, attributes: dict[str, Value], /) -> None:
            if attributes == {"by": "first"}:  # the second comes and goes while the first waits for the index
                h.index.before_label = None
                await h.members.label(PROJECT, store.id, file.id, {"by": "second"})

        h.index.before_label = overtaken
        assert (await h.members.label(PROJECT, store.id, file.id, {"by": "first"})).attributes == {"by": "first"}
        assert (await h.members.retrieve(PROJECT, store.id, file.id)).attributes == {"by": "second"}
        assert (await h.find("cat", store)).hits[0].attributes == {"by": "second"}


async def test_attributes_may_be_set_before_a_file_is_ingested(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.stores.create(PROJECT, CreateVectorStore())
        file = await h.file()
        await h.members.attach(PROJECT, store.id, AttachFile(file_id=file, attributes={"a": 1}))
        assert (await h.members.label(PROJECT, store.id, file, {"a": 2})).status == "in_progress"
        await h.ingested("A cat.")
        assert (await h.find("cat", store)).hits[0].attributes == {"a": 2}


async def test_content_is_refused_until_it_is_there(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.stores.create(PROJECT, CreateVectorStore())
        file = await h.file()
        await h.members.attach(PROJECT, store.id, AttachFile(file_id=file))
        with pytest.raises(InvalidRequestError, match="still being ingested"):
            await h.members.content(PROJECT, store.id, file)
        await h.ingested(*[f"Chunk {n}." for n in range(12)])
        content = await h.members.content(PROJECT, store.id, file)
        assert [part.text for part in content.data] == [f"Chunk {n}." for n in range(12)]


async def test_the_model_that_writes_contexts_is_named_once_and_for_all(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        store = await h.stores.create(PROJECT, CreateVectorStore())
        wanted = AttachFile(file_id=await h.file(), chunking_strategy=ContextualStrategy())
        with pytest.raises(InvalidRequestError) as raised:
            await h.members.attach(PROJECT, store.id, wanted)
        assert raised.value.param == "chunking_strategy.contextual.model"
        assert (await h.stores.retrieve(PROJECT, store.id)).file_counts.total == 0


async def test_a_store_of_another_embedder_is_made_by_its_name(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        made = await h.stores.create(PROJECT, CreateVectorStore(embedding_model="meaning", embedding_dimension=64))
        assert (made.embedding_model, made.embedding_dimension) == ("meaning", 64)
    async with house(tmp_path, vectors=False) as h:
        made = await h.stores.create(PROJECT, CreateVectorStore(provider_id="faiss"))
        assert (made.embedding_model, made.embedding_dimension) == (None, None)
        with pytest.raises(InvalidRequestError) as raised:
            await h.stores.create(PROJECT, CreateVectorStore(embedding_model="meaning"))
        assert raised.value.param == "embedding_model"
