"""Fixtures that several rooms use."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.upstream import Upstream, running


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream]:
    """A model endpoint on a real port that answers as the test says."""
    async with running() as upstream:
        yield upstream
