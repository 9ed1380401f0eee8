"""The command line (docs/cli.md)."""

from __future__ import annotations

from antiphon.cli.app import main

__all__ = ["main"]
