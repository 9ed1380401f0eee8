"""`/v1/models`."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Model(Struct, frozen=True, kw_only=True):
    """A model that can be named in a request; `created` is epoch seconds, 0 where the endpoint does not say.

    `shutdown_date` (YYYY-MM-DD) is absent where nothing was announced.
    """

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "antiphon"
    shutdown_date: str | UnsetType = UNSET


class ModelList(Struct, frozen=True, kw_only=True):
    """All models: one page, never more."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]
