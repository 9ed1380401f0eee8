"""Kinds of index: what vector stores are searched in."""
