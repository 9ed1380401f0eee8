"""The http room: what is served, over ASGI."""
