"""A tool of an MCP server that runs only when somebody allows it.

The MCP server is this program's own, on this machine: the agent server has to be told that it may go there.

    ANTIPHON_EGRESS_ALLOW=127.0.0.1 antiphon serve
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=... MODEL=... python examples/approvals.py [QUESTION]
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from openai import OpenAI

from antiphon.agent import Agent, AgentEventLogger, Approval

harbour: MCPServer[Any] = MCPServer("harbour")


@harbour.tool()
def book_berth(ship: str, nights: int) -> str:
    """Book a berth for a ship."""
    return f"Berth 7 is booked for the {ship}, {nights} nights."


def listening() -> str:
    """Start the MCP server beside this program; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(harbour.streamable_http_app(), log_level="error"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"


def allowed(asked: Approval) -> bool | str:
    """Ask the user: yes, or the reason of a no."""
    said = input(f"Allow {asked.server_label}.{asked.tool_name}({asked.arguments})? [yes, or why not] ")
    return said == "yes" or said or False


def main(question: str = "Book a berth for the Swallow, two nights.") -> None:
    """Ask the agent."""
    tool = {"type": "mcp", "server_label": "harbour", "server_url": listening(), "require_approval": "always"}
    model = os.environ.get("MODEL", "antiphon-extractive")
    agent = Agent(OpenAI(), model=model, instructions="You are the harbour master.", tools=[tool], approve=allowed)
    for line in AgentEventLogger().log(agent.create_turn(question, agent.create_session("harbour"))):
        print(line, end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
