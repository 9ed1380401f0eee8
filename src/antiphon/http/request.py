"""One request as endpoints see it: read lazily, so that a request pays only for what its endpoint asks."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from antiphon.http import limits
from antiphon.http.services import Services
from antiphon.wire.invalid import wrong_prefix
from antiphon.wire.pages import Query


class Request:
    """A request that has been let in; `project` owns what it touches."""

    __slots__ = ("project", "receive", "scope", "services")

    def __init__(self, services: Services, project: str, scope: Scope, receive: Receive) -> None:
        self.services = services
        self.project = project
        self.scope = scope
        self.receive = receive

    async def body(self) -> bytes:
        """The JSON body, b"" when there is none; errors as in `limits.body`."""
        return await limits.body(self.scope, self.receive, self.services.limits.max_body)

    @property
    def strict(self) -> bool:
        """Whether parameters that are not known are refused."""
        return self.services.limits.strict

    @property
    def query(self) -> Query:
        """The query, decoded."""
        raw = cast("bytes", self.scope["query_string"])
        return parse_qs(raw.decode("latin-1"), keep_blank_values=True) if raw else {}

    def named(self, parameter: str) -> str:
        """The part of the path that the route calls so, decoded."""
        return cast("dict[str, str]", self.scope["path_params"])[parameter]

    def id(self, parameter: str, prefix: str) -> str:
        """An id in the path; InvalidRequestError when it cannot be one of this kind (checked before existence)."""
        value = self.named(parameter)
        if not value.startswith(prefix):
            raise wrong_prefix(parameter, value, prefix)
        return value
