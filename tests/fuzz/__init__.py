"""Bad input of every kind against the whole server."""
