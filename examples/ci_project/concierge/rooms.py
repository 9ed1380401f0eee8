"""What the desk knows."""

from __future__ import annotations

FREE = {"2026-05-01": ["12", "14"], "2026-05-02": []}


def free_rooms(date: str) -> list[str]:
    """The numbers of the rooms that are free on this date (YYYY-MM-DD)."""
    return FREE.get(date, [])
