"""Calls of client tools: whatever a tool does is an output, and a bad tool fails when the agent is made."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Literal

import pytest

from antiphon.agent.errors import ConfigurationError
from antiphon.agent.events import ToolCall
from antiphon.agent.tools import ClientTool, Tool, Toolbox, ToolOutput, client_tool
from antiphon.agent.workers import here

DEADLINE = 10

Call = Callable[..., ToolOutput]


@pytest.fixture(params=["run", "arun"])
def answered(request: pytest.FixtureRequest) -> Call:
    """The output of one call, as either kind of agent makes it."""
    way: Literal["run", "arun"] = request.param

    def answered(tool: Tool, arguments: object = "", name: str | None = None, **options: Any) -> ToolOutput:
        toolbox = Toolbox([tool], **options)
        called: str = name or toolbox.definitions[0]["name"]
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call = ToolCall("call_1", called, written)
        if way == "run":
            return toolbox.run(call)
        return asyncio.run(asyncio.wait_for(toolbox.arun(call), DEADLINE))

    return answered


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


async def add_later(a: int, b: int = 2) -> int:
    """Add two numbers, a bit later."""
    await asyncio.sleep(0)
    return a + b


class Adder:
    """Adds to its own number."""

    def __init__(self, own: int) -> None:
        self.own = own

    def __call__(self, a: int) -> int:
        """Add to it."""
        return self.own + a

    @client_tool
    def more(self, a: int) -> int:
        """Add more to it."""
        return self.own + a

    async def later(self, a: int) -> int:
        return self.own + a

    @classmethod
    def made(cls) -> Adder:
        return cls(0)


class Sum(ClientTool):
    """The class form."""

    def get_name(self) -> str:
        return "sum"

    def get_description(self) -> str:
        return "Add numbers."

    def get_input_schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    run_impl = staticmethod(add)


class AwaitedSum(Sum):
    """The same for coroutines only."""

    run_impl = None
    async_run_impl = staticmethod(add_later)


@pytest.mark.parametrize(
    "tool",
    [
        add,
        add_later,
        client_tool(add),
        client_tool(add_later),
        Adder(2),
        Adder(2).more,
        Adder(2).later,
        functools.partial(add, b=2),
        functools.partial(add_later, b=2),
        Sum(),
        AwaitedSum(),
    ],
)
def test_everything_that_can_be_called_is_a_tool_of_either_agent(answered: Call, tool: Tool) -> None:
    name = "Adder" if isinstance(tool, Adder) else None
    assert answered(tool, {"a": 40}, name) == ToolOutput("42")


def test_a_tool_stays_the_function_that_it_was() -> None:
    tool = client_tool(name="plus", description="Adds.")(add)

    assert (tool(1), tool(1, b=4), tool.__name__, Adder(1).more(2)) == (3, 5, "add", 3)
    assert tool.get_tool_definition() | {"parameters": None} == {
        "type": "function",
        "name": "plus",
        "description": "Adds.",
        "parameters": None,
        "strict": False,
    }


def test_what_a_partial_has_bound_is_not_asked_for() -> None:
    (definition,) = Toolbox([functools.partial(add, b=2)]).definitions
    assert (definition["name"], list(definition["parameters"]["properties"])) == ("add", ["a"])


def test_arguments_are_of_the_annotated_types(answered: Call) -> None:
    def kinds(a: int, b: tuple[float, ...], c: set[str], d: bytes) -> list[str]:
        return [type(value).__name__ for value in (a, b, c, d)]

    given = {"a": 1, "b": [1, 2], "c": ["x"], "d": "raw"}
    assert answered(kinds, given).content == '["int", "tuple", "set", "bytes"]'


def test_parameters_by_place_and_more_of_any_name_are_filled(answered: Call) -> None:
    def placed(a: int, b: int = 2, /, c: int = 3, **more: Any) -> list[Any]:
        return [a, b, c, more]

    assert answered(placed, {"a": 1}).content == "[1, 2, 3, {}]"
    assert answered(placed, {"a": 1, "b": 5, "self": 6}).content == '[1, 5, 3, {"self": 6}]'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "Wrong arguments for add: Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("", "Wrong arguments for add: a: Field required"),
        ("[1]", "Wrong arguments for add: Input should be an object (got [1])"),
        (
            '{"a": "x"}',
            "Wrong arguments for add: a: Input should be a valid integer, unable to parse string as an integer",
        ),
        ('{"a": 1, "c": 2}', "Wrong arguments for add: c: Extra inputs are not permitted"),
        ('{"a": "\ud800"}', "Wrong arguments for add: Input should be a valid string, unable to parse raw data"),
    ],
)
def test_wrong_arguments_are_told_to_the_model(answered: Call, arguments: str, words: str) -> None:
    output = answered(add, arguments)
    assert output.is_error
    assert output.content.startswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [("{", "Invalid JSON: "), ("[]", "Arguments are an object"), ("{}", "a: Field required")],
)
def test_a_class_is_told_apart_from_its_wrong_arguments(answered: Call, arguments: str, words: str) -> None:
    output = answered(Sum(), arguments)
    assert output.is_error
    assert output.content.startswith(f"Wrong arguments for sum: {words}")


def test_a_tool_that_is_not_here_is_told_to_the_model(answered: Call) -> None:
    assert answered(add, "{}", "subtract") == ToolOutput("There is no tool 'subtract' here. Tools: add", is_error=True)
    raw = {"type": "function", "name": "theirs", "parameters": None, "strict": False}
    assert answered(raw, "{}") == ToolOutput("There is no tool 'theirs' here. Tools: none", is_error=True)


class WordlessError(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("city"), "KeyError: 'city'"),
        (StopIteration(), "StopIteration"),
        (SystemExit(2), "SystemExit: 2"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError("their own"), "TimeoutError: their own"),
        (WordlessError(), "WordlessError"),
        (ValueError("half \ud800"), "ValueError: half ?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_tool_raises_is_told_without_a_traceback(answered: Call, error: BaseException, words: str) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    for tool in (fail, fail_later):
        if not (tool is fail_later and isinstance(error, StopIteration)):  # a coroutine cannot raise it
            assert answered(tool) == ToolOutput(words, is_error=True)


def test_only_an_interrupt_gets_out(answered: Call) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answered(interrupted)


def test_a_coroutine_that_a_plain_function_gives_is_awaited(answered: Call) -> None:
    assert answered(lambda_named("later", lambda: add_later(1))).content == "3"


def lambda_named(name: str, function: Callable[[], Any]) -> Tool:
    return client_tool(name=name)(function)


PLACE: ContextVar[str] = ContextVar("place", default="nowhere")


def test_context_variables_are_seen_inside(answered: Call) -> None:
    def where() -> str:
        return PLACE.get()

    async def where_later() -> str:
        return PLACE.get()

    token = PLACE.set("here")
    try:
        assert [answered(tool, timeout=DEADLINE).content for tool in (where, where_later)] == ["here", "here"]
        assert [answered(tool).content for tool in (where, where_later)] == ["here", "here"]
    finally:
        PLACE.reset(token)


def test_a_tool_that_is_late_is_told_and_left_alone(answered: Call) -> None:
    over = threading.Event()

    def stuck() -> None:
        over.wait(DEADLINE)

    async def stuck_later() -> None:
        await asyncio.sleep(DEADLINE)

    late = ToolOutput("TimeoutError: no answer within 0.05 seconds", is_error=True)
    assert answered(stuck, timeout=0.05) == late
    assert answered(stuck_later, timeout=0.05) == late
    assert answered(client_tool(timeout=0.05)(stuck), timeout=DEADLINE) == late
    over.set()


async def test_a_coroutine_that_refuses_to_be_cancelled_is_not_waited_for() -> None:
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    output = await asyncio.wait_for(Toolbox([stubborn], timeout=0.05).arun(ToolCall("1", "stubborn", "")), DEADLINE)
    assert output.is_error
    over.set()


async def test_cancelling_a_call_cancels_its_coroutine() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def long() -> None:
        started.set()
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            ended.set()

    task = asyncio.create_task(Toolbox([long]).arun(ToolCall("1", "long", "")))
    await asyncio.wait_for(started.wait(), DEADLINE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), DEADLINE)


async def test_plain_functions_run_at_the_same_time_and_off_the_loop() -> None:
    both = threading.Barrier(2, timeout=DEADLINE)

    def meet() -> int:
        both.wait()
        return threading.get_ident()

    toolbox = Toolbox([meet])
    outputs = await asyncio.gather(*(toolbox.arun(ToolCall(str(n), "meet", "")) for n in range(2)))
    assert len({output.content for output in outputs} - {str(threading.get_ident())}) == 2


def test_coroutines_of_a_plain_agent_share_one_loop() -> None:
    async def loop() -> int:
        return id(asyncio.get_running_loop())

    toolbox = Toolbox([loop])
    assert len({toolbox.run(ToolCall(str(n), "loop", "")).content for n in range(3)}) == 1


def test_a_coroutine_that_blocks_on_another_one_does_not_wait_for_itself() -> None:
    inside = Toolbox([add_later])

    async def outer() -> str:
        return inside.run(ToolCall("2", "add_later", '{"a": 1}')).content

    assert Toolbox([outer], timeout=DEADLINE).run(ToolCall("1", "outer", "")) == ToolOutput("3")


def test_a_custom_tool_gets_the_text_as_it_is(answered: Call) -> None:
    grammar = {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}

    @client_tool(custom=grammar)
    def echo(text: str) -> str:
        """Say it again."""
        return text

    assert Toolbox([echo]).definitions == [
        {"type": "custom", "name": "echo", "description": "Say it again.", "format": grammar}
    ]
    assert answered(echo, '{"not": json').content == '{"not": json'
    free = client_tool(name="free", custom=True)(echo.function)
    assert Toolbox([free]).definitions == [{"type": "custom", "name": "free", "description": "Say it again."}]


def test_raw_tools_are_sent_as_they_are() -> None:
    hosted: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    function = {"type": "function", "name": "theirs", "parameters": {"anything": 1}}

    @client_tool
    def file_search(query: str) -> str:
        return query

    definitions = Toolbox([hosted, function, hosted, file_search], strict=True).definitions
    assert definitions[:3] == [hosted, function, hosted]
    assert definitions[3]["type"] == "function"


def test_strict_is_said_by_the_tool_or_for_all() -> None:
    said = [
        Toolbox([tool], strict=strict).definitions[0]["strict"]
        for strict in (False, True)
        for tool in (add, client_tool(strict=True)(add), client_tool(strict=False)(add))
    ]
    assert said == [False, True, False, True, True, False]


def unknown(a: int) -> None:
    """Nobody knows the type."""


unknown.__annotations__["a"] = "Missing"


def lock(a: threading.Event) -> None:
    """No JSON is one."""


def starred(*a: int) -> None:
    """As many as wanted."""


class Nameless(ClientTool):
    """Without anything."""


class Codeless(Sum):
    """Without code."""

    run_impl = None


def more(**more: Any) -> None:
    """Anything."""


def two(a: str, b: str) -> None:
    """Two parameters."""


WRONG: list[tuple[Any, str]] = [
    ([add, client_tool(name="add")(add_later)], "two tools named 'add'"),
    ([add, {"type": "function", "name": "add"}], "two tools named 'add'"),
    ([lambda: 1], "tool '<lambda>': a name has letters"),
    ([client_tool(name="a b")(add)], "tool 'a b': a name has letters"),
    ([client_tool(name="x" * 129)(add)], "at most 128"),
    ([unknown], "tool 'unknown': an annotation names what is not known: name 'Missing'"),
    ([lock], "tool 'lock': a: .*Event.* has no JSON schema"),
    ([starred], r"tool 'starred': \*a cannot be filled"),
    ([client_tool(strict=True)(more)], "free keys cannot be strict"),
    ([client_tool(custom=True)(two)], "tool 'two': a custom tool has one parameter"),
    ([client_tool(timeout=0)(add)], "tool 'add': timeout is a number of seconds"),
    ([client_tool(timeout=float("nan"))(add)], "tool 'add': timeout is a number of seconds"),
    ([Nameless()], "Nameless does not define get_name"),
    ([Codeless()], "tool 'sum': define run_impl"),
    ([Sum], "a tool is a dict, a function or a ClientTool, not <class"),
    ([42], "not 42"),
    ([{"name": "add"}], "a tool has a type"),
    ("add", "tools is a list"),
    ({"type": "file_search"}, "tools is a list"),
    (add, "tools is a list"),
    (3, "tools is a list"),
]


@pytest.mark.parametrize(("tools", "words"), WRONG)
def test_a_bad_tool_fails_at_construction(tools: Sequence[Tool], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Toolbox(tools)


@pytest.mark.parametrize("wrong", [int, 5, client_tool(add), vars(Adder)["made"]])
def test_only_functions_are_decorated(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_tool takes a function"):
        client_tool(wrong)


def test_a_stuck_tool_does_not_keep_a_program_from_its_end() -> None:
    program = """
import asyncio, time
from antiphon.agent.events import ToolCall
from antiphon.agent.tools import Toolbox

def stuck(): time.sleep(60)
async def stuck_later(): await asyncio.sleep(60)

toolbox = Toolbox([stuck, stuck_later], timeout=0.05)
for name in ("stuck", "stuck_later"):
    print(toolbox.run(ToolCall("1", name, "")).is_error, asyncio.run(toolbox.arun(ToolCall("1", name, ""))).is_error)
"""
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("True True\nTrue True\n", "")


def test_an_attempt_keeps_even_what_is_no_exception() -> None:
    assert isinstance(here(sys.exit).error, SystemExit)
