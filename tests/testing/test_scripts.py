"""Scripts: their files and short forms, conditions, and what is filled in."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.models.scripted import (
    Calling,
    Calls,
    Cuts,
    Fails,
    Says,
    Script,
    Scripted,
    Step,
    Waits,
    When,
    script_of,
)
from antiphon.adapters.scripting.asking import Asking
from antiphon.adapters.scripting.reading import ScriptError, converted, read
from antiphon.choices import Choosing
from antiphon.core.deltas import CallDelta, TextDelta
from antiphon.core.effects import Entry, Generate, Offer
from antiphon.wire.content import InputText
from antiphon.wire.errors import ModelError
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Item, Message
from antiphon.wire.responses import CreateResponse

DEADLINE = 10.0


def user(text: str) -> Message:
    return Message(role="user", content=(InputText(text=text),))


def called(name: str, output: str, call_id: str = "call_1") -> tuple[Item, Item]:
    return (
        FunctionCall(id=f"fc_{call_id}", call_id=call_id, name=name, arguments="{}"),
        FunctionCallOutput(call_id=call_id, output=output),
    )


def wanted(*items: Item, offered: str | None = None, instructions: str | None = None) -> Generate:
    request = CreateResponse(model="m", instructions=instructions)
    offers = () if offered is None else (Offer(offered),)
    return Generate("m", request, tuple(Entry(item) for item in items), offers)


async def said(model: Scripted, asked: Generate) -> str:
    """The text; calls as `name(arguments)`."""
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(asked)) as stream:
        deltas = [delta async for batch in stream for delta in batch]
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    calls = [f"{delta.name or ''}{delta.arguments or ''}" for delta in deltas if isinstance(delta, CallDelta)]
    return "".join([*texts, *calls])


SHORT = [
    {"when": "weather", "calls": {"name": "f", "arguments": {"a": 1}}},
    {"calls": ["f", {"name": "g"}], "waits": 0.5, "says": ["a", "b"], "finish": None},
    {
        "acts": [
            {"fails": "timeout"},
            {"fails": {"error": "rate_limit", "retry_after": 1}},
            {"cuts": True},
            {"waits": "gate"},
        ]
    },
    {"says": Says("x"), "repeat": True},
]
LONG = (
    Step((Calls((Calling("f", {"a": 1}),)),), when="weather"),
    Step((Calls((Calling("f"), Calling("g"))), Waits(0.5), Says(("a", "b"))), finish=None),
    Step((Fails("timeout"), Fails("rate_limit", retry_after=1), Cuts(), Waits(gate="gate"))),
)


def test_acts_may_be_written_short() -> None:
    assert converted(SHORT[:3], "script").steps == LONG


YAML = """
models: [demo]
steps:
  - when: {called: f, output: rain}   # a comment
    says: "It rains."
  - says: [Hel, lo]
    repeat: true
"""
TOML = """
models = ["demo"]
[[steps]]
when = { called = "f", output = "rain" }
says = "It rains."
[[steps]]
says = ["Hel", "lo"]
repeat = true
"""
JSON = """{"models": ["demo"], "steps": [
  {"when": {"called": "f", "output": "rain"}, "says": "It rains."},
  {"says": ["Hel", "lo"], "repeat": true}
]}"""
PYTHON = """
models = ["demo"]
script = [
    {"when": {"called": "f", "output": "rain"}, "says": "It rains."},
    {"says": ["Hel", "lo"], "repeat": True},
]
"""


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.toml", TOML), ("a.json", JSON), ("a.py", PYTHON)])
def test_all_kinds_of_files_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read(tmp_path / name)
    assert found.models == ("demo",)
    assert found.steps == (
        Step((Says("It rains."),), when=When(called="f", output="rain")),
        Step((Says(("Hel", "lo")),), repeat=True),
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "steps:\n  - says: x\n  - repeat: true\n    says: 7\n", "a.yaml:4: steps[1].says.text: Expected"),
        (
            "a.yaml",
            "steps:\n  - acts:\n    - says: x\n    - fails: sometimes\n",
            "a.yaml:4: steps[0].acts[1].error: Invalid",
        ),
        (
            "a.yaml",
            "steps:\n  - when: {colour: red}\n    says: x\n",
            "a.yaml:2: steps[0].when: Object contains unknown field",
        ),
        ("a.yaml", "steps:\n  - says: [x\n", "a.yaml:3: not YAML"),
        ("a.yaml", "steps:\n  - calls: {arguments: {}}\n", "a.yaml:2: steps[0].calls.calls[0]: Object lacks the field"),
        ("a.yaml", "", "a script is a list of steps"),
        ("a.toml", "steps = [{ says = 7 }]", "a.toml: steps[0].says.text: Expected"),
        ("a.toml", "steps =\n", "a.toml:1: not TOML"),
        ("a.json", '{"steps": [}', "a.json:1: not JSON"),
        ("a.json", '{"step": []}', "a.json: Object contains unknown field `step`"),
        ("a.txt", "steps", "a script is .yaml, .toml, .json or .py"),
        ("a.py", "answer = 1", "there is no `script`"),
        ("a.py", "script = nothing", "NameError"),
        ("b.yaml", None, "cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ScriptError) as caught:
        read(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_an_alias_into_itself_is_no_endless_story(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: &a\n  - says: x\n    usage: *a\n")
    with pytest.raises(ScriptError, match=r"a\.yaml:3: steps\[0\]\.usage"):
        read(tmp_path / "a.yaml")


def test_a_script_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps:\n  - says: 7\n")
    choosing = Choosing({})
    options: dict[str, Any] = {"script": str(tmp_path / "a.yaml")}
    assert choosing.one("models", ("models", 0), "scripted", options, "x") is None
    assert "a.yaml:2: steps[0].says" in str(choosing.problems[0])


CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"text": "RAIN"}, True),
    ({"text": "sun"}, False),
    ({"matches": r"\d+ May"}, True),
    ({"matches": r"\d+ June"}, False),
    ({"instructions": "kind"}, True),
    ({"output": "wet"}, True),
    ({"output": "dry"}, False),
    ({"called": "get_weather"}, True),
    ({"called": "other"}, False),
    ({"turn": 2}, True),
    ({"turn": 1}, False),
    ({"round": 1}, True),
    ({"round": 0}, False),
    ({"offered": "get_weather"}, True),
    ({"offered": "nothing"}, False),
    ({"model": "m"}, True),
    ({"model": "n"}, False),
    ({"text": "rain", "turn": 2, "called": "other"}, False),
]


@pytest.mark.parametrize(("when", "holds"), CONDITIONS, ids=str)
async def test_a_step_fits_when_all_its_conditions_hold(when: dict[str, Any], *, holds: bool) -> None:
    model = Scripted(script_of([{"when": when, "says": "yes"}, {"says": "no"}]))
    items = (user("Hi"), user("Rain on 1 May?"), *called("get_weather", "very wet"))
    asked = wanted(*items, offered="get_weather", instructions="Be kind.")
    assert await said(model, asked) == ("yes" if holds else "no")


TEMPLATES = [
    ("${text}|${turn}|${model}", "Hi|1|m"),
    ("${output}", '{"city": {"name": "Oslo"}, "t": [4, 7]}'),
    ("${output.city.name}, ${output.t.1}", "Oslo, 7"),
    ("${outputs.first}/${outputs.second.t}", "plain/[4,7]"),
    ("$${text} {text} $text", "${text} {text} $text"),
]


@pytest.mark.parametrize(("text", "filled"), TEMPLATES)
async def test_placeholders_stand_for_what_was_asked_and_found(text: str, filled: str) -> None:
    found = (*called("first", "plain"), *called("second", '{"city": {"name": "Oslo"}, "t": [4, 7]}', "call_2"))
    assert await said(Scripted(script_of([{"says": text}])), wanted(user("Hi"), *found)) == filled


async def test_an_argument_that_is_a_placeholder_keeps_its_type() -> None:
    script = script_of([{"calls": {"name": "f", "arguments": {"t": "${output.t}", "in": ["at ${output.t}"]}}}])
    asked = wanted(user("Hi"), *called("g", '{"t": 4}'))
    assert await said(Scripted(script), asked) == 'f{"t":4,"in":["at 4"]}'


@pytest.mark.parametrize("text", ["${output}", "${output.t}", "${outputs.f}", "${colour}"])
async def test_a_placeholder_for_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ModelError, match="stands for nothing"):
        await said(Scripted(script_of([{"says": text}])), wanted(user("Hi")))
    with pytest.raises(ModelError, match=r"is no part of|stands for nothing"):
        await said(Scripted(script_of([{"says": "${output.t.x}"}])), wanted(user("Hi"), *called("f", '{"t": 1}')))


async def test_a_function_is_asked_for_each_generation() -> None:
    answers: list[Any] = ["Hi.", {"calls": "f"}, [Says("a"), {"says": "b"}], Step((Says("c"),)), 7]

    def answer(asking: Asking) -> Any:
        return answers.pop(0) if asking.text == "Hi" else asking.text

    model = Scripted(script_of(answer))
    assert [await said(model, wanted(user("Hi"))) for _ in range(4)] == ["Hi.", "f{}", "ab", "c"]
    with pytest.raises(ModelError, match="script's function"):
        await said(model, wanted(user("Hi")))
    assert await said(model, wanted(user("Echo"))) == "Echo"


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("- says: one\n- says: two\n")
    model = Scripted(Script(script=str(file)))
    assert await said(model, wanted(user("Hi"))) == "one"
    file.write_text("- says: three\n")
    os.utime(file, ns=(1, 1))
    assert await said(model, wanted(user("Hi"))) == "three"
    file.write_text("- says: 7\n")
    os.utime(file, ns=(2, 2))
    with pytest.raises(ModelError, match=r"The script: a\.yaml:1: steps\[0\]\.says"):
        await said(model, wanted(user("Hi")))
