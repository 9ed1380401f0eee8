"""The quickstart: an agent that answers from a document on the web, asked two questions in one session.

    antiphon serve
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none python examples/quickstart.py [URL QUESTION...]

MODEL names another model than the built-in one.
"""

from __future__ import annotations

import os
import sys
import urllib.request

from openai import OpenAI

from antiphon.agent import Agent, AgentEventLogger

URL = "https://www.rfc-editor.org/rfc/rfc1149.txt"
QUESTIONS = ["What carries the datagrams?", "On what is the datagram printed?"]


def main(url: str = URL, *questions: str) -> None:
    """Read the document, then answer."""
    client = OpenAI()
    with urllib.request.urlopen(url) as page:
        document = page.read()
    store = client.vector_stores.create(name="quickstart")
    name = url.rpartition("/")[2]
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, document))
    if file.status != "completed":
        sys.exit(f"{name} could not be read: {file.last_error}")

    agent = Agent(
        client,
        model=os.environ.get("MODEL", "antiphon-extractive"),
        instructions="Answer from the document.",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
    )
    session_id = agent.create_session("quickstart")
    for question in questions or QUESTIONS:
        print(f"\n> {question}")
        for line in AgentEventLogger().log(agent.create_turn(question, session_id)):
            print(line, end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
