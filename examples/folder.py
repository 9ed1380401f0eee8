"""Questions about a folder of files: read into a vector store, answered with the files that the answer rests on.

    antiphon serve
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none python examples/folder.py FOLDER QUESTION...

MODEL names another model than the built-in one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from openai import OpenAI

from antiphon.agent import Agent, AnnotationDelta, StepProgress, TextDelta


def main(folder: str, *questions: str) -> None:
    """Read the folder, then answer."""
    client = OpenAI()
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    store = client.vector_stores.create(name=folder)
    batch = client.vector_stores.file_batches.upload_and_poll(vector_store_id=store.id, files=files)
    print(f"{batch.file_counts.completed} files read, {batch.file_counts.failed} not")

    agent = Agent(
        client,
        model=os.environ.get("MODEL", "antiphon-extractive"),
        instructions="Answer from the files, and cite them.",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
    )
    session_id = agent.create_session("folder")
    for question in questions:
        print(f"\n> {question}")
        sources: list[str] = []
        for chunk in agent.create_turn(question, session_id):
            match chunk.event:
                case StepProgress(delta=TextDelta(text=text)):
                    print(text, end="", flush=True)
                case StepProgress(delta=AnnotationDelta(annotation=annotation)):
                    sources.append(annotation["filename"])
                case _:
                    pass
        print("\nfrom:", ", ".join(dict.fromkeys(sources)) or "nothing")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
