"""What Antiphon does, in a minute and without a key: run by `make demo`.

Starts a server on a free port and talks to it through the official `openai` client: a conversation about a file of
this repository, a function that this program runs, a restart that forgets nothing, and, where recordings are at hand,
recorded gpt-4o output with a web search that the server makes by itself. In between, the turn people come for: the
documentation of this project and a PDF become a vector store, and the answers say which file they rest on. Exits with 0
only if every check held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from openai import OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "examples" / "lighthouse.md"
GENERATED = {"cli.md", "compatibility.md", "settings.md"}
LIBRARY = (
    ROOT / "examples" / "tide-mill.pdf",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in GENERATED),
)
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a city",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
COLOUR = sys.stdout.isatty()


def styled(text: str, code: int) -> str:
    """The text in a terminal's colour, where there is a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Checks:
    """What was expected, and what did not hold."""

    def __init__(self) -> None:
        self.held = 0
        self.failed: list[str] = []

    def expect(self, holds: bool, words: str) -> None:
        """Note whether it holds, and print it."""
        if holds:
            self.held += 1
            print(styled(f"    ok  {words}", 32))
        else:
            self.failed.append(words)
            print(styled(f"    NOT {words}", 31))


@contextlib.contextmanager
def server(data: Path, *flags: str) -> Generator[OpenAI]:
    """A server of this checkout on a free port, and a client of it."""
    command = [sys.executable, "-m", "antiphon", "serve", "--port", "0", "--data", str(data), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=data)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        if found is None:
            raise SystemExit(f"the server did not start: {first or 'no output'}")
        with OpenAI(base_url=f"{found[0]}/v1", api_key="unused", timeout=60, max_retries=0) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)


def shown(events: Any, checks: Checks) -> Response:
    """Print a stream as it comes, check its order, and give its final response."""
    kinds: list[str] = []
    numbers: list[int] = []
    text = ""
    final: Response | None = None
    for event in events:
        kinds.append(event.type)
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            if not text:
                print("  model> ", end="")
            text += event.delta
            print(event.delta, end="", flush=True)
        elif event.type.endswith("_call.searching"):
            place = "the files" if "file_search" in event.type else "the web"
            print(styled(f"  the server searches {place} ...", 36))
        elif event.type in {"response.completed", "response.incomplete", "response.failed"}:
            final = event.response
    print()
    tail = ["response.completed"]
    legal = kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1:] == tail
    checks.expect(legal and numbers == list(range(len(numbers))), f"{len(kinds)} events in legal order, no gap")
    if final is None:
        raise SystemExit("the stream had no end")
    checks.expect(final.output_text.endswith(text), "the final text is what was streamed")
    return final


def asks(client: OpenAI, checks: Checks, model: str, prompt: Any, **options: Any) -> Response:
    """One streamed turn."""
    question = prompt if isinstance(prompt, str) else prompt[-1]["content"][-1]["text"]
    print(f"  you>   {question}")
    return shown(client.responses.create(model=model, input=prompt, stream=True, **options), checks)


def about_a_file(client: OpenAI, checks: Checks, model: str) -> Response:
    """Two streamed turns about a text of this repository, in a conversation that the server keeps."""
    print(styled(f"\nA conversation with {model} about {DOCUMENT.relative_to(ROOT)}", 1))
    conversation = client.conversations.create()
    given = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": DOCUMENT.read_text(encoding="utf-8")},
                {"type": "input_text", "text": "How tall is the tower?"},
            ],
        }
    ]
    first = asks(client, checks, model, given, conversation=conversation.id)
    checks.expect("41 metres" in first.output_text, "the answer was found in the file")
    second = asks(client, checks, model, "And who was the last keeper?", conversation=conversation.id)
    checks.expect("Ingrid Vale" in second.output_text, "the second turn still knows the file")
    kept = client.conversations.items.list(conversation.id, order="asc").data
    roles = [getattr(item, "role", item.type) for item in kept]
    checks.expect(roles == ["user", "assistant"] * 2, "the server keeps both turns: " + ", ".join(map(str, roles)))
    return second


def about_documents(client: OpenAI, checks: Checks, model: str) -> None:
    """Questions about many files, answered from a vector store, with citations that lead back to the files."""
    print(styled(f"\nA vector store of {len(LIBRARY)} files: docs/*.md and a PDF", 1))
    store = client.vector_stores.create(name="demo")
    started = time.monotonic()
    files = [client.files.create(file=path, purpose="assistants") for path in LIBRARY]
    entries: Any = [{"file_id": file.id, "attributes": {"kind": Path(file.filename).suffix}} for file in files]
    client.vector_stores.file_batches.create_and_poll(store.id, files=entries, poll_interval_ms=100)
    store = client.vector_stores.retrieve(store.id)
    made = getattr(store, "embedding_model", None)
    searched = f"by keywords and vectors of {made}" if made else "by keywords (no embedding model is installed)"
    print(f"  read in {time.monotonic() - started:.1f} s, searched {searched}")
    checks.expect(store.file_counts.completed == len(LIBRARY), f"all {len(LIBRARY)} files were read")
    search: Any = {"type": "file_search", "vector_store_ids": [store.id]}
    mill = asks(client, checks, model, "How wide across is the wheel of the tide mill?", tools=[search])
    checks.expect("5.2 metres" in mill.output_text, "the answer was found in the PDF")
    cited(client, checks, mill, "tide-mill.pdf")
    only: Any = {**search, "filters": {"type": "eq", "key": "kind", "value": ".md"}}
    ours = asks(client, checks, model, "What is the journal of a run?", tools=[only])
    cited(client, checks, ours, ".md")


def cited(client: OpenAI, checks: Checks, answer: Response, name: str) -> None:
    """Print the files that the answer cites; one of them is called so."""
    parts = [part for item in answer.output if item.type == "message" for part in item.content]
    notes = [note for part in parts if part.type == "output_text" for note in part.annotations]
    names = {client.files.retrieve(note.file_id).filename for note in notes if note.type == "file_citation"}
    for found in sorted(names):
        print(styled(f"  source: {found}", 36))
    resolved = any(found.endswith(name) for found in names) and "<|" not in answer.output_text
    checks.expect(resolved, f"the citation leads to {name}")


def with_a_function(client: OpenAI, checks: Checks, model: str) -> None:
    """A turn in which the model asks this program for something."""
    print(styled("\nA function that this program runs", 1))
    print("  you>   What is the weather in Paris?")
    asked = client.responses.create(model=model, input="What is the weather in Paris?", tools=[WEATHER])
    calls = [item for item in asked.output if isinstance(item, ResponseFunctionToolCall)]
    checks.expect(len(calls) == 1, "the model asks for one call")
    if not calls:
        return
    call = calls[0]
    print(styled(f"  the model calls {call.name}({call.arguments})", 36))
    checks.expect(json.loads(call.arguments) == {"city": "Paris"}, "with the city read from the question")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny, 21 degrees"}
    answer = client.responses.create(model=model, previous_response_id=asked.id, input=[result], tools=[WEATHER])
    print(f"  model> {answer.output_text}")
    checks.expect("21 degrees" in answer.output_text, "the answer uses what the function gave")


def after_a_restart(client: OpenAI, checks: Checks, before: Response) -> None:
    """What was stored is still there."""
    print(styled("\nThe server was stopped and started again", 1))
    checks.expect(client.responses.retrieve(before.id) == before, "it still has the response, equal in every field")


def recorded(checks: Checks, recordings: Path, data: Path) -> None:
    """Real gpt-4o output, replayed where the model stands; everything else is the server's own work."""
    flags = ("--recordings", str(recordings), "--case")
    print(styled("\nA recorded conversation with gpt-4o", 1))
    with server(data, *flags, "test_conversation_multi_turn_and_streaming[txt=openai/gpt-4o]") as client:
        conversation = client.conversations.create()
        hello = asks(client, checks, "recorded/gpt-4o", "Say hello", conversation=conversation.id)
        checks.expect("hello" in hello.output_text.lower(), "it says hello")
        goodbye = asks(client, checks, "recorded/gpt-4o", "Say goodbye", conversation=conversation.id)
        checks.expect("goodbye" in goodbye.output_text.lower(), "it says goodbye, knowing the turn before")
    print(styled("\nA recorded question to gpt-4o, with a web search that the server makes", 1))
    with server(data, *flags, "test_response_non_streaming_web_search[openai_client-txt=openai/gpt-4o-llama") as client:
        question = "How many experts does the Llama 4 Maverick model have?"
        answer = asks(client, checks, "recorded/gpt-4o", question, tools=[{"type": "web_search"}])
        checks.expect([item.type for item in answer.output] == ["web_search_call", "message"], "one search, one answer")
        checks.expect("128" in answer.output_text, "the answer is in it: 128")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it all; 0 if every check held."""
    parser = argparse.ArgumentParser(description=__doc__)
    words = "a folder of recorded exchanges (default: ../shared/recordings)"
    parser.add_argument("--recordings", type=Path, help=words)
    chosen = parser.parse_args(arguments)
    recordings = chosen.recordings or ROOT.parent / "shared" / "recordings"
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with server(data) as client:
            models = client.models.list().data
            builtin = next(model.id for model in models if model.owned_by == "antiphon")
            last = about_a_file(client, checks, builtin)
            about_documents(client, checks, builtin)
            with_a_function(client, checks, builtin)
            for real in [model.id for model in models if model.owned_by != "antiphon"][:1]:
                about_a_file(client, checks, real)
        with server(data) as client:
            after_a_restart(client, checks, last)
        if recordings.is_dir():
            recorded(checks, recordings.resolve(), data)
        else:
            print(f"\nNo recordings at {recordings}: the recorded conversations are left out.")
    print(f"\n{checks.held} checks held, {len(checks.failed)} did not.")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
