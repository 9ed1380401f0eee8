"""The bounds of a run and of the process (docs/architecture.md, "Bounds"). All have a setting."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    rounds: int = 64
    """Generations in one run."""
    run_seconds: float = 3600.0
    """How long a foreground run may take."""
    background_runs: int = 32
    """Background runs at once in this process; the rest wait."""
    background_runs_project: int = 8
    """Background runs of one project at once, over all processes."""
    background_seconds: float = 24 * 3600.0
    """How long a background run may take."""
    recoveries: int = 5
    """How often a background run is taken up again after its process died; then it fails."""
    lease: float = 10.0
    """Seconds for which a process holds a background run without a sign of life."""
    live_runs: int = 2000
    """Runs at once in this process."""
    live_runs_project: int = 500
    """Runs at once of one project."""
    items: int = 10_000
    """Output items of one response."""
    events: int = 1_000_000
    """Events of one response."""
    tool_output: int = 256 * 1024
    """How much of a tool's output the model is given; what is cut is said."""
    parallel_tools: int = 16
    """Server-side tool calls of one round that run at once."""
    journal: int = 1024 * 1024
    """Encoded events that a run keeps for a follower that lags; then the run waits for it."""
