"""What a process and its children have used: CPU, memory, disk. Reads /proc, so it needs Linux."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def _read(path: Path) -> str:
    """The text of a file of /proc; empty when its process or thread has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _threads(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except FileNotFoundError:
        return []


class Meter:
    """Meters a process and everything below it."""

    def __init__(self, pid: int) -> None:
        if not (PROC / str(pid) / "schedstat").exists():
            raise SystemExit(f"no schedstat of process {pid}: the bench meters by /proc, which needs Linux")
        self._pid = pid

    def _tree(self) -> list[int]:
        found = [self._pid]
        for pid in found:  # grows while it is read
            found += [int(child) for thread in _threads(pid) for child in _read(thread / "children").split()]
        return found

    def cpu(self) -> float:
        """Seconds of CPU until now, of user and system. The scheduler's nanoseconds, but the ticks of `stat` where
        those say more: the nanoseconds leave out threads that have ended."""
        total = 0.0
        for pid in self._tree():
            # from the third field on: the second, the program's name, may hold blanks
            fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
            user, system, child_user, child_system = (int(field) / TICKS for field in fields[11:15] or "0000")
            exact = sum(int(_read(thread / "schedstat").partition(" ")[0] or 0) for thread in _threads(pid)) / 1e9
            total += (user + system if user + system > exact + 0.05 else exact) + child_user + child_system
        return total

    def rss(self) -> float:
        """Megabytes of memory in use."""
        rows = [line for pid in self._tree() for line in _read(PROC / str(pid) / "smaps_rollup").splitlines()]
        return sum(int(line.split()[1]) for line in rows if line.startswith("Rss:")) / 1024


def disk(folder: Path | None) -> int:
    """Bytes in the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder else 0


def installed(name: str) -> float:
    """Megabytes of a distribution and of all that it needs without extras, as installed here."""
    seen: set[str] = set()
    waiting, size = [name], 0
    while waiting:
        current = canonicalize_name(waiting.pop())
        if current in seen:
            continue
        seen.add(current)
        try:
            found = distribution(current)
        except PackageNotFoundError:
            continue  # for another platform
        paths = (Path(str(path.locate())) for path in found.files or ())
        size += sum(path.stat().st_size for path in paths if path.is_file())
        needed = (Requirement(line) for line in found.requires or ())
        waiting += [entry.name for entry in needed if entry.marker is None or entry.marker.evaluate({"extra": ""})]
    return size / 1e6
