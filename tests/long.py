"""The one switch of all slow suites.

`ANTIPHON_LONG=1` runs them at full length, a fraction at that share of it (`0.2`: a fifth); unset, they run short.
"""

from __future__ import annotations

import os
from typing import Final

LONG: Final = float(os.environ.get("ANTIPHON_LONG") or 0)
"""The share of the full length, 0 in the short mode."""


def amount(short: int, full: int) -> int:
    """How many of something a suite does: `full` in the long mode, never fewer than `short`."""
    return max(short, round(full * LONG))
