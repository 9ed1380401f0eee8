"""The bodies of the endpoints of retrieval: vector stores, their files and batches, searches, rerank.

Law: as in `requests`. Only what concerns several parameters, and where null differs from absent, is written out here.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from antiphon.wire.bodies import parse_fields, parse_object
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import (
    array_too_long,
    decode_object,
    empty_array,
    invalid_value,
    missing_parameter,
    out_of_range,
    plain,
    read,
    wrong_prefix,
)
from antiphon.wire.pages import Query, text
from antiphon.wire.rerank import RerankRequest
from antiphon.wire.vector_stores import (
    AttachFile,
    AutoStrategy,
    ContextualStrategy,
    CreateFileBatch,
    CreateVectorStore,
    FileStatus,
    GivenStrategy,
    SearchVectorStore,
    StaticStrategy,
    UpdateAttributes,
    UpdateVectorStore,
)

FILE_PREFIX: Final = "file-"
RANKERS: Final = ("none", "auto", "default-2024-11-15", "rrf", "weighted")
"""The last two are extensions."""
MOST_QUERIES: Final = 64
"""Queries of one search."""
STATUSES: Final = ("in_progress", "completed", "failed", "cancelled")

_NULL: Final = Raw(b"null")
_FILES: Final = Decoder[list[Raw] | None](list[Raw] | None)
_QUERY: Final = "query"


# vector stores


def parse_vector_store(body: bytes, *, strict: bool = True) -> CreateVectorStore:
    """The body of POST /v1/vector_stores; an empty one is `{}`. Raises InvalidRequestError."""
    wanted = parse_object(body or b"{}", CreateVectorStore, strict=strict)
    _check_ids(wanted.file_ids, "file_ids")
    _check_strategy(wanted.chunking_strategy, "chunking_strategy")
    return wanted


def parse_vector_store_update(body: bytes, *, strict: bool = True) -> UpdateVectorStore:
    """The body of POST /v1/vector_stores/{id}; null empties what it names. Raises InvalidRequestError."""
    fields = decode_object(body or b"{}")
    found = parse_fields(fields, UpdateVectorStore, strict=strict)
    nulls = {name: None for name, raw in fields.items() if bytes(raw) == bytes(_NULL) and name in _UPDATES}
    return UpdateVectorStore(**{**nulls, **found})


_UPDATES: Final = frozenset(field.name for field in msgspec.structs.fields(UpdateVectorStore))


def parse_search(body: bytes, *, strict: bool = True) -> SearchVectorStore:
    """The body of POST /v1/vector_stores/{id}/search; `filters` is read by `core.filters`. Raises
    InvalidRequestError."""
    fields = decode_object(body)
    if "ranking_options" in fields:
        fields["ranking_options"] = Raw(msgspec.json.encode(_bare(plain(fields["ranking_options"]))))
    found = parse_fields(fields, SearchVectorStore, strict=strict)
    if _QUERY not in found:
        raise missing_parameter(_QUERY)
    wanted = SearchVectorStore(**found)
    _check_queries(wanted.query)
    if wanted.ranking_options.ranker not in RANKERS:
        raise invalid_value("ranking_options.ranker", wanted.ranking_options.ranker, RANKERS)
    return wanted


# files in stores


def parse_attach(body: bytes, *, strict: bool = True) -> AttachFile:
    """The body of POST /v1/vector_stores/{id}/files. Raises InvalidRequestError."""
    wanted = parse_object(body, AttachFile, strict=strict)
    return _checked(wanted, "")


def parse_attributes(body: bytes, *, strict: bool = True) -> UpdateAttributes:
    """The body of POST /v1/vector_stores/{id}/files/{file_id}; null empties the attributes. Raises
    InvalidRequestError."""
    fields = decode_object(body)
    if "attributes" not in fields:
        raise missing_parameter("attributes")
    return UpdateAttributes(attributes=parse_fields(fields, UpdateAttributes, strict=strict).get("attributes"))


def parse_file_batch(body: bytes, *, strict: bool = True) -> CreateFileBatch:
    """The body of POST /v1/vector_stores/{id}/file_batches. Raises InvalidRequestError."""
    fields = decode_object(body)
    given = {name for name in ("file_ids", "files") if bytes(fields.get(name, _NULL)) != bytes(_NULL)}
    if len(given) != 1:
        raise InvalidRequestError(
            "Exactly one of 'file_ids' and 'files' must be provided.",
            param="files" if given else "file_ids",
            code="mutually_exclusive_parameters" if given else "missing_required_parameter",
        )
    if "files" in given:
        fields["files"] = _without_nulls(fields["files"])
    wanted = CreateFileBatch(**parse_fields(fields, CreateFileBatch, strict=strict))
    for place, file in enumerate(wanted.files or ()):
        _checked(file, f"files[{place}].")
    _check_ids(wanted.file_ids or (), "file_ids")
    _check_strategy(wanted.chunking_strategy, "chunking_strategy")
    return wanted


def parse_file_status(query: Query) -> FileStatus | None:
    """The `filter` of a list of files. Raises InvalidRequestError."""
    value = text(query, "filter")
    if not value:
        return None
    if value not in STATUSES:
        raise invalid_value("filter", value, STATUSES)
    return value


# rerank


def parse_rerank(body: bytes, *, strict: bool = True) -> RerankRequest:
    """The body of POST /v1/rerank. Raises InvalidRequestError."""
    return parse_object(body, RerankRequest, strict=strict)


# checks


def _without_nulls(raw: Raw) -> Raw:
    """The elements of `files` without what is null in them."""
    return Raw(msgspec.json.encode([_bare(plain(element)) for element in read(raw, _FILES, "files") or ()]))


def _bare(value: Any) -> Any:
    """The object without nulls."""
    if not isinstance(value, dict):
        return value
    return {name: held for name, held in cast("dict[str, Any]", value).items() if held is not None}


def _checked(wanted: AttachFile, path: str) -> AttachFile:
    if not wanted.file_id.startswith(FILE_PREFIX):
        raise wrong_prefix(f"{path}file_id", wanted.file_id, FILE_PREFIX)
    _check_strategy(wanted.chunking_strategy, f"{path}chunking_strategy")
    return wanted


def _check_ids(file_ids: tuple[str, ...], path: str) -> None:
    for place, file_id in enumerate(file_ids):
        if not file_id.startswith(FILE_PREFIX):
            raise wrong_prefix(f"{path}[{place}]", file_id, FILE_PREFIX)


def _check_queries(given: str | tuple[str, ...]) -> None:
    if given == ():
        raise empty_array(_QUERY)
    if len(given) > MOST_QUERIES and not isinstance(given, str):
        raise array_too_long(_QUERY, MOST_QUERIES, len(given))
    for place, query in enumerate((given,) if isinstance(given, str) else given):
        if not query.strip():
            path = _QUERY if isinstance(given, str) else f"{_QUERY}[{place}]"
            raise InvalidRequestError(f"Invalid '{path}': empty string.", param=path, code="empty_string")


def _check_strategy(given: GivenStrategy, path: str) -> None:
    """The overlap is at most half of a chunk, in the extension two thirds, as its defaults are."""
    match given:
        case StaticStrategy(static=sizes):
            name, most, overlap = "static", sizes.max_chunk_size_tokens // 2, sizes.chunk_overlap_tokens
        case ContextualStrategy(contextual=options):
            name, most, overlap = "contextual", options.max_chunk_size_tokens * 2 // 3, options.chunk_overlap_tokens
        case AutoStrategy():
            return
    if overlap > most:
        raise out_of_range(f"{path}.{name}.chunk_overlap_tokens", "integer", f"<= {most}", overlap)
