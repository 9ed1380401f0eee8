"""Two agents: one that talks to the user, and one that it asks as a tool.

antiphon serve
OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=... MODEL=... python examples/two_agents.py [QUESTION]
"""

from __future__ import annotations

import os
import sys

from openai import OpenAI

from antiphon.agent import Agent, AgentEventLogger, agent_tool

LOGBOOK = "3 May: the lamp was cleaned. 4 May: a storm; the lamp burned all night. 5 May: 12 litres of oil came."


def main(question: str = "When was the storm? Ask the archivist.") -> None:
    """Ask the keeper."""
    client, model = OpenAI(), os.environ.get("MODEL", "antiphon-extractive")
    archivist = Agent(client, model=model, instructions=f"You answer from this log, and from nothing else. {LOGBOOK}")
    keeper = Agent(
        client,
        model=model,
        instructions="You are the keeper of a lighthouse. You do not remember anything: ask the archivist.",
        tools=[agent_tool(archivist, "ask_archivist", "What stands in the log of the lighthouse.")],
    )
    for line in AgentEventLogger().log(keeper.create_turn(question, keeper.create_session("lighthouse"))):
        print(line, end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
