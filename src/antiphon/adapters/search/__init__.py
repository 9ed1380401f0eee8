"""Backends of web search, one file each."""
