"""The examples of the agent library, as programs of their own against a real server on a free port."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from openai.resources.responses import Responses

import antiphon
from antiphon.agent import events
from antiphon.agent.options import AgentOptions
from antiphon.wire.responses import JsonSchemaFormat
from tests.mcp.stage import LOOPBACK, neighbour
from tests.process import ROOT, Ended, ended, environ
from tests.site import site
from tests.whole.house import Json, Whole, whole
from tests.whole.scripts import model_of, scripted

SOURCES = str(Path(antiphon.__file__).parents[1])
EXAMPLES = ("quickstart", "folder", "functions", "approvals", "two_agents")
BUILTIN: Json = {"discovery": {"enabled": False, "builtin": True}, "embedder": {"kind": "none"}}


async def example(served: Whole, name: str, *arguments: str, typed: str = "", **variables: str) -> Ended:
    """Run it as its first lines say."""
    return await ran(served, str(ROOT / "examples" / f"{name}.py"), *arguments, typed=typed, **variables)


async def ran(served: Whole, *arguments: str, typed: str = "", **variables: str) -> Ended:
    """A program that talks to this server; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        env=environ(
            Path.home(),
            PYTHONPATH=SOURCES,
            PYTHONUTF8="1",
            OPENAI_BASE_URL=f"{served.url}/v1",
            OPENAI_API_KEY="none",
            **variables,
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(typed.encode())
    process.stdin.close()
    result = await ended(process)
    assert result.code == 0, result.err
    return result


def calls(*named: tuple[str, Any]) -> Json:
    return {"acts": [{"act": "calls", "calls": [{"name": name, "arguments": asked} for name, asked in named]}]}


def says(text: str) -> Json:
    return {"acts": [{"act": "says", "text": text}]}


async def test_the_quickstart_answers_two_questions_from_a_document_on_the_web(tmp_path: Path) -> None:
    questions = ("How tall is the tower?", "Who was the last keeper?")
    async with whole(tmp_path, **BUILTIN) as served, site() as web:
        web.pages["/lighthouse.md"] = ((ROOT / "examples" / "lighthouse.md").read_bytes(), "text/markdown")
        told = await example(served, "quickstart", web.at("/lighthouse.md"), *questions)
    assert told.out.count("🔧 Executing file_search (server-side)...") == 2
    first, second = told.out.split("\n> ")[1:]
    assert "The tower is 41 metres tall" in first
    assert "Ingrid Vale" in second
    assert told.out.count("[lighthouse.md]") >= 2


async def test_a_folder_is_asked_and_the_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "mill.md").write_text("The wheel of the mill is 5.2 metres across.", "utf-8")
    (folder / "deep" / "harbour.md").write_text("The harbour of Orrin has 12 berths.", "utf-8")
    questions = ("How many berths has the harbour?", "How wide across is the wheel?")
    async with whole(tmp_path / "state", **BUILTIN) as served:
        told = await example(served, "folder", str(folder), *questions)
    assert "2 files read, 0 not" in told.out
    assert "12 berths.\nfrom: harbour.md" in told.out
    assert "5.2 metres across.\nfrom: mill.md" in told.out


async def test_functions_are_called_and_the_output_has_its_type(tmp_path: Path) -> None:
    steps = [
        calls(("stock", {"article": "rope"}), ("price", {"article": "rope"})),
        says('{"article": "rope", "in_stock": 3, "price": 7.0}'),
    ]
    async with whole(tmp_path, **scripted(*steps)) as served:
        told = await example(served, "functions", MODEL="m")
        assert "rope: 3 in stock at 7.00\n(3 steps" in told.out
        assert isinstance(model_of(served).asked[1].request.text.format, JsonSchemaFormat)


async def test_a_call_of_an_mcp_server_waits_for_the_user(tmp_path: Path) -> None:
    steps = [calls(("harbour__book_berth", {"ship": "Swallow", "nights": 2})), says("Berth 7 it is.")]
    async with whole(tmp_path, egress=LOOPBACK, **scripted(*steps)) as served:
        told = await example(served, "approvals", typed="yes\n", MODEL="m")
    assert "Allow harbour.book_berth(" in told.out
    assert "→ book_berth: Berth 7 is booked for the Swallow, 2 nights." in told.out
    assert told.out.endswith("Berth 7 it is.\n")


async def test_a_call_that_the_user_denies_is_not_made(tmp_path: Path) -> None:
    steps = [calls(("harbour__book_berth", {"ship": "Swallow", "nights": 2})), says("A pity.")]
    async with whole(tmp_path, egress=LOOPBACK, **scripted(*steps)) as served:
        told = await example(served, "approvals", typed="it is full\n", MODEL="m")
        assert "it is full" in str(model_of(served).asked[-1].context)
    assert "is booked" not in told.out
    assert told.out.endswith("A pity.\n")


async def test_an_agent_asks_another(tmp_path: Path) -> None:
    steps = [calls(("ask_archivist", {"input": "When was the storm?"})), says("On 4 May."), says("It was on 4 May.")]
    async with whole(tmp_path, **scripted(*steps)) as served:
        told = await example(served, "two_agents", MODEL="m")
        assert "You answer from this log" in (model_of(served).asked[1].request.instructions or "")
    assert "→ ask_archivist: On 4 May.\n" in told.out
    assert told.out.endswith("It was on 4 May.\n")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_begins_with_its_command(name: str) -> None:
    text = (ROOT / "examples" / f"{name}.py").read_text("utf-8")
    assert len(text.splitlines()) < 80
    assert f"python examples/{name}.py" in text.partition("from __future__")[0]


# docs/agent.md

GUIDE = (ROOT / "docs" / "agent.md").read_text("utf-8")
PROGRAMS: list[str] = re.findall(r"```python\n(.+?)```", GUIDE, re.DOTALL)
POINT: Json = {"liquid": "tea", "point": 99}
GUIDED = [
    ([calls(("stock", {"article": "lamp"})), says("12."), says("None.")], "→ stock: 12\n🤔 12.\nNone. "),
    ([says('{"article": "lamp", "price": 24.5}')], "lamp 24.5\n"),
    ([calls(("shop__set_boiling_point", POINT)), says("Done.")], "set_boiling_point {"),
]
"""What the model says to each program, and what it prints."""


@pytest.mark.parametrize("number", range(len(GUIDED)))
async def test_a_program_of_the_guide_runs(tmp_path: Path, number: int) -> None:
    steps, printed = GUIDED[number]
    tree = scripted(*steps)
    tree["models"][0]["models"] = ["gpt-4o"]
    async with neighbour() as shop, whole(tmp_path, egress=LOOPBACK, **tree) as served:
        program = PROGRAMS[number].replace("https://shop.example", shop.url)
        assert printed in (await ran(served, "-c", program)).out
        assert (await shop.counts())["calls"] == ("shop" in printed or "boiling" in printed)


def test_the_guide_has_no_other_programs() -> None:
    assert len(PROGRAMS) == len(GUIDED)


def test_the_guide_names_every_event_delta_result_and_option() -> None:
    kinds: list[Any] = [kind for kind in vars(events).values() if hasattr(kind, "__dataclass_fields__")]
    told = {name for kind in kinds for name in (kind.__name__, *kind.__dataclass_fields__)}
    told -= {"ToolCall", "Usage", "Approval", *events.Usage.__dataclass_fields__, "event", "event_type", "delta_type"}
    options = set(AgentOptions.__annotations__) - set(inspect.signature(Responses.create).parameters)
    missing = sorted(name for name in told | options if not re.search(rf"`[^`]*\b{name}\b", GUIDE))
    assert not missing
