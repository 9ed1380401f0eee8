"""Keys that a request brings for the backends of tools: held for its run, never kept."""

from __future__ import annotations

from collections.abc import Mapping

from antiphon.ports.tool import Keyed, Tool
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.tools import Tool as ToolConfig


def keyed(
    tools: Mapping[int, tuple[Tool, ToolConfig]], keys: Mapping[str, str], *, background: bool
) -> Mapping[int, tuple[Tool, ToolConfig]]:
    """The tools with those of the `keys` (by the names of their headers) that are theirs. InvalidRequestError in the
    background: such a run may be taken up by another process, and the key would have to be stored for it."""
    found = dict(tools)
    for place, (tool, config) in tools.items():
        key = keys.get(tool.key_header) if isinstance(tool, Keyed) else None
        if key is None or not isinstance(tool, Keyed):
            continue
        if background:
            words = f"The header '{tool.key_header}' cannot be used in the background: the key would have to be stored."
            raise InvalidRequestError(words, param="background", code="unsupported_value")
        found[place] = (tool.keyed(key), config)
    return found
