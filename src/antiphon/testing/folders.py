"""The folder that a test records in, and the cassette that comes of it.

Law: a cassette that belongs to one test is replaced as a whole, and only when the test has passed: a test that fails
half-way leaves what was there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from antiphon.testing.marks import Recording

RULES: Final = "cassette.toml"


@dataclass(frozen=True)
class Folders:
    """`cassette` is the test's; `used` what the server is given, the same or a new folder beside the test's data.
    `setting` is the one of `[cassette]` that it is given as."""

    cassette: Path
    used: Path
    setting: str

    @property
    def replays(self) -> bool:
        """Whether nothing is recorded."""
        return self.setting == "replay"

    def keep(self) -> None:
        """Let what was recorded take the cassette's place, where it was recorded elsewhere."""
        if self.used == self.cassette or self.replays:
            return
        recorded = exchanges(self.used)
        if not recorded and not self.cassette.is_dir():
            return
        self.cassette.mkdir(parents=True, exist_ok=True)
        for name in exchanges(self.cassette):
            (self.cassette / name).unlink(missing_ok=True)
        for name in recorded:
            shutil.move(self.used / name, self.cassette / name)


def folders(cassette: Path, recording: Recording, spare: Path, *, own: bool) -> Folders | None:
    """Where a test records or replays; None: it does neither. `spare` is a new folder; `own`: no other test uses the
    cassette."""
    if recording is Recording.OFF:
        return None
    held = exchanges(cassette)
    if recording is Recording.NEW:
        return Folders(cassette, cassette, "replay_or_record")
    if recording is Recording.ALL or (recording is Recording.ONCE and not held):
        if not own:
            return Folders(cassette, cassette, "record")
        if (cassette / RULES).is_file():
            shutil.copy(cassette / RULES, spare / RULES)
        return Folders(cassette, spare, "record")
    return Folders(cassette, cassette if cassette.is_dir() else spare, "replay")


def exchanges(folder: Path) -> Sequence[str]:
    """The names of the exchanges in a folder."""
    return sorted(path.name for path in folder.glob("*-*-*.json")) if folder.is_dir() else []
