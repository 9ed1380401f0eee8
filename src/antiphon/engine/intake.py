"""A request becomes a turn: everything that has to be looked up before its run can start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from antiphon.core.choice import chosen, tool_type
from antiphon.core.context import check_pairs, identified, merged
from antiphon.core.effects import Entry, Offer
from antiphon.engine.catalog import Catalog, Served, UnknownModelError
from antiphon.ports.clock import Clock
from antiphon.ports.store import Store
from antiphon.ports.tool import Tool
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.items import CompactionTrigger, ItemReference, item_id
from antiphon.wire.requests import echo
from antiphon.wire.responses import CreateResponse, Response
from antiphon.wire.tools import NamedChoice, ToolChoice
from antiphon.wire.tools import Tool as ToolConfig


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a run starts from."""

    project: str
    request: CreateResponse
    response: Response
    served: Served
    history: Sequence[Entry]
    input: tuple[Entry, ...]
    offers: tuple[Offer, ...]
    tool_choice: ToolChoice
    tools: Mapping[int, tuple[Tool, ToolConfig]]
    warnings: tuple[str, ...]


class Memory(Protocol):
    """Responses that are known here without being stored: those of one WebSocket connection."""

    def chain(self, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it is not known here."""
        ...


class Intake:
    """Looks up the model, the history, referenced items and tools."""

    def __init__(self, *, store: Store, clock: Clock, catalog: Catalog, tools: Mapping[str, Tool]) -> None:
        self._store = store
        self._clock = clock
        self._catalog = catalog
        self._tools = tools

    async def turn(self, project: str, request: CreateResponse, response_id: str, memory: Memory | None = None) -> Turn:
        """The turn; raises InvalidRequestError or NotFoundError naming the parameter."""
        _refuse_unserved(request)
        try:
            served = await self._catalog.resolve(request.model)
        except UnknownModelError as error:
            raise InvalidRequestError(error.message, param="model", code="model_not_found") from None
        history = await self._history(project, request, memory)
        given = identified(request.input, self._clock.id)
        if any(isinstance(entry.item, ItemReference) for entry in given):
            given = await self._resolved(project, given, history)
        new = merged(history, given)
        check_pairs([*history, *new])
        offers, tools, warnings = await self._offers(request)
        offers, choice = chosen(request.tool_choice, offers, request.tools)
        now = int(self._clock.now())
        return Turn(
            project=project,
            request=request,
            response=echo(request, id=response_id, created_at=now, status="in_progress", model=served.card.id),
            served=served,
            history=history,
            input=new,
            offers=offers,
            tool_choice=choice,
            tools=tools,
            warnings=warnings,
        )

    async def _history(self, project: str, request: CreateResponse, memory: Memory | None) -> Sequence[Entry]:
        if request.previous_response_id is not None:
            if memory is not None and (known := memory.chain(request.previous_response_id)) is not None:
                return known
            chain = await self._store.chain(project, request.previous_response_id)
            if chain is None:
                raise InvalidRequestError(
                    f"Previous response with id '{request.previous_response_id}' not found.",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
            return chain
        if request.conversation is not None:
            entries = await self._store.conversation_entries(project, request.conversation.id)
            if entries is None:
                raise NotFoundError(
                    f"Conversation with id '{request.conversation.id}' not found.", param="conversation"
                )
            return entries
        return ()

    async def _resolved(self, project: str, given: Sequence[Entry], history: Sequence[Entry]) -> tuple[Entry, ...]:
        """The input with every reference replaced by the stored item it names."""
        wanted = [entry.item.id for entry in given if isinstance(entry.item, ItemReference)]
        known = {str(item_id(entry.item)): entry for entry in history if entry.item is not None}
        missing = [item_id for item_id in wanted if item_id not in known]
        if missing:
            known |= await self._store.items(project, missing)
        resolved: list[Entry] = []
        for entry in given:
            if not isinstance(entry.item, ItemReference):
                resolved.append(entry)
                continue
            found = known.get(entry.item.id)
            if found is None:
                raise NotFoundError(
                    f"Item with id '{entry.item.id}' not found. Items are not persisted when `store` is set to false. "
                    "Try again with `store` set to true, or remove this item from your input.",
                    param="input",
                )
            resolved.append(found)
        return tuple(resolved)

    async def _offers(
        self, request: CreateResponse
    ) -> tuple[list[Offer], dict[int, tuple[Tool, ToolConfig]], tuple[str, ...]]:
        """The functions the model is shown; a declaration that cannot be served is left out and said, unless the
        request forces it."""
        offers: list[Offer] = []
        tools: dict[int, tuple[Tool, ToolConfig]] = {}
        warnings: list[str] = []
        for place, config in enumerate(request.tools):
            kind = tool_type(config)
            tool = self._tools.get(kind)
            if tool is None:
                if isinstance(request.tool_choice, NamedChoice) and request.tool_choice.type == kind:
                    raise InvalidRequestError(
                        f"Tools of type '{kind}' are not served here.",
                        param=f"tools[{place}].type",
                        code="unsupported_value",
                    )
                warnings.append(f"tools[{place}] of type '{kind}' is not served and was ignored")
                continue
            tools[place] = (tool, config)
            for offer in await tool.offers(config, place):
                if any(known.name == offer.name for known in offers):
                    raise InvalidRequestError(
                        f"Two tools are named '{offer.name}'.", param=f"tools[{place}]", code="invalid_value"
                    )
                offers.append(offer)
        return offers, tools, tuple(warnings)


def _refuse_unserved(request: CreateResponse) -> None:
    """Never answer 200 for what was not done."""
    for name, asked in (
        ("background", request.background),
        ("context_management", bool(request.context_management)),
        ("moderation", request.moderation is not None),
    ):
        if asked:
            raise InvalidRequestError(
                f"Unsupported parameter: '{name}' is not supported by this server yet.",
                param=name,
                code="unsupported_parameter",
            )
    if any(isinstance(item, CompactionTrigger) for item in request.input):
        raise InvalidRequestError(
            "Items of type 'compaction_trigger' are not supported by this server yet.",
            param="input",
            code="unsupported_value",
        )
    if request.prompt is not None:
        raise NotFoundError(f"Prompt with id '{request.prompt.id}' not found.", param="prompt")
