"""The tool `tool_search`, when the client runs it: the model asks for tools that are not shown to it yet.

While it is offered, whatever has `defer_loading` is not shown. The client answers with definitions
(`tool_search_output`), which are offered from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.adapters.client import ClientTool
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.effects import Offer, Place
from antiphon.core.forms import Stage, Whole, parsed
from antiphon.core.recall import TOOL_SEARCH
from antiphon.ports.tool import UnservedError
from antiphon.wire.items import Item, ToolSearchCall
from antiphon.wire.tools import Tool as ToolConfig
from antiphon.wire.tools import ToolSearchTool

DESCRIPTION: Final = (
    "Look for further tools. More tools exist than are listed here; describe in a few words what you want to do, and "
    "the tools that fit can be called in the next step."
)
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tool should be able to do."}},
    "required": ["query"],
}


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any], strict=False)


def _read(arguments: str) -> dict[str, Any]:
    return parsed(arguments, _OBJECT)


def _item(at: Place, arguments: dict[str, Any], stage: Stage) -> Item:
    return ToolSearchCall(id=at.item_id, call_id=at.call_id, execution="client", arguments=arguments, status=stage)


FORM: Final = Whole("tsc_", _read, _item)


def offered(config: ToolConfig, place: int) -> Sequence[Offer]:
    """One function `tool_search`, described as the request describes it."""
    if not isinstance(config, ToolSearchTool):
        return ()
    if config.execution != "client":
        raise UnservedError("A tool search by the server is not served here; deferred tools are shown at once.")
    return (
        Offer(
            name=TOOL_SEARCH,
            description=config.description or DESCRIPTION,
            parameters=config.parameters or PARAMETERS,
            tool=place,
            form=FORM,
            loads=True,
        ),
    )


def make(config: Plain, parts: Parts) -> ClientTool:
    """Always served."""
    del config, parts
    return ClientTool("tool_search", offering=offered)
