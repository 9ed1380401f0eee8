"""Settings: one TOML file, `ANTIPHON_*` variables and flags (docs/settings.md). Imported by compose and cli only."""

from __future__ import annotations

from antiphon.settings.errors import Problem, SettingsError, dotted, unknown
from antiphon.settings.layers import FILE, MASK, Loaded, Row, load
from antiphon.settings.schema import Key, table
from antiphon.settings.sources import KEY_VARIABLE
from antiphon.settings.tree import Endpoint, Settings

__all__ = [
    "FILE",
    "KEY_VARIABLE",
    "MASK",
    "Endpoint",
    "Key",
    "Loaded",
    "Problem",
    "Row",
    "Settings",
    "SettingsError",
    "dotted",
    "load",
    "table",
    "unknown",
]
