"""The bodies of the endpoints of retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.retrieval import (
    parse_attach,
    parse_attributes,
    parse_file_batch,
    parse_file_status,
    parse_rerank,
    parse_search,
    parse_vector_store,
    parse_vector_store_update,
)
from antiphon.wire.vector_stores import AttachFile, ContextualStrategy, CreateVectorStore, SearchVectorStore

Parser = Callable[..., Any]
PARSERS: dict[str, Parser] = {
    "store": parse_vector_store,
    "update": parse_vector_store_update,
    "search": parse_search,
    "attach": parse_attach,
    "attributes": parse_attributes,
    "batch": parse_file_batch,
    "rerank": parse_rerank,
}
NEEDED: dict[str, dict[str, Any]] = {
    "store": {},
    "update": {},
    "search": {"query": "a"},
    "attach": {"file_id": "file-1"},
    "attributes": {"attributes": {}},
    "batch": {"file_ids": ["file-1"]},
    "rerank": {"query": "a", "documents": ["b"]},
}


def body(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize("kind", list(PARSERS))
def test_what_is_needed_is_enough_and_unknown_parameters_are_refused_where_that_is_wanted(kind: str) -> None:
    parse, needed = PARSERS[kind], NEEDED[kind]
    parse(body(needed))
    with pytest.raises(InvalidRequestError) as raised:
        parse(body({**needed, "extra": 1}))
    assert (raised.value.param, raised.value.code) == ("extra", "unknown_parameter")
    parse(body({**needed, "extra": 1}), strict=False)


@pytest.mark.parametrize("kind", list(PARSERS))
@pytest.mark.parametrize("raw", [b"[]", b"{", b'"a"', b"\xff", b'{"query": ' + b"[" * 5000])
def test_what_is_no_object_is_refused(kind: str, raw: bytes) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        PARSERS[kind](raw)
    assert raised.value.code == "invalid_json"


def test_null_is_absent() -> None:
    fields = dict.fromkeys(CreateVectorStore.__struct_fields__)
    assert parse_vector_store(body(fields)) == parse_vector_store(b"") == CreateVectorStore()
    wanted = {"query": "a", **dict.fromkeys(SearchVectorStore.__struct_fields__[1:])}
    assert parse_search(body(wanted)) == SearchVectorStore(query="a")
    options = {"query": "a", "ranking_options": {"ranker": None, "score_threshold": None, "hybrid_search": None}}
    assert parse_search(body(options)) == SearchVectorStore(query="a")
    nulls = {"file_id": "file-1", "attributes": None, "chunking_strategy": None}
    assert parse_attach(body(nulls)) == AttachFile(file_id="file-1")
    batch = parse_file_batch(body({"files": [nulls], "file_ids": None}))
    assert batch.files == (AttachFile(file_id="file-1"),)


def test_an_update_tells_null_from_absent() -> None:
    assert parse_vector_store_update(b"{}").name is UNSET
    emptied = parse_vector_store_update(body({"name": None, "expires_after": None, "metadata": None}))
    assert (emptied.name, emptied.expires_after, emptied.metadata) == (None, None, None)
    given = parse_vector_store_update(body({"name": "a", "metadata": {"k": "v"}}))
    assert (given.name, given.expires_after, given.metadata) == ("a", UNSET, {"k": "v"})
    assert parse_attributes(body({"attributes": None})).attributes is None


WRONG: list[tuple[str, Any, str, str]] = [
    ("store", {"file_ids": ["file-1", "vs_1"]}, "file_ids[1]", "invalid_value"),
    ("store", {"chunking_strategy": {"type": "other"}}, "chunking_strategy.type", "invalid_value"),
    ("store", {"chunking_strategy": {"type": "static"}}, "chunking_strategy.static", "missing_required_parameter"),
    (
        "store",
        {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 99}}},
        "chunking_strategy.static.max_chunk_size_tokens",
        "integer_below_min_value",
    ),
    (
        "store",
        {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 4097}}},
        "chunking_strategy.static.max_chunk_size_tokens",
        "integer_above_max_value",
    ),
    (
        "attach",
        {
            "file_id": "file-1",
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 101, "chunk_overlap_tokens": 51},
            },
        },
        "chunking_strategy.static.chunk_overlap_tokens",
        "integer_above_max_value",
    ),
    ("store", {"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
    ("store", {"embedding_dimension": 0}, "embedding_dimension", "integer_below_min_value"),
    ("store", {"name": "a" * 257}, "name", "string_above_max_length"),
    ("store", {"expires_after": {"anchor": "now", "days": 1}}, "expires_after.anchor", "invalid_value"),
    ("update", {"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ("attach", {"file_id": 1}, "file_id", "invalid_type"),
    ("attach", {"file_id": "f"}, "file_id", "invalid_value"),
    ("attach", {"file_id": "file-1", "attributes": {"a": [1]}}, "attributes.a", "invalid_type"),
    ("attributes", {"attributes": {"a": "x" * 513}}, "attributes.a", "string_above_max_length"),
    ("attributes", {"attributes": {str(n): 1 for n in range(17)}}, "attributes", "object_above_max_properties"),
    ("attributes", {}, "attributes", "missing_required_parameter"),
    ("batch", {}, "file_ids", "missing_required_parameter"),
    ("batch", {"file_ids": ["file-1"], "files": []}, "files", "mutually_exclusive_parameters"),
    ("batch", {"files": []}, "files", "empty_array"),
    ("batch", {"files": {}}, "files", "invalid_type"),
    ("batch", {"files": ["file-1"]}, "files[0]", "invalid_type"),
    ("batch", {"files": [{}]}, "files[0].file_id", "missing_required_parameter"),
    ("batch", {"files": [{"file_id": "vs_1"}]}, "files[0].file_id", "invalid_value"),
    ("batch", {"file_ids": ["file-1"] * 2001}, "file_ids", "array_above_max_length"),
    ("search", {}, "query", "missing_required_parameter"),
    ("search", {"query": [1]}, "query[0]", "invalid_type"),
    ("search", {"query": "a", "filters": []}, "filters", "invalid_type"),
    ("rerank", {"query": "a"}, "documents", "missing_required_parameter"),
    ("rerank", {"query": "a", "documents": ["a"] * 2049}, "documents", "array_above_max_length"),
    ("rerank", {"query": "a", "documents": [1]}, "documents[0]", "invalid_type"),
]


@pytest.mark.parametrize(("kind", "value", "param", "code"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named(kind: str, value: Any, param: str, code: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        PARSERS[kind](body(value))
    assert (raised.value.param, raised.value.code) == (param, code), raised.value.message


def test_the_sizes_of_contexts_may_be_left_out() -> None:
    wanted = parse_vector_store(body({"chunking_strategy": {"type": "contextual"}}))
    assert wanted.chunking_strategy == ContextualStrategy()


def test_the_filter_of_a_list_is_a_status() -> None:
    assert parse_file_status({}) is None
    assert parse_file_status({"filter": ""}) is None
    assert parse_file_status({"filter": "failed"}) == "failed"
    with pytest.raises(InvalidRequestError) as raised:
        parse_file_status({"filter": "expired"})
    assert raised.value.param == "filter"
