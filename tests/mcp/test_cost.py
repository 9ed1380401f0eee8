"""What the tool `mcp` costs those who do not use it, or have used it before."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.mcp.stage import calls, house, items, neighbour, says, tool
from tests.process import DEADLINE, ROOT, serving

FIRST_USE = """
import asyncio, contextlib
from antiphon.adapters.egress.addresses import Rules
from antiphon.adapters.egress.doorway import Doorway
from antiphon.adapters.mcp.pool import McpPool
from antiphon.ports.mcp import McpError, McpServer

async def main():
    pool = McpPool(Doorway(Rules()), Doorway(Rules()))
    asking = asyncio.ensure_future(pool.tools("p", McpServer(url="http://127.0.0.1:9/mcp")))
    rounds = 0
    while not asking.done():
        rounds += 1
        await asyncio.sleep(0.001)
    with contextlib.suppress(McpError):
        await asking
    await pool.close()
    print(rounds)

asyncio.run(main())
"""


async def test_the_sdk_is_not_imported_before_it_is_used(tmp_path: Path) -> None:
    """Not when the server starts, also where the settings name servers."""
    own = '[{"name": "own", "command": ["true"]}]'
    async with serving(tmp_path, variables={"PYTHONPROFILEIMPORTTIME": "1", "ANTIPHON_MCP": own}) as server:
        said = (await server.stop()).err
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert "antiphon.adapters.mcp.pool" in imported
    assert not imported & {"mcp", "httpx2", "antiphon.adapters.mcp.connection"}


async def test_others_go_on_while_the_sdk_is_imported() -> None:
    """In a process that has not imported it: so many times the loop came round meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FIRST_USE), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE):
        said, _ = await process.communicate()
    assert int(said) > 20


async def test_calls_of_one_round_wait_together(tmp_path: Path) -> None:
    """Eight calls that take 200 ms each; one after another they would take 1.6 s."""
    names = [{"name": "lab__sleep", "arguments": {"seconds": 0.2}, "id": f"call_{place}"} for place in range(8)]
    both = {"acts": [{"act": "calls", "calls": names}]}
    async with neighbour() as near, house(tmp_path, calls("sleep", {"seconds": 0}), says(), both, says()) as served:
        await served.create(model="m", input="warm", tools=[tool(near)])
        start = asyncio.get_running_loop().time()
        response = await served.create(model="m", input="x", tools=[tool(near)])
        seconds = asyncio.get_running_loop().time() - start
    assert [item["status"] for item in items(response, "mcp_call")] == ["completed"] * 8
    assert seconds < 1.4
