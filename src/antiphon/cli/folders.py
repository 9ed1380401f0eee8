"""The files that a user means by a path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOST: Final = 2000
"""Files that one question, or one command, may be about."""
SKIPPED: Final = frozenset({"node_modules", "__pycache__", "venv"})
"""Folders that are passed over, as hidden ones are."""


def below(given: Path) -> Iterator[Path]:
    """The file, or all files below the folder that are not hidden."""
    if given.is_file():
        yield given
        return
    for folder, inside, names in os.walk(given):
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name not in SKIPPED)
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
