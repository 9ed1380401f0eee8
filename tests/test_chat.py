"""`antiphon chat` as a real process: in a pseudo terminal and with pipes, over real servers with scripted models."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

import antiphon as package
from antiphon.cli.app import ChatFlags
from antiphon.cli.attaching import Shelf
from antiphon.cli.commands import COMMANDS
from antiphon.wire.codec import encode
from tests.mcp.server import PIXEL
from tests.mcp.stage import LOOPBACK, Neighbour, neighbour
from tests.patience import eventually
from tests.process import ROOT, Ended, ended, environ, serving
from tests.site import site
from tests.terminal import CTRL_D, PROMPT, Terminal, terminal
from tests.whole.house import Json, Whole, whole
from tests.whole.scripts import model_of, scripted, texts

SOURCES = str(Path(package.__file__).parents[1])
BUILTIN: Json = {"discovery": {"enabled": False, "builtin": True}, "embedder": {"kind": "none"}}
ECHO: Json = {"acts": [{"act": "says", "text": "**Hello** you"}], "repeat": True}
BOOK = {"act": "calls", "calls": [{"name": "boiling__set_boiling_point", "arguments": {"liquid": "tea", "point": 99}}]}


def says(text: str, when: str | None = None, **more: Any) -> Json:
    return {"acts": [{"act": "says", "text": text}], "when": when, **more}


@asynccontextmanager
async def talking(home: Path, url: str, *arguments: str) -> AsyncGenerator[Terminal]:
    """A chat with this server, ready for the first message."""
    async with terminal(home, "chat", "--url", url, *arguments, PYTHONPATH=SOURCES) as chat:
        await chat.ready()
        yield chat


async def piped(home: Path, text: str, *arguments: str, **variables: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", "chat", *arguments),
        cwd=home,
        env=environ(home, **{"PYTHONPATH": SOURCES, **variables}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    return await ended(process)


def upstream_closed(served: Whole) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return model_of(served).closed > 0

    return holds


# in a terminal


async def test_an_answer_is_markdown_and_comes_as_it_is_written(tmp_path: Path) -> None:
    slow = {
        "acts": [{"act": "says", "text": "**Once** upon"}, {"act": "waits", "gate": "more"}, *says(" a time")["acts"]]
    }
    async with whole(tmp_path, **scripted(slow)) as served, talking(tmp_path, served.url) as chat:
        assert f"m at {served.url}" in chat.screen.text
        chat.say("Tell me")
        await chat.shows("upon")
        model_of(served).open("more")
        await chat.ready()
        assert "Once upon a time" in chat.screen.lines
        assert not chat.screen.hidden


async def test_a_long_answer_is_whole_in_the_scrollback(tmp_path: Path) -> None:
    story = [f"Line {number}.\n\n" for number in range(80)]
    steps: Json = {"acts": [{"act": "says", "text": story}]}
    async with whole(tmp_path, **scripted(steps)) as served, talking(tmp_path, served.url) as chat:
        shown = (await chat.asked("Tell me")).splitlines()
        assert [line for line in shown if line.startswith("Line")] == [f"Line {number}." for number in range(80)]


async def test_a_file_is_searched_and_cited(tmp_path: Path) -> None:
    (tmp_path / "harbour.md").write_text("The harbour of Orrin has 12 berths.", "utf-8")
    async with whole(tmp_path, **BUILTIN) as served, talking(tmp_path, served.url) as chat:
        assert "harbour.md: is searched" in await chat.asked("/file harbour.md")
        shown = await chat.asked("How many berths has the harbour?")
        assert "🔧 file_search" in shown
        assert "12 berths [1]." in shown
        assert "[1] harbour.md" in shown
        assert "file_search in harbour.md" in await chat.asked("/tools")


@pytest.fixture
async def harbour() -> AsyncGenerator[Neighbour]:
    async with neighbour() as server:
        yield server


@asynccontextmanager
async def asked_for(home: Path, server: Neighbour) -> AsyncGenerator[tuple[Whole, Terminal]]:
    """A chat in which the model wants to call the server's tool, and somebody is asked."""
    settings = scripted({"acts": [BOOK]}, says("Done then."))
    tool = ("--tool", f"boiling={server.url}/mcp")
    async with whole(home, egress=LOOPBACK, **settings) as served, talking(home, served.url, *tool) as chat:
        chat.say("Set it")
        await chat.shows("[y]es")
        yield served, chat


async def test_a_call_is_made_when_the_user_allows_it(tmp_path: Path, harbour: Neighbour) -> None:
    async with asked_for(tmp_path, harbour) as (_, chat):
        assert "set_boiling_point" in chat.screen.text
        shown = await chat.asked("y")
        assert "tea boils at 99 now" in shown
        assert "Done then." in shown
        assert (await harbour.counts())["calls"] == 1


async def test_the_reason_of_a_denial_reaches_the_model(tmp_path: Path, harbour: Neighbour) -> None:
    async with asked_for(tmp_path, harbour) as (served, chat):
        assert "Done then." in await chat.asked("tea is a mixture")
        assert (await harbour.counts())["calls"] == 0
        assert "tea is a mixture" in str(model_of(served).asked[-1].context)


@pytest.mark.parametrize("answer", ["n", ""])
async def test_a_call_that_is_denied_is_not_made(tmp_path: Path, harbour: Neighbour, answer: str) -> None:
    async with asked_for(tmp_path, harbour) as (_, chat):
        assert "Done then." in await chat.asked(answer)
        assert (await harbour.counts())["calls"] == 0


async def test_a_question_that_is_broken_off_at_an_approval_leaves_the_chat_usable(
    tmp_path: Path, harbour: Neighbour
) -> None:
    async with asked_for(tmp_path, harbour) as (_, chat):
        await chat.interrupt(PROMPT)
        assert "Done then." in await chat.asked("Never mind")
        assert (await harbour.counts())["calls"] == 0


async def test_ctrl_c_cancels_the_answer_and_ctrl_d_leaves(tmp_path: Path) -> None:
    steps = [{"acts": [{"act": "says", "text": "Half "}, {"act": "waits", "gate": "never"}]}, says("Better.")]
    async with whole(tmp_path, **scripted(*steps)) as served, talking(tmp_path, served.url) as chat:
        chat.say("Tell me")
        await chat.shows("Half")
        await chat.interrupt("cancelled")
        await chat.ready()
        await eventually(upstream_closed(served))
        assert "Better." in await chat.asked("Again")
        assert "Tell me" not in (await chat.asked("/history")).rpartition("Again")[2]
        await chat.interrupt(PROMPT)
        chat.type(CTRL_D)
        assert await chat.ended() == 0
        assert "Traceback" not in chat.written


async def test_a_conversation_goes_on_and_forks(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served, talking(tmp_path, served.url) as chat:
        for question in ("one", "two", "three"):
            assert "Hello you" in await chat.asked(question)
        assert texts(served) == ["one", "**Hello** you", "two", "**Hello** you", "three"]
        assert "  2 > two" in await chat.asked("/history")
        assert "continues after: one" in await chat.asked("/fork 1")
        await chat.asked("four")
        assert texts(served) == ["one", "**Hello** you", "four"]
        await chat.asked("/new")
        await chat.asked("five")
        assert texts(served) == ["five"]


async def test_a_message_may_have_many_lines(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served, talking(tmp_path, served.url) as chat:
        chat.say("one\\")
        await chat.asked("two")
        assert texts(served) == ["one\ntwo"]
        chat.say('"""')
        chat.say("three")
        chat.say("")
        chat.say("four")
        await chat.asked('"""')
        assert texts(served)[-1] == "three\n\nfour"


async def test_a_conversation_is_saved(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served, talking(tmp_path, served.url) as chat:
        await chat.asked("one")
        assert "saved to talk.json" in await chat.asked("/save talk.json")
        (turn,) = json.loads((tmp_path / "talk.json").read_text("utf-8"))
        assert (turn["question"], turn["answer"]) == ("one", "**Hello** you")
        assert turn["response_id"].startswith("resp_")
        assert "talk.json exists" in await chat.asked("/save talk.json")
        await chat.asked("/save talk.md")
        assert "## one\n\n**Hello** you" in (tmp_path / "talk.md").read_text("utf-8")


async def test_tools_and_models_are_chosen_by_commands(tmp_path: Path) -> None:
    tree = scripted(ECHO)
    tree["models"][0]["models"] = ["m", "n"]
    async with whole(tmp_path, **tree) as served, talking(tmp_path, served.url, "--model", "m") as chat:
        assert "model: n" in await chat.asked("/model n")
        await chat.asked("one")
        assert model_of(served).asked[-1].request.model.endswith("n")
        assert "there is no model x" in await chat.asked("/model x")
        assert "no tools" in await chat.asked("/tools")
        assert "  mcp shop" in await chat.asked("/tools mcp shop http://127.0.0.1:9/mcp")
        assert "takes a type" in await chat.asked("/tools mcp")
        assert "no tools" in (await chat.asked("/tools mcp shop")).rpartition("/tools mcp shop")[2]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nothing", "there is no command /nothing: /help lists them"),
        ("/file", "/file needs a path"),
        ("/file missing.md", "there are no files at missing.md"),
        ("/fork 1", "there is no turn to continue from"),
        ("/save /nowhere/x.md", "cannot be written"),
        ("/history", "nothing has been said yet"),
        ("/help", "continue after turn N"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(tmp_path: Path, line: str, words: str) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served, talking(tmp_path, served.url) as chat:
        shown = await chat.asked(line)
        assert words in shown
        assert "Traceback" not in shown
        chat.say("/quit")
        assert await chat.ended() == 0


async def test_a_turn_that_fails_is_one_line_and_the_chat_goes_on(tmp_path: Path) -> None:
    steps = [says("One."), {"acts": [{"act": "fails", "message": "The model is ill."}]}, says("Two.")]
    async with whole(tmp_path, **scripted(*steps)) as served, talking(tmp_path, served.url) as chat:
        await chat.asked("one")
        shown = await chat.asked("two")
        assert shown.count("The model is ill.") == 1
        assert "Traceback" not in shown
        assert "Two." in await chat.asked("three")
        assert texts(served) == ["one", "One.", "three"]


async def test_a_server_that_goes_away_is_one_line(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with whole(tmp_path, **scripted(ECHO)) as served:
            chat = await stack.enter_async_context(talking(tmp_path, served.url))
            await chat.asked("one")
        assert "The connection failed" in await chat.asked("two")
        assert f"{served.url} does not answer" in await chat.asked("/model")
        assert "1 > one" in await chat.asked("/history")
        assert "Traceback" not in chat.written


async def test_escape_sequences_of_a_model_are_not_obeyed(tmp_path: Path) -> None:
    steps = says("\x1b]0;mine\x07\x1b[2Jgone")
    async with whole(tmp_path, **scripted(steps)) as served, talking(tmp_path, served.url) as chat:
        assert "gone" in await chat.asked("one")
        await chat.asked("/history")
        assert "\x1b[2J" not in chat.written
        assert "\x1b]0;" not in chat.written


async def test_paths_and_commands_are_completed(tmp_path: Path) -> None:
    (tmp_path / "harbour.md").write_text("It has 12 berths.", "utf-8")
    async with whole(tmp_path, **BUILTIN) as served, talking(tmp_path, served.url) as chat:
        chat.type("/fi\t")
        await chat.shows("/file")
        chat.type("harb\t")
        await chat.shows("harbour.md")
        assert "harbour.md: is searched" in await chat.asked("")


def test_the_page_has_every_command_and_flag() -> None:
    page = (ROOT / "docs" / "chat.md").read_text("utf-8")
    flags = [f"--{name}" for name in ChatFlags.__dataclass_fields__]
    assert not [name for name in (*COMMANDS, *flags) if f"`{name}" not in page and f" {name} " not in page]


# files


async def test_a_folder_is_attached_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "harbour.md").write_text("The harbour of Orrin has 12 berths.", "utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    async with whole(tmp_path / "state", **BUILTIN) as served:
        answer = await piped(tmp_path, "How many berths has the harbour?\n", "papers", "--url", served.url)
    assert answer.code == 0, answer.err
    assert "12 berths [1]." in answer.out
    assert "broken.pdf cannot be read: " in answer.err


async def test_an_image_goes_with_the_next_message_that_succeeds(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PIXEL)
    steps = [
        {"acts": [{"act": "fails", "error": "invalid_request", "message": "Not now."}]},
        says("A dot."),
        says("Yes."),
    ]
    async with whole(tmp_path, **scripted(*steps)) as served:
        asked = "/file photo.png\nWhat is it?\nWhat is it now?\nSure?\n"
        answer = await piped(tmp_path, asked, "--url", served.url)
        assert answer.out == "A dot.\nYes.\n"
        first, second, third = (encode(one.context).decode().count("input_image") for one in model_of(served).asked)
        assert (first, second, third) == (1, 1, 1)


async def test_where_there_are_no_vector_stores_a_file_goes_with_the_message(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Tea needs water.", "utf-8")
    async with site() as web, AsyncOpenAI(base_url=f"{web.url}/v1", api_key="none") as client:
        shelf = Shelf(client)
        (line,) = await shelf.attach(tmp_path / "notes.txt")
    assert "no vector stores" in line
    (part,) = shelf.parts
    assert (part["type"], part["filename"]) == ("input_file", "notes.txt")
    assert part["file_data"] == "data:text/plain;base64,VGVhIG5lZWRzIHdhdGVyLg=="
    assert shelf.tool is None


# with pipes


async def test_each_line_of_a_pipe_is_a_question(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(says("1"), says("2\n"))) as served:
        answer = await piped(tmp_path, "one\n\ntwo\n", "--url", served.url)
        assert (answer.code, answer.out, answer.err) == (0, "1\n2\n", "")
        assert texts(served) == ["one", "1", "two"]


async def test_all_of_a_pipe_is_one_question_when_asked(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served:
        answer = await piped(tmp_path, "one\n\n/two\n", "--whole", "--url", f"{served.url}/v1/")
        assert (answer.code, answer.out) == (0, "**Hello** you\n")
        assert texts(served) == ["one\n\n/two"]


async def test_without_a_url_the_server_is_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "harbour.md").write_text("The harbour of Orrin has 12 berths.", "utf-8")
    questions = "How many berths has the harbour?\n/history\n"
    answer = await piped(tmp_path, questions, "harbour.md", ANTIPHON_EMBEDDER_KIND="none")
    assert answer.code == 0, answer.err
    assert answer.out == "The harbour of Orrin has 12 berths [1].\n[1] harbour.md\n"
    assert "file_search ..." in answer.err
    assert "> How many berths" in answer.err


async def test_a_server_that_keeps_nothing_is_told_everything(tmp_path: Path) -> None:
    async with whole(tmp_path, **scripted(ECHO)) as served:
        answer = await piped(tmp_path, "one\ntwo\n", "--stateless", "--url", served.url)
        assert answer.code == 0, answer.err
        assert texts(served) == ["one", "**Hello** you", "two"]
        assert model_of(served).asked[-1].request.store is False


async def test_nobody_at_a_pipe_allows_a_call(tmp_path: Path, harbour: Neighbour) -> None:
    settings = scripted({"acts": [BOOK]}, says("Done then."))
    async with whole(tmp_path, egress=LOOPBACK, **settings) as served:
        answer = await piped(tmp_path, "Set it\n", "--tool", f"boiling={harbour.url}/mcp", "--url", served.url)
        assert (answer.code, answer.out) == (0, "Done then.\n")
        assert "denied: nobody is there to be asked" in answer.err
        assert (await harbour.counts())["calls"] == 0


async def test_a_question_that_fails_is_told_and_the_others_are_asked(tmp_path: Path) -> None:
    steps = [{"acts": [{"act": "fails", "message": "The model is ill."}]}, says("2")]
    async with whole(tmp_path, **scripted(*steps)) as served:
        answer = await piped(tmp_path, "one\n/nothing\ntwo\n", "--url", served.url)
        assert (answer.code, answer.out) == (1, "2\n")
        assert [("ill" in line, "/nothing" in line) for line in answer.err.splitlines()] == [
            (True, False),
            (False, True),
        ]


async def test_the_key_is_that_of_the_flag_or_the_variable(tmp_path: Path) -> None:
    variables = {"ANTIPHON_SERVER_API_KEYS": "key-of-the-test", "ANTIPHON_EMBEDDER_KIND": "none"}
    asked = "Tea needs water. What does tea need?\n"
    async with serving(tmp_path, variables=variables) as server:
        for arguments, given in ((("--key", "key-of-the-test"), {}), ((), {"OPENAI_API_KEY": "key-of-the-test"})):
            answer = await piped(tmp_path, asked, "--url", server.url, *arguments, **given)
            assert "Tea needs water." in answer.out, answer.err
        refused = await piped(tmp_path, asked, "--url", server.url, "--key", "another")
        assert (refused.code, refused.out) == (1, "")
        assert "The API key is not valid" in refused.err
        assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.md"], "there are no files at missing.md"),
        (["--model", "nobody"], "does not exist"),
        (["--url", "http://127.0.0.1:9"], "does not answer"),
        (["--url", "not a url"], "antiphon: "),
    ],
)
async def test_what_cannot_be_begun_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    answer = await piped(tmp_path, "Why?\n", *arguments, ANTIPHON_EMBEDDER_KIND="none")
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1


async def test_without_openai_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "openai.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'openai'\", name='openai')", "utf-8"
    )
    answer = await piped(tmp_path, "Why?\n", PYTHONPATH=f"{tmp_path}:{SOURCES}")
    assert answer.code == 1
    assert "pip install 'antiphon[agent]'" in answer.err
    assert "Traceback" not in answer.err
