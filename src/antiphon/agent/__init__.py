"""The agent library: not built yet."""
