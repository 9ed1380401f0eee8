"""What the store in plain dicts holds."""
