"""`/v1/models`."""

from __future__ import annotations

from typing import Final

from antiphon.http.chat import model_named
from antiphon.http.operation import Operation
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.models import Model, ModelList


async def list_models(request: Request) -> Reply:
    """All models that can be named."""
    return json(ModelList(data=tuple(await request.services.catalog.cards())))


async def retrieve(request: Request) -> Reply:
    """One of them; its name may hold slashes."""
    return json((await model_named(request, request.named("model"))).card)


OPERATIONS: Final = (
    Operation(id="listModels", method="GET", path="/models", about="List models", answer=list_models, result=ModelList),
    Operation(
        id="retrieveModel",
        method="GET",
        path="/models/{model:path}",
        about="Get a model",
        answer=retrieve,
        result=Model,
    ),
)
