"""Which of the offered tools a request lets the model call, and which it must."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from antiphon.core.effects import Entry, Offer
from antiphon.wire.codec import Unknown, encode
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.items import AdditionalTools, ToolSearchOutput
from antiphon.wire.parsing import parse_tools
from antiphon.wire.tools import AllowedTools, NamedChoice, Tool, ToolChoice

FAMILIES: Final = ("web_search", "computer")
"""Tools that go by several dated and preview names."""
_NAMED: Final = frozenset({"function", "custom"})


def tool_type(tool: Tool) -> str:
    """The `type` of an entry of `request.tools`."""
    if isinstance(tool, Unknown):
        return tool.type
    declared = getattr(tool, "type", None)
    return declared if isinstance(declared, str) else str(tool.__struct_config__.tag)


def declared(tools: Sequence[Tool], context: Sequence[Entry], param: str = "input") -> tuple[Tool, ...]:
    """All that a request declares: its own tools, then those that its context (`param`) adds: found by a search, which
    ends their being deferred, or given as `additional_tools`. Raises InvalidRequestError."""
    added: list[Tool] = []
    for entry in context:
        item = entry.item
        if isinstance(item, ToolSearchOutput):
            added += parse_tools([encode(_loaded(tool)) for tool in item.tools], f"{param}.tools")
        elif isinstance(item, AdditionalTools):
            added += parse_tools([encode(tool) for tool in item.tools], f"{param}.tools")
    return (*tools, *added)


def _loaded(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The definition, and those that it holds, not deferred any more."""
    loaded = {key: value for key, value in tool.items() if key != "defer_loading"}
    if isinstance(members := loaded.get("tools"), list):
        known = cast("list[object]", members)
        loaded["tools"] = [_loaded(cast("dict[str, Any]", m)) if isinstance(m, dict) else m for m in known]
    return loaded


def combined(own: Sequence[Offer], added: Sequence[Offer]) -> list[Offer]:
    """The request's own offers and those of its context. A name is offered once: the newest definition of the context
    ends what was deferred, but does not replace what is offered anyway."""
    newest = {offer.name: offer for offer in added}
    kept = [offer for offer in own if not (offer.deferred and offer.name in newest)]
    names = {offer.name for offer in kept}
    return [*kept, *(offer for offer in newest.values() if offer.name not in names)]


def chosen(choice: ToolChoice, offers: Sequence[Offer], tools: Sequence[Tool]) -> tuple[tuple[Offer, ...], ToolChoice]:
    """The offers that stay and the choice among them, in functions only: a hosted type becomes the function it offers,
    `allowed_tools` leaves nothing else to call (a hard limit, Open Responses). `tools` is what the request declares."""
    if isinstance(choice, AllowedTools):
        kept = tuple(offer for offer in offers if any(_meant(allowed, offer, tools) for allowed in choice.tools))
        if not kept:
            raise InvalidRequestError("None of the allowed tools is offered in 'tools'.", param="tool_choice")
        return _shown(kept), choice.mode
    if isinstance(choice, NamedChoice):
        named = {"type": choice.type}
        if isinstance(choice.name, str):
            named["name"] = choice.name
        if isinstance(choice.server_label, str):
            named["server_label"] = choice.server_label
        meant = [offer for offer in offers if _meant(named, offer, tools)]
        if len(meant) > 1 and "server_label" in named:
            return _shown(meant), "required"  # any of that server's
        if meant:
            offer = next((offer for offer in meant if offer.name == choice.name), meant[0])
            return _shown(offers, offer), NamedChoice(type="function", name=offer.name)
        what = choice.name if isinstance(choice.name, str) else choice.type
        raise InvalidRequestError(f"Tool choice '{what}' not found in 'tools' parameter.", param="tool_choice")
    if choice == "required" and not offers:
        raise InvalidRequestError(
            "Tool choice 'required' needs at least one tool that this server offers.", param="tool_choice"
        )
    return _shown(offers), choice


def _shown(offers: Sequence[Offer], forced: Offer | None = None) -> tuple[Offer, ...]:
    """The offers without those that are deferred, where the client can look for them. Otherwise nobody would ever find
    them, and they are shown."""
    if not any(offer.loads for offer in offers):
        return tuple(offers)
    return tuple(offer for offer in offers if not offer.deferred or offer is forced)


def _meant(named: Mapping[str, Any], offer: Offer, tools: Sequence[Tool]) -> bool:
    """Whether this entry of a choice means the offer: by name for functions and custom tools, also as members of a
    namespace; by type for all others, whose dated and preview names are one."""
    kind = str(named.get("type", ""))
    tool = tools[offer.tool]
    if "server_label" in named:
        known = kind == tool_type(tool) and named["server_label"] == offer.server
        return known and named.get("name") in {None, offer.member, offer.name}
    if kind == tool_type(tool) and named.get("name") == getattr(tool, "name", named):
        return True
    if "name" in named and kind in _NAMED:
        return kind == (offer.kind or tool_type(tool)) and named["name"] in {offer.name, offer.member}
    return _family(kind) == _family(offer.kind or tool_type(tool))


def _family(kind: str) -> str:
    return next((family for family in FAMILIES if kind.startswith(family)), kind)
