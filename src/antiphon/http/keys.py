"""Keys that a client brings for the backends of tools, in headers `X-Antiphon-...-Key`.

Law: they go to the run of the request (of each request of a WebSocket) and nowhere else.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

_BEGIN: Final = b"x-antiphon-"
_END: Final = b"-key"


def keys(scope: Scope) -> dict[str, str]:
    """The keys by the lower-case names of their headers; empty ones are none."""
    return {
        name.decode("latin-1"): key
        for name, value in scope["headers"]
        if name.startswith(_BEGIN) and name.endswith(_END) and (key := value.decode("latin-1").strip())
    }
