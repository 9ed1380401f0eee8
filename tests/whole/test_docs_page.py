"""The page at /docs, in a real browser where there is one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from antiphon.http.app import OPERATIONS
from tests.upstream import Upstream
from tests.whole.house import DEADLINE, fast, whole

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000"),
)


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
async def test_the_page_shows_every_operation(tmp_path: Path, upstream: Upstream) -> None:
    async with whole(tmp_path, models=[fast(upstream)]) as served:
        browser = await asyncio.create_subprocess_exec(
            *(str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", f"{served.url}/docs"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(DEADLINE * 2):
            page, _ = await browser.communicate()
    text = page.decode()
    assert 'class="fault"' not in text
    missing = [operation.id for operation in OPERATIONS if f'id="{operation.id}"' not in text]
    assert not missing
