"""Stores: one file for each kind, with its settings and its `make(config, parts)`."""
