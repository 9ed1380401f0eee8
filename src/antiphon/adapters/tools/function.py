"""The tool `function`: shown to the model as the request describes it, and called by a `function_call`."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer
from antiphon.wire.tools import FunctionTool
from antiphon.wire.tools import Tool as ToolConfig


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """The one function."""
    if not isinstance(config, FunctionTool):
        return ()
    return (
        Offer(
            name=config.name,
            description=config.description,
            parameters=config.parameters,
            strict=config.strict,
            tool=place,
            deferred=config.defer_loading is True,
        ),
    )


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("function", offering=offered)
