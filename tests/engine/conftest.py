"""A library for the tests of ingestion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.engine.library import Library, library


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncGenerator[Library]:
    async with asyncio.timeout(30), library(tmp_path) as made:
        yield made
