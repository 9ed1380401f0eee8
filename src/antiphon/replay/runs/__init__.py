"""Whole runs out of the store: what they were told, told again."""
