"""Sessions with MCP servers, on the official SDK."""
