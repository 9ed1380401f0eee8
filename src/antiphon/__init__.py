"""A self-hosted, OpenAI-compatible agent server."""
