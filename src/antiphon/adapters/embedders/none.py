"""No embedder: vector stores are searched by keywords only, and say so."""

from __future__ import annotations

from antiphon.adapters.parts import Parts, Plain


def make(config: Plain, parts: Parts) -> None:
    """The adapter of kind `none`: there is none."""
    del config, parts
