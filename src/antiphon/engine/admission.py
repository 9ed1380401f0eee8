"""How many runs this process takes at once: of all projects, and of one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from antiphon.core.limits import Limits
from antiphon.wire.errors import OverloadedError


class Admission:
    """Counts the runs that are being started or are live."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = 0
        self._by_project: dict[str, int] = {}

    @contextmanager
    def place(self, project: str) -> Generator[None]:
        """A place for one run, until it is left. OverloadedError when there is none."""
        here = self._by_project.get(project, 0)
        if self._all >= self._limits.live_runs:
            raise OverloadedError("The server has no room for another run; try again.", retry_after=1)
        if here >= self._limits.live_runs_project:
            raise OverloadedError("This project has too many runs at once; try again.", retry_after=1)
        self._all += 1
        self._by_project[project] = here + 1
        try:
            yield
        finally:
            self._all -= 1
            left = self._by_project.pop(project) - 1
            if left:
                self._by_project[project] = left
