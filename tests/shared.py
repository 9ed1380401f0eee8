"""Where the tests find the shared material: recordings, client requests, OpenAPI documents. It is read, never copied.

`ANTIPHON_SHARED` names the folder; by default it stands beside the checkout. Where it is absent the cases that need it
are skipped and say so; CI sets `CI=true`, and there its absence is a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ANTIPHON_SHARED", Path(__file__).resolve().parents[2] / "shared"))

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir() and not os.environ.get("CI"),
    reason="the shared folder (recordings, specifications) is not beside this checkout",
)
