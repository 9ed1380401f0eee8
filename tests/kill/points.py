"""The moments at which a fault strikes.

A point is reached by holding the model or a tool at a place; what no place outside of the server shows (inside of a
commit) is met by holding the database's write lock, or by a short seeded wait behind what was seen.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec


class Moment(Enum):
    """How the fault is timed once the place is reached."""

    ACCEPTED = "a wait behind the acknowledgement"
    HELD = "a wait while the place is held"
    FREED = "a wait after the place was let go"
    LOCKED = "while, or a wait after, the write lock kept the next commit waiting"
    STORED = "a wait after an item was found in the database, while the place is held"
    CANCEL = "a wait behind a request to cancel, or while the write lock keeps it waiting"


class Fault(Enum):
    """What strikes."""

    KILL = "SIGKILL"
    PAUSE = "SIGSTOP + SIGCONT"


class Point(msgspec.Struct, frozen=True):
    """`places` by kind of play: where the run is when the fault strikes; `wait`: at most so many seconds."""

    name: str
    moment: Moment
    places: dict[str, tuple[str, ...]]
    wait: float


HALVES: Final = {"text": ("half/0",), "tools": ("half/1",), "both": ("half/0", "half/1", "half/2")}
CALLS: Final = {"tools": ("last/0",), "both": ("last/0", "last/1")}
RUNNING: Final = {"tools": ("tool/a", "tool/b"), "both": ("tool/a", "tool/b")}
ENDS: Final = {"text": ("last/0",), "tools": ("last/1",), "both": ("last/2",)}

POINTS: Final = (
    Point("after accept", Moment.ACCEPTED, {"text": ("",), "tools": ("",), "both": ("",)}, 0.03),
    Point(
        "before a model call",
        Moment.HELD,
        {"text": ("asked/0",), "tools": ("asked/0",), "both": ("asked/0",)},
        0.12,
    ),
    Point("after a model call", Moment.FREED, {"tools": ("last/0", "last/1"), "both": ("last/0", "last/1")}, 0.02),
    Point("mid-stream", Moment.HELD, HALVES, 0.15),
    Point("after an item's commit", Moment.STORED, {"both": ("spoke/0", "spoke/1")}, 0.02),
    Point("before a tool", Moment.LOCKED, CALLS, 0.06),
    Point("during a tool", Moment.HELD, RUNNING, 0.12),
    Point("after a tool", Moment.HELD, {"tools": ("asked/1",), "both": ("asked/1", "asked/2")}, 0.05),
    Point("before a tool's commit", Moment.LOCKED, RUNNING, 0.06),
    Point("before the terminal event", Moment.LOCKED, ENDS, 0.06),
    Point("during cancel", Moment.CANCEL, {**HALVES, "both": ("half/1", "tool/a", "tool/b", "asked/2")}, 0.15),
)
