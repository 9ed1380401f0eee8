"""For the tests of applications: a pytest plugin, scripted answers, readable differences. docs/pytest.md teaches it."""

from __future__ import annotations

from antiphon.testing.outline import differences, outline

__all__ = ["differences", "outline"]
