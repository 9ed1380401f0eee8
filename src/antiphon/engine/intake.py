"""A request becomes a turn: everything that has to be looked up before its run can start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from antiphon.core.approvals import Past, approved, settled
from antiphon.core.choice import chosen, declared
from antiphon.core.compaction import current
from antiphon.core.context import check_pairs, identified, merged
from antiphon.core.effects import Approved, Entry, Generate, Measure, Offer, Preface
from antiphon.core.fitting import Bounds, bounds_of, excess, weight
from antiphon.core.includes import ENCRYPTED
from antiphon.core.limits import Limits
from antiphon.core.plan import Plan
from antiphon.core.pruning import grouped, truncated, without
from antiphon.core.recall import hollow
from antiphon.core.taint import Guard, guard
from antiphon.engine.attachments import Attachments
from antiphon.engine.catalog import Catalog, Served, UnknownModelError
from antiphon.engine.declaring import declare
from antiphon.engine.fitter import Fitter, Means
from antiphon.engine.keys import keyed
from antiphon.engine.prompts import Prompts
from antiphon.engine.sealing import given_open, known_open, triggered, untriggered
from antiphon.ports.clock import Clock
from antiphon.ports.seal import Seal
from antiphon.ports.storage import Storage
from antiphon.ports.tool import Tool
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.items import ItemReference, item_id
from antiphon.wire.requests import echo
from antiphon.wire.responses import CreateResponse, Response
from antiphon.wire.tools import Tool as ToolConfig
from antiphon.wire.tools import ToolChoice


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What a run starts from."""

    project: str
    request: CreateResponse
    response: Response
    served: Served
    history: Sequence[Entry]
    input: tuple[Entry, ...]
    offers: tuple[Offer, ...]
    prefaces: tuple[Preface, ...]
    approved: tuple[Approved, ...]
    tool_choice: ToolChoice
    tools: Mapping[int, tuple[Tool, ToolConfig]]
    warnings: tuple[str, ...]
    context: tuple[Entry, ...]
    """History and input as the model is to see them."""
    bounds: Bounds
    guard: Guard | None
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
            prefaces=self.prefaces,
            approved=self.approved,
            tool_choice=self.tool_choice,
            limits=limits,
            bounds=self.bounds,
            guard=self.guard,
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

    @property
    def seal(self) -> Seal:
        """What seals and opens the requests of runs that wait."""
        return self._means.seal

    async def turn(
        self,
        project: str,
        request: CreateResponse,
        response_id: str,
        memory: Memory | None = None,
        *,
        keys: Mapping[str, str] | None = None,
        whole: bool = False,
    ) -> Turn:
        """The turn; raises InvalidRequestError or NotFoundError naming the parameter. `keys`: those that the request
        brings for tools. `whole`: nothing is generated, so that its context need not fit the model."""
        _refuse_unserved(request)
        front = len(request.input)
        request = await self._prompts.resolved(project, request)
        front -= len(request.input)  # what the prompt put in front of the client's own items
        served = await self._served(request)
        history = await self._history(project, request, memory)
        given = identified(untriggered(request.input), self._clock.id)
        given = given_open(given, self._means.seal, project, front)
        if any(isinstance(entry.item, ItemReference) or hollow(entry.item) for entry in given):
            given = await self._resolved(project, given, history)
        new = merged(history, given)
        check_pairs([*history, *new])
        now = int(self._clock.now())
        status = "queued" if request.background else "in_progress"
        response = echo(request, id=response_id, created_at=now, status=status, model=served.card.id)
        turn = await self._turn(Accepted(project, request, response, new), served, history, _places(given, front))
        if keys:
            turn = msgspec.structs.replace(turn, tools=keyed(turn.tools, keys, background=request.background))
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
        past = Past([*history, *accepted.input], approved(history, accepted.input))
        configs = declared(request.tools, past.context)
        found = await declare(self._tools, accepted.project, request, configs, past)
        offers, choice = chosen(request.tool_choice, found.offers, configs)
        new = known_open(accepted.input, self._means.seal, accepted.project, request)
        native = served.traits.files
        context = settled(current((*history, *new)), past.approved)
        context = await self._attachments.resolved(accepted.project, context, places, native=native)
        return Turn(
            project=accepted.project,
            request=request,
            response=accepted.response,
            served=served,
            history=history,
            input=new,
            offers=offers,
            prefaces=found.prefaces,
            approved=found.approved,
            tool_choice=choice,
            tools=found.tools,
            warnings=found.warnings,
            context=context,
            bounds=bounds_of(request, served.traits.window, forced=triggered(request.input)),
            guard=guard(request.instructions, [*history, *new], offers) if self._means.wary else None,
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
        """The input with every reference replaced by the stored item it names, and every item that was given back
        hollow by what was stored of it."""
        known = {str(item_id(entry.item)): entry for entry in history if entry.item is not None}
        items = [entry.item for entry in given if entry.item is not None]
        wanted = [str(item_id(item)) for item in items if isinstance(item, ItemReference) or hollow(item)]
        missing = [each for each in wanted if each not in known]
        if missing:
            known |= await self._store.items(project, missing)
        resolved: list[Entry] = []
        for entry in given:
            found = known.get(str(item_id(entry.item))) if entry.item is not None else None
            if isinstance(entry.item, ItemReference):
                if found is None:
                    raise _missing(entry.item.id)
                resolved.append(found)
            elif hollow(entry.item) and found is not None and type(found.item) is type(entry.item):
                resolved.append(found)
            else:
                resolved.append(entry)
        return tuple(resolved)


def _missing(reference: str) -> NotFoundError:
    return NotFoundError(
        f"Item with id '{reference}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


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
