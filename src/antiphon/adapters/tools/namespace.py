"""The tool `namespace`: functions and custom tools of the client under one name.

Each member is shown as a function `namespace__member`; a call of it goes to the client under the member's own name,
with its `namespace`.
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.adapters.tools.custom import offer_of
from antiphon.core.effects import Offer
from antiphon.core.forms import FunctionForm
from antiphon.core.recall import flattened
from antiphon.wire.tools import CustomTool, FunctionTool, NamespaceTool
from antiphon.wire.tools import Tool as ToolConfig


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function for each member."""
    if not isinstance(config, NamespaceTool):
        return ()
    return tuple(_member(config, member, place) for member in config.tools)


def _member(space: NamespaceTool, member: FunctionTool | CustomTool, place: int) -> Offer:
    if isinstance(member, CustomTool):
        return offer_of(member, place, space.name)
    return Offer(
        name=flattened(space.name, member.name),
        description=member.description or space.description or None,
        parameters=member.parameters,
        strict=member.strict,
        tool=place,
        form=FunctionForm(member.name, space.name),
        kind="function",
        member=member.name,
        deferred=member.defer_loading is True,
    )


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("namespace", offering=offered)
