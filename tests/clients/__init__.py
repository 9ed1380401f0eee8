"""Real clients on a real port."""
