"""The tool `file_search`: the model asks, the server searches vector stores, the model is told passages that it can
cite.

The item holds the queries and the results; these are shown only where the request includes them (core/includes.py).
Citations in the answer become annotations (core/citations.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Call, Offer, Outcome
from antiphon.core.filters import Filter, parse_filter
from antiphon.core.passages import FILE_SEARCH, Passage, told
from antiphon.ports.retrieval import Found, Hit, Retrieval, RetrievalQuery
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError
from antiphon.wire.items import FileSearchCall, Item
from antiphon.wire.tools import FileSearchTool
from antiphon.wire.tools import Tool as ToolConfig

DESCRIPTION: Final = "Search files for relevant information"
PARAMETERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "The search query"}},
    "required": ["query"],
}
MOST_QUERIES: Final = 8
"""Queries of one call; those beyond are not searched, and the model is told."""
MOST_CHARACTERS: Final = 4096
"""Characters of one query."""
MOST_STORES: Final = 100
"""Stores of one tool."""


class _Arguments(msgspec.Struct):
    """One function is offered, with one query; some models give several, or call it `queries`."""

    query: str | tuple[str, ...] = ()
    queries: str | tuple[str, ...] = ()


class Receipt:
    """A `file_search_call` item: empty while it runs, then with its queries and all that was found."""

    prefix = "fs_"
    phases = ("in_progress", "searching")

    def opened(self, item_id: str) -> Item:
        """In progress, nothing known yet."""
        return FileSearchCall(id=item_id, status="in_progress")

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        """Completed or failed; a search that never ran is incomplete. Only what completed has results."""
        given: Mapping[str, Any] = {} if outcome is None else outcome.fields
        queries = tuple(given.get("queries") or _queries(call.arguments))
        if outcome is None:
            return FileSearchCall(id=item_id, status="incomplete", queries=queries)
        if outcome.failed:
            return FileSearchCall(id=item_id, status="failed", queries=queries)
        return FileSearchCall(id=item_id, queries=queries, results=tuple(given.get("results", ())))


RECEIPT: Final = Receipt()


class FileSearch:
    """`{"type": "file_search"}` over the vector stores of the request's project."""

    types = ("file_search",)
    repeatable = True

    def __init__(self, retrieval: Retrieval) -> None:
        self._retrieval = retrieval

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """One function `file_search(query)`. InvalidRequestError or NotFoundError for stores and filters that cannot
        be searched."""
        assert isinstance(config, FileSearchTool)
        await self._check(project, config.vector_store_ids, f"tools[{place}].vector_store_ids")
        _filter(config, place)
        offer = Offer(FILE_SEARCH, DESCRIPTION, PARAMETERS, receipt=RECEIPT, tool=place, cites=True, writes=False)
        return (offer,)

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        """Search; the model is told the passages with the marks that cite them."""
        assert isinstance(config, FileSearchTool)
        asked = _queries(call.arguments)
        if not asked:
            words = 'The search was not made: the arguments must be a JSON object like {"query": "what to search for"}.'
            return Outcome(call.call_id, words, failed=True)
        queries = tuple(query[:MOST_CHARACTERS] for query in asked[:MOST_QUERIES])
        wanted = RetrievalQuery(
            queries=queries,
            store_ids=tuple(dict.fromkeys(config.vector_store_ids)),
            limit=config.max_num_results,
            filter=_filter(config, call.offer.tool),
            ranking=config.ranking_options,
        )
        try:
            found = await self._retrieval.search(project, wanted)
        except AntiphonError as error:
            if error.fatal:
                raise
            return Outcome(call.call_id, f"The search failed: {error.message}", {"queries": queries}, failed=True)
        return Outcome(call.call_id, _told(found, len(asked) - len(queries)), _fields(found))

    async def close(self) -> None:
        """Nothing is held."""

    async def _check(self, project: str, store_ids: Sequence[str], param: str) -> None:
        if not 0 < len(store_ids) <= MOST_STORES:
            words = f"'{param}' must name 1 to {MOST_STORES} vector stores, and names {len(store_ids)}."
            raise InvalidRequestError(words, param=param, code="invalid_value")
        try:
            await self._retrieval.exist(project, store_ids)
        except NotFoundError as error:
            raise NotFoundError(error.message, param=param, code=error.code) from None
        except InvalidRequestError as error:
            raise InvalidRequestError(error.message, param=param, code=error.code) from None


def _filter(config: FileSearchTool, place: int) -> Filter | None:
    return None if config.filters is None else parse_filter(config.filters, f"tools[{place}].filters")


def _queries(arguments: str) -> tuple[str, ...]:
    """The queries that the model wrote, each once; none where there are none."""
    try:
        given = msgspec.json.decode(arguments, type=_Arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()
    wanted = [*_listed(given.query), *_listed(given.queries)]
    return tuple(dict.fromkeys(query.strip() for query in wanted if query.strip()))


def _listed(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _fields(found: Found) -> dict[str, Any]:
    """What the item shows."""
    results = [
        {
            "file_id": hit.file_id,
            "filename": hit.filename,
            "score": hit.score,
            "text": hit.text,
            "attributes": hit.attributes,
            "vector_store_id": hit.store_id,
        }
        for hit in found.hits
    ]
    return {"queries": tuple(found.queries), "results": results}


def _told(found: Found, left: int) -> str:
    words = told(found.queries, [_passage(hit) for hit in found.hits])
    return words if not left else f"{words}\n\n({left} more queries were not searched: {MOST_QUERIES} are one call's.)"


def _passage(hit: Hit) -> Passage:
    pages = None if hit.first_page is None else (hit.first_page, hit.last_page or hit.first_page)
    return Passage(
        file_id=hit.file_id,
        filename=hit.filename,
        score=hit.score,
        text=hit.text,
        attributes=hit.attributes,
        pages=pages,
    )


def make(config: Plain, parts: Parts) -> FileSearch | None:
    """Served where vector stores can be searched."""
    del config
    return None if parts.retrieval is None else FileSearch(parts.retrieval)
