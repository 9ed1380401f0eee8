"""Which of the offered tools a request lets the model call, and which it must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.core.effects import Offer
from antiphon.wire.codec import Unknown
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.tools import AllowedTools, NamedChoice, Tool, ToolChoice


def tool_type(tool: Tool) -> str:
    """The `type` of an entry of `request.tools`."""
    if isinstance(tool, Unknown):
        return tool.type
    declared = getattr(tool, "type", None)
    return declared if isinstance(declared, str) else str(tool.__struct_config__.tag)


def chosen(choice: ToolChoice, offers: Sequence[Offer], tools: Sequence[Tool]) -> tuple[tuple[Offer, ...], ToolChoice]:
    """The offers that stay and the choice among them, in functions only: a hosted type becomes the function it offers,
    `allowed_tools` leaves nothing else to call (a hard limit, Open Responses)."""
    if isinstance(choice, AllowedTools):
        kept = tuple(offer for offer in offers if any(_meant(allowed, offer, tools) for allowed in choice.tools))
        if not kept:
            raise InvalidRequestError("None of the allowed tools is offered in 'tools'.", param="tool_choice")
        return kept, choice.mode
    if isinstance(choice, NamedChoice):
        named = {"type": choice.type}
        if isinstance(choice.name, str):
            named["name"] = choice.name
        for offer in offers:
            if _meant(named, offer, tools):
                return tuple(offers), NamedChoice(type="function", name=offer.name)
        what = choice.name if isinstance(choice.name, str) else choice.type
        raise InvalidRequestError(f"Tool choice '{what}' not found in 'tools' parameter.", param="tool_choice")
    if choice == "required" and not offers:
        raise InvalidRequestError(
            "Tool choice 'required' needs at least one tool that this server offers.", param="tool_choice"
        )
    return tuple(offers), choice


def _meant(named: dict[str, Any], offer: Offer, tools: Sequence[Tool]) -> bool:
    """Whether this entry of a choice means the offer: by name for functions, by type for hosted tools, whose dated and
    preview names are one."""
    kind = str(named.get("type", ""))
    declared = tool_type(tools[offer.tool])
    if "name" in named and kind in {"function", "custom"}:
        return kind == declared and named["name"] == offer.name
    return _family(kind) == _family(declared)


def _family(kind: str) -> str:
    return "web_search" if kind.startswith("web_search") else kind
