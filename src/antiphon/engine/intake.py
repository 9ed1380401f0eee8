"""A request becomes a turn: everything that has to be looked up before its run can start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from antiphon.core.choice import chosen, combined, declared, tool_type
from antiphon.core.compaction import current
from antiphon.core.context import check_pairs, identified, merged
from antiphon.core.effects import Entry, Generate, Measure, Offer
from antiphon.core.fitting import Bounds, bounds_of, excess, weight
from antiphon.core.includes import ENCRYPTED
from antiphon.core.limits import Limits
from antiphon.core.pruning import grouped, truncated, without
from antiphon.core.run import Plan
from antiphon.engine.attachments import Attachments
from antiphon.engine.catalog import Catalog, Served, UnknownModelError
from antiphon.engine.fitter import Fitter, Means
from antiphon.engine.prompts import Prompts
from antiphon.engine.sealing import given_open, known_open, triggered, untriggered
from antiphon.ports.clock import Clock
from antiphon.ports.storage import Storage
from antiphon.ports.tool import Tool, UnservedError
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.items import ItemReference, item_id
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
    context: tuple[Entry, ...]
    """History and input as the model is to see them."""
    bounds: Bounds
    fitter: Fitter

    def plan(self, response: Response, limits: Limits) -> Plan:
        """The plan of its run; `response` is the echo as it stands."""
        request = self.request
        return Plan(
            request=request,
            response=response,
            model=self.served.name,
            context=self.context,
            offers=self.offers,
            tool_choice=self.tool_choice,
            limits=limits,
            bounds=self.bounds,
            seal=self.fitter.seal if request.store or ENCRYPTED in request.include else None,
        )

    def generation(self) -> Generate:
        """Its first generation."""
        return Generate(
            model=self.served.name,
            request=self.request,
            context=self.context,
            offers=self.offers,
            tool_choice=self.tool_choice,
            max_output_tokens=self.request.max_output_tokens,
        )


class Accepted(msgspec.Struct, frozen=True):
    """A request whose input is resolved: all that has to be kept of it for its turn to be made again."""

    project: str
    request: CreateResponse
    response: Response
    input: tuple[Entry, ...]


class Memory(Protocol):
    """Responses that are known here without being stored: those of one WebSocket connection."""

    def chain(self, response_id: str, /) -> Sequence[Entry] | None:
        """The context that ends with this response; None when it is not known here."""
        ...


class Intake:
    """Looks up the model, the history, referenced items and tools."""

    def __init__(
        self,
        *,
        store: Storage,
        clock: Clock,
        catalog: Catalog,
        tools: Mapping[str, Tool],
        means: Means,
        attachments: Attachments,
    ) -> None:
        self._means = means
        self._attachments = attachments
        self._store = store
        self._prompts = Prompts(store, clock)
        self._clock = clock
        self._catalog = catalog
        self._tools = tools

    async def turn(
        self,
        project: str,
        request: CreateResponse,
        response_id: str,
        memory: Memory | None = None,
        *,
        whole: bool = False,
    ) -> Turn:
        """The turn; raises InvalidRequestError or NotFoundError naming the parameter. `whole`: nothing is generated, so
        that its context need not fit the model."""
        _refuse_unserved(request)
        front = len(request.input)
        request = await self._prompts.resolved(project, request)
        front -= len(request.input)  # what the prompt put in front of the client's own items
        served = await self._served(request)
        history = await self._history(project, request, memory)
        given = identified(untriggered(request.input), self._clock.id)
        given = given_open(given, self._means.seal, project, front)
        if any(isinstance(entry.item, ItemReference) for entry in given):
            given = await self._resolved(project, given, history)
        new = merged(history, given)
        check_pairs([*history, *new])
        now = int(self._clock.now())
        status = "queued" if request.background else "in_progress"
        response = echo(request, id=response_id, created_at=now, status=status, model=served.card.id)
        turn = await self._turn(Accepted(project, request, response, new), served, history, _places(given, front))
        return turn if whole else await _fitted(turn)

    async def look(self, project: str, request: CreateResponse) -> Turn:
        """As `turn`, for what starts nothing: a context of any length is taken as it is."""
        return await self.turn(project, request, "", whole=True)

    async def again(self, accepted: Accepted) -> Turn:
        """The turn of a run that was accepted before; what it builds on is looked up as it is now."""
        served = await self._served(accepted.request)
        history = await self._history(accepted.project, accepted.request, None)
        return await _fitted(await self._turn(accepted, served, history, {}))

    async def _served(self, request: CreateResponse) -> Served:
        try:
            return await self._catalog.resolve(request.model)
        except UnknownModelError as error:
            raise InvalidRequestError(error.message, param="model", code="model_not_found") from None

    async def _turn(
        self, accepted: Accepted, served: Served, history: Sequence[Entry], places: Mapping[str, str]
    ) -> Turn:
        """`places` says by item id where the request gives an item."""
        request = accepted.request
        history = known_open(history, self._means.seal, accepted.project, request)
        configs = declared(request.tools, [*history, *accepted.input])
        offers, tools, warnings = await self._offers(accepted.project, request, configs)
        offers, choice = chosen(request.tool_choice, offers, configs)
        new = known_open(accepted.input, self._means.seal, accepted.project, request)
        native = served.traits.files
        context = await self._attachments.resolved(accepted.project, current((*history, *new)), places, native=native)
        return Turn(
            project=accepted.project,
            request=request,
            response=accepted.response,
            served=served,
            history=history,
            input=new,
            offers=offers,
            tool_choice=choice,
            tools=tools,
            warnings=warnings,
            context=context,
            bounds=bounds_of(request, served.traits.window, forced=triggered(request.input)),
            fitter=Fitter(self._means, accepted.project, served.name, served.traits.dialect),
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
        self, project: str, request: CreateResponse, configs: Sequence[ToolConfig]
    ) -> tuple[list[Offer], dict[int, tuple[Tool, ToolConfig]], tuple[str, ...]]:
        """The functions the model is shown; a declaration that cannot be served is left out and said, unless the
        request forces it. `configs` are the request's own tools and those that its context adds."""
        own: list[Offer] = []
        added: list[Offer] = []
        tools: dict[int, tuple[Tool, ToolConfig]] = {}
        warnings: list[str] = []
        for place, config in enumerate(configs):
            kind = tool_type(config)
            at = f"tools[{place}]" if place < len(request.tools) else "input"
            try:
                tool = self._tool(kind)
                offers = await tool.offers(project, config, place)
            except UnservedError as error:
                if isinstance(request.tool_choice, NamedChoice) and request.tool_choice.type == kind:
                    raise InvalidRequestError(str(error), param=f"{at}.type", code="unsupported_value") from None
                warnings.append(f"{at} was ignored: {error}")
                continue
            tools[place] = (tool, config)
            if place >= len(request.tools):
                added += offers
                continue
            for offer in offers:
                if any(known.name == offer.name for known in own):
                    raise InvalidRequestError(f"Two tools are named '{offer.name}'.", param=at, code="invalid_value")
                own.append(offer)
        return combined(own, added), tools, tuple(warnings)

    def _tool(self, kind: str) -> Tool:
        tool = self._tools.get(kind)
        if tool is None:
            raise UnservedError(f"Tools of type '{kind}' are not served here.")
        return tool


def _places(given: Sequence[Entry], offset: int) -> dict[str, str]:
    """Where the request gives each item, by its id; the entry at place `i` stands at `input[i + offset]`. What a prompt
    puts in front of it stands nowhere in the request."""
    return {
        str(item_id(entry.item)): f"input[{place + offset}]" if place + offset >= 0 else "prompt"
        for place, entry in enumerate(given)
        if entry.item is not None
    }


async def _fitted(turn: Turn) -> Turn:
    """The turn with a context that the model can take, where its window is known. What is dropped is said; where
    nothing may be dropped, that is the client's to know before anything is started."""
    bounds, window = turn.bounds, turn.bounds.window
    if bounds.forced and all(entry.item is None for entry in turn.context):
        raise InvalidRequestError("There is nothing to compact.", param="input", code="invalid_value")
    if window is None or bounds.forced or (bounds.threshold or window) < window:
        return turn
    wanted = turn.generation()
    if weight(wanted) <= window:
        return turn
    found = await turn.fitter.measure(Measure(wanted))
    over = excess(wanted, found.tokens, window)
    if over <= 0:
        return turn
    kept, gone = without(grouped(turn.context), found.sizes, over) if bounds.truncate else (turn.context, 0)
    if not gone:
        raise InvalidRequestError(
            f"The input has {found.tokens} tokens, which is more than the {window} that the model takes.",
            param="input",
            code="context_length_exceeded",
        )
    return msgspec.structs.replace(turn, context=kept, warnings=(*turn.warnings, truncated(gone)))


def _refuse_unserved(request: CreateResponse) -> None:
    """Never answer 200 for what was not done."""
    if request.moderation is not None:
        raise InvalidRequestError(
            "Unsupported parameter: 'moderation' is not supported by this server yet.",
            param="moderation",
            code="unsupported_parameter",
        )
