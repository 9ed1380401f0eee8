"""WebSockets under uvicorn: how they are compressed, and that they are left to finish when the server stops."""

from __future__ import annotations

from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

DEFLATE: Final = ServerPerMessageDeflateFactory(
    server_max_window_bits=10, client_max_window_bits=12, compress_settings={"memLevel": 3}
)
"""Small windows: a socket then takes 26 KB for them instead of 48 KB with uvicorn's own, and deltas, which are alike,
shrink nearly as well."""


class WebSocket(WebSocketsSansIOProtocol):
    """uvicorn's own protocol but for two things."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        if config.ws_per_message_deflate:
            self.conn.available_extensions = [DEFLATE]

    def shutdown(self) -> None:
        """The server stops: uvicorn would close at once. An open socket is closed by the application, as soon as its
        responses have ended."""
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
