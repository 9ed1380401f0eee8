"""`/v1/rerank`, our extension: documents ordered by the reranker of the settings, as Jina, Cohere and vLLM have it."""

from __future__ import annotations

from typing import Final

from antiphon.http.operation import Operation
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.rerank import RerankRequest, RerankResults
from antiphon.wire.retrieval import parse_rerank


async def rerank(request: Request) -> Reply:
    """Order the documents."""
    wanted = parse_rerank(await request.body(), strict=request.strict)
    return json(await request.services.reranking.answer(wanted))


OPERATIONS: Final = (
    Operation(
        id="rerank",
        method="POST",
        path="/rerank",
        about="Order documents by how well they answer a query (extension)",
        answer=rerank,
        asks="now",
        body=RerankRequest,
        result=RerankResults,
    ),
)
