"""`antiphon replay` and `antiphon cassette export`, as processes, on runs that a server with a live upstream stored."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.process import ROOT, Ended, antiphon
from tests.replay.living import WEATHER, calling
from tests.upstream import Upstream, running, speech
from tests.whole.house import Json, Whole, fast, text_of, whole
from tests.whole.library import MEANING, Library

DEADLINE = 90.0
ROME = ("weather", {"city": "Rome"})
SEARCH = ("file_search", {"query": "harbour"})


class Home:
    """A folder with settings and data of a server, and two models of one upstream."""

    def __init__(self, path: Path, upstream: Upstream) -> None:
        self.path = path
        self.data = path / "data"
        self.upstream = upstream
        self.data.mkdir()
        settings = f'[discovery]\nenabled = false\nbuiltin = false\n[embedder]\nkind = "{MEANING["kind"]}"\n'
        settings += (
            f'[data]\ndir = "data"\n[[models]]\nname = "test"\nbase_url = "{upstream.url}"\nmodels = ["m", "other"]\n'
        )
        (path / "antiphon.toml").write_text(settings)

    def served(self) -> Any:
        """The server in this process."""
        return whole(self.data, models=[fast(self.upstream, models=["m", "other"])], embedder=MEANING)

    async def run(self, *arguments: str) -> Ended:
        """A command, which sees the settings and this repository's tests."""
        return await antiphon(self.path, *arguments, PYTHONPATH=os.pathsep.join([str(ROOT / "src"), str(ROOT)]))

    async def replay(self, *arguments: str) -> tuple[Ended, Json]:
        """`antiphon replay --json`: how it ended and what it said."""
        ended = await self.run("replay", *arguments, "--json")
        assert ended.out, ended
        return ended, json.loads(ended.out)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncGenerator[Home]:
    async with asyncio.timeout(DEADLINE), running() as upstream:
        yield Home(tmp_path, upstream)


async def weather(home: Home, served: Whole) -> Json:
    """A turn with a function of the client's; the last of its responses."""
    home.upstream.reply(calling(ROME), speech("It is sunny in Rome."))
    first = await served.create(model="m", input="How is Rome?", tools=[WEATHER], instructions="Be brief.")
    given = {"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "sunny"}
    return await served.create(model="m", input=[given], tools=[WEATHER], previous_response_id=first["id"])


def asked(home: Home) -> Json:
    """What the upstream was asked last."""
    return home.upstream.exchanges[-1].json


async def test_a_response_is_exported_and_the_folder_is_run_again(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
    exported = await home.run("cassette", "export", made["id"], "run")
    assert exported.code == 0, exported
    assert [line.split()[-1] for line in exported.out.splitlines()] == ["equal", "equal"]
    again = await home.run("replay", "run")
    assert (again.code, again.out) == (0, exported.out), again
    shown = await home.run("cassette", "list", "run")
    assert shown.out.count("model.stream") == 2
    checked = await home.run("cassette", "check", "run")
    assert checked.code == 0, checked
    twice = await home.run("cassette", "export", made["id"], "run")
    assert (twice.code, "is not empty" in twice.err) == (1, True)
    unknown = await home.run("cassette", "export", "resp_unknown", "other")
    assert (unknown.code, "no such response" in unknown.err) == (1, True)


async def test_another_model_is_asked_the_same_and_the_difference_is_shown(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
    home.upstream.reply(calling(ROME), speech("Rome is bright today."))
    ended = await home.run("replay", made["id"], "--model", "other")
    assert ended.code == 1, ended
    assert "1. function_call: equal" in ended.out
    assert "2. message: changed" in ended.out
    assert "- It is sunny in Rome." in ended.out
    assert "+ Rome is bright today." in ended.out
    assert asked(home)["model"] == "other"
    told = [message["role"] for message in asked(home)["messages"]]
    assert told == ["system", "user", "assistant", "tool"]
    assert asked(home)["messages"][-1]["content"] == "sunny"
    async with home.served() as served:  # what was asked for the comparison is not kept
        _, page = await served.ask("GET", "/responses")
    assert {each["id"] for each in page["data"]} == {made["id"], made["previous_response_id"]}


async def test_a_model_that_answers_as_before_is_equal(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
    home.upstream.reply(*(calling(ROME), speech("It is ", "sunny in Rome.")) * 3)
    ended, report = await home.replay(made["id"], "--times", "3")
    assert (ended.code, report["equal"]) == (0, True), report
    assert [run["equal"] for run in report["runs"]] == [True, True, True]
    assert report["runs"][0]["input_tokens"] == report["input_tokens"] == 10
    assert len({run["response_ids"][0] for run in report["runs"]}) == 3


async def test_a_function_call_that_was_never_made_stops_the_run(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
    home.upstream.reply(calling(("weather", {"city": "Oslo"})))
    ended, report = await home.replay(made["id"], "--model", "other")
    assert ended.code == 1
    (run,) = report["runs"]
    assert run["stopped"] == 'the recorded run never made this call: weather({"city": "Oslo"})'
    assert [row["change"] for row in run["rows"]] == ["changed", "gone"]
    assert len(home.upstream.exchanges) == 3


async def test_tools_of_the_server_answer_as_they_did_unless_they_are_live(home: Home) -> None:
    async with home.served() as served:
        store = await Library(served, home.data).store("The harbour opens at seven.")
        tool = {"type": "file_search", "vector_store_ids": [store.id]}
        home.upstream.reply(calling(SEARCH), speech("At seven."))
        made = await served.create(model="m", input="When?", tools=[tool])
        await served.client.vector_stores.delete(store.id)
    home.upstream.reply(calling(SEARCH), speech("At seven."))
    ended, report = await home.replay(made["id"], "--model", "other")
    assert ended.code == 0, report
    assert "opens at seven" in asked(home)["messages"][-1]["content"]
    home.upstream.reply(calling(("file_search", {"query": "pier"})))
    ended, report = await home.replay(made["id"], "--model", "other")
    assert ended.code == 1
    assert "No recording of this request" in report["runs"][0]["stopped"]
    live = await home.run("replay", made["id"], "--live")
    assert (live.code, "not found" in live.err) == (1, True), live


async def test_a_run_is_compared_through_the_api_of_its_server(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
        home.upstream.reply(calling(ROME), speech("Rome is bright today."))
        ended, report = await home.replay(made["id"], "--url", served.url, "--model", "other")
        assert (ended.code, [row["change"] for row in report["runs"][0]["rows"]]) == (1, ["equal", "changed"])
        tool = {"type": "file_search", "vector_store_ids": [(await Library(served, home.data).store()).id]}
        home.upstream.reply(speech("No."), speech("No."))
        searched = await served.create(model="m", input="When?", tools=[tool])
        refused = await home.run("replay", searched["id"], "--url", served.url)
        assert (refused.code, "pass --live" in refused.err) == (1, True)
        assert (await home.run("replay", searched["id"], "--url", served.url, "--live")).code == 0
        unknown = await home.run("replay", "resp_none", "--url", served.url)
        assert (unknown.code, "not found" in unknown.err) == (1, True)


async def test_a_fork_goes_on_from_a_step_and_is_stored(home: Home) -> None:
    async with home.served() as served:
        made = await weather(home, served)
    home.upstream.reply(speech("Take an umbrella."))
    ended, report = await home.replay(made["id"], "--from", "1", "--edit", "pouring", "--model", "other")
    assert ended.code == 1, report
    (fork,) = report["runs"][0]["response_ids"]
    assert [message["role"] for message in asked(home)["messages"]] == ["system", "user", "assistant", "tool"]
    assert asked(home)["messages"][-1]["content"] == "pouring"
    async with home.served() as served:
        _, stored = await served.ask("GET", f"/responses/{fork}")
        assert text_of(stored) == "Take an umbrella."
        assert stored["metadata"] == {"forked_from": made["id"], "forked_at": "1"}
        home.upstream.reply(speech("Yes."))
        await served.create(model="m", input="Sure?", previous_response_id=fork)  # it can be continued
        assert "pouring" in json.dumps(asked(home))
    # from the input on, with another question
    home.upstream.reply(speech("Oslo is cold."))
    ended, report = await home.replay(made["id"], "--from", "0", "--edit", "How is Oslo?")
    assert [message["content"] for message in asked(home)["messages"]] == ["Be brief.", "How is Oslo?"]
    wrong = await home.run("replay", made["id"], "--from", "9")
    assert (wrong.code, "from 0 to 2" in wrong.err) == (2, True)
    assert (await home.run("replay", made["id"], "--edit", "x")).code == 2


async def test_a_turn_of_a_conversation_is_run_again_with_what_was_before_it(home: Home) -> None:
    async with home.served() as served:
        _, talk = await served.ask("POST", "/conversations", {"items": [{"role": "user", "content": "I am Ann."}]})
        home.upstream.reply(speech("Hello Ann."), speech("You are Ann."))
        await served.create(model="m", input="Hello!", conversation=talk["id"])
        made = await served.create(model="m", input="Who am I?", conversation=talk["id"])
        before = (await served.ask("GET", f"/conversations/{talk['id']}/items"))[1]["data"]
    home.upstream.reply(speech("You are Ann."))
    ended, report = await home.replay(made["id"], "--model", "other")
    assert (ended.code, report["equal"]) == (0, True), report
    assert [message["content"] for message in asked(home)["messages"]] == [
        "I am Ann.",
        "Hello!",
        "Hello Ann.",
        "Who am I?",
    ]
    async with home.served() as served:
        assert (await served.ask("GET", f"/conversations/{talk['id']}/items"))[1]["data"] == before
