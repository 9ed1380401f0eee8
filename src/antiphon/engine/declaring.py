"""What a request declares becomes functions for the model, and what stands before its first generation.

A declaration that cannot be served is left out and said, unless the request forces it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from antiphon.core.approvals import Past
from antiphon.core.choice import combined, tool_type
from antiphon.core.effects import Approved, Offer, Opening, Preface
from antiphon.ports.tool import Opener, Tool, UnservedError
from antiphon.wire.errors import AntiphonError, InvalidRequestError
from antiphon.wire.responses import CreateResponse
from antiphon.wire.tools import NamedChoice, armed
from antiphon.wire.tools import Tool as ToolConfig


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """All that the declarations bring; `tools` by their places."""

    offers: tuple[Offer, ...]
    tools: Mapping[int, tuple[Tool, ToolConfig]]
    warnings: tuple[str, ...]
    prefaces: tuple[Preface, ...]
    approved: tuple[Approved, ...]


async def declare(
    served: Mapping[str, Tool], project: str, request: CreateResponse, configs: Sequence[ToolConfig], past: Past
) -> Declared:
    """Ask the tools. `configs` are the request's own tools and those that its context adds. InvalidRequestError names
    the place; AuthenticationError where a server wants to know who asks and nothing else can be done."""
    unarmed(configs[len(request.tools) :], "input")
    found = await _openings(served, project, configs, past)
    own: list[Offer] = []
    added: list[Offer] = []
    tools: dict[int, tuple[Tool, ToolConfig]] = {}
    warnings: list[str] = []
    openings: list[Opening] = []
    for place, (config, opening) in enumerate(zip(configs, found, strict=True)):
        at = f"tools[{place}]" if place < len(request.tools) else "input"
        if isinstance(opening, UnservedError):
            kind = tool_type(config)
            if isinstance(request.tool_choice, NamedChoice) and request.tool_choice.type == kind:
                raise InvalidRequestError(str(opening), param=f"{at}.type", code="unsupported_value") from None
            warnings.append(f"{at} was ignored: {opening}")
            continue
        tools[place] = (served[tool_type(config)], config)
        openings.append(opening)
        warnings += opening.warnings
        if place >= len(request.tools):
            added += opening.offers
            continue
        for offer in opening.offers:
            if any(known.name == offer.name for known in own):
                raise InvalidRequestError(f"Two tools are named '{offer.name}'.", param=at, code="invalid_value")
            own.append(offer)
    offers = tuple(combined(own, added))
    approved = tuple(each for opening in openings for each in opening.approved)
    _answered(past, approved)
    refused: AntiphonError | None = next((opening.refused for opening in openings if opening.refused), None)
    if refused is not None and not offers and not approved:
        raise refused
    prefaces = tuple(preface for opening in openings for preface in opening.prefaces)
    return Declared(offers=offers, tools=tools, warnings=tuple(warnings), prefaces=prefaces, approved=approved)


async def _openings(
    served: Mapping[str, Tool], project: str, configs: Sequence[ToolConfig], past: Past
) -> list[Opening | UnservedError]:
    """What each declaration brings; those that reach for a server do so together."""

    async def opened(place: int, config: ToolConfig) -> Opening | UnservedError:
        kind = tool_type(config)
        tool = served.get(kind)
        if tool is None:
            return UnservedError(f"Tools of type '{kind}' are not served here.")
        try:
            if isinstance(tool, Opener):
                return await tool.open(project, config, place, past)
            return Opening(tuple(await tool.offers(project, config, place)))
        except UnservedError as error:
            return error

    wanted = [opened(place, config) for place, config in enumerate(configs)]
    if not any(isinstance(served.get(tool_type(config)), Opener) for config in configs):
        return [await each for each in wanted]
    results: list[Opening | UnservedError] = []
    for found in await asyncio.gather(*wanted, return_exceptions=True):
        if not isinstance(found, Opening | UnservedError):
            raise found
        results.append(found)
    return results


def _answered(past: Past, taken: Sequence[Approved]) -> None:
    """Every approved call is somebody's."""
    ids = {each.request_id for each in taken}
    for request in past.approved:
        if request.id not in ids:
            raise InvalidRequestError(
                f"The approved call '{request.id}' is of the server '{request.server_label}', which is not in 'tools'.",
                param="tools",
                code="invalid_value",
            )


def unarmed(added: Sequence[ToolConfig], param: str) -> None:
    """What stands in items is stored, and holds no credentials: InvalidRequestError."""
    if any(map(armed, added)):
        raise InvalidRequestError(
            "Credentials cannot be given in an item, which is kept; declare the server in 'tools'.",
            param=param,
            code="invalid_value",
        )
