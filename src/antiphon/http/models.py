"""`/v1/models`."""

from __future__ import annotations

from typing import Final

from antiphon.http.openapi import Error
from antiphon.http.operation import Operation
from antiphon.http.relay import model_named
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.errors import AntiphonError
from antiphon.wire.models import Model, ModelList


class NotDeletableError(AntiphonError):
    """A model is its endpoint's; it cannot be deleted here."""

    http_status, type, default_code = 403, "invalid_request_error", "model_not_deletable"


async def list_models(request: Request) -> Reply:
    """All models that can be named."""
    return json(ModelList(data=tuple(await request.services.catalog.cards())))


async def retrieve(request: Request) -> Reply:
    """One of them; its name may hold slashes."""
    return json((await model_named(request, request.named("model"))).card)


async def delete(request: Request) -> Reply:
    """Refused: 404 for a model that does not exist, 403 for one that does."""
    name = (await model_named(request, request.named("model"))).card.id
    raise NotDeletableError(f"The model '{name}' is served by its endpoint and cannot be deleted here.", param="model")


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
    Operation(
        id="deleteModel",
        method="DELETE",
        path="/models/{model:path}",
        about="Refused: models are their endpoints'",
        answer=delete,
        result=Error,
        status=403,
    ),
)
