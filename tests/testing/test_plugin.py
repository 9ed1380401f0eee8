"""The pytest plugin, as its users meet it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.project import SOURCES, Project, project

GONE = ("-o", "antiphon_config=gone.toml")


@pytest.fixture
def desk(tmp_path: Path) -> Project:
    return project(tmp_path)


def says(desk: Project, *texts: str, name: str = "test_desk.py") -> None:
    """A test that says these texts to the model."""
    lines = "\n".join(f"    assert say(antiphon, {text!r}) == 'You said {text}.'" for text in texts)
    desk.write(
        name,
        "import json\nimport urllib.request\n\n\n"
        "def say(antiphon, text):\n"
        "    body = json.dumps({'model': 'm', 'input': text}).encode()\n"
        "    kind = {'Content-Type': 'application/json'}\n"
        "    asked = urllib.request.Request(antiphon.base_url + '/responses', body, kind)\n"
        "    with urllib.request.urlopen(asked, timeout=10) as answer:\n"
        "        return json.load(answer)['output'][0]['content'][0]['text']\n\n\n"
        f"def test_it(antiphon):\n{lines}\n",
    )


def test_a_test_is_recorded_once_and_replayed_where_the_model_is_gone(desk: Project) -> None:
    says(desk, "one", "two")
    assert desk.run().last.startswith("1 passed")
    recorded = desk.cassettes()
    assert len(recorded) == 2
    assert all(name.startswith("test_desk/test_it/model.stream-") for name in recorded)
    replayed = desk.run(*GONE, ci=True)
    assert (replayed.code, replayed.last.split(" in ")[0]) == (0, "1 passed"), replayed.text
    assert desk.cassettes() == recorded


def test_a_miss_fails_the_test_and_shows_the_nearest_recording(desk: Project) -> None:
    says(desk, "one")
    assert desk.run().code == 0
    desk.write(
        "test_desk.py",
        """
        import openai

        def test_it(antiphon):
            try:
                antiphon.client.responses.create(model="m", input="won")
            except openai.OpenAIError:
                pass  # an application that swallows what went wrong
        """,
    )
    missed = desk.run(ci=True)
    assert missed.code == 1
    assert "1 requests without a recording in cassettes/test_desk/test_it:" in missed.text
    assert "The nearest is model.stream-" in missed.text
    assert 'asked "won", recorded "one"' in missed.text
    assert 'pytest "test_desk.py::test_it" --antiphon-record=new' in missed.text
    assert desk.run("--antiphon-record=new").code == 0
    assert len(desk.cassettes()) == 2


def test_a_test_that_fails_by_itself_shows_its_miss_too(desk: Project) -> None:
    says(desk, "one")
    assert desk.run().code == 0
    says(desk, "won")
    missed = desk.run(ci=True)
    assert missed.code == 1
    assert "Captured antiphon call" in missed.text
    assert 'asked "won", recorded "one"' in missed.text


def test_without_a_cassette_a_failure_says_so(desk: Project) -> None:
    says(desk, "one")
    found = desk.run(*GONE, ci=True)
    assert found.code == 1
    assert "there is no cassette cassettes/test_desk/test_it" in found.text
    assert not desk.cassettes()


def test_unused_recordings_are_told(desk: Project) -> None:
    says(desk, "one", "two")
    assert desk.run().code == 0
    says(desk, "one")
    warned = desk.run()
    assert warned.code == 0
    assert "antiphon: unused recordings" in warned.text
    assert "test_desk.py::test_it: model.stream-" in warned.text
    assert "unused" not in desk.run("--antiphon-unused=ignore").text
    failed = desk.run("--antiphon-unused=error", ci=True)
    assert failed.code == 1
    assert "recordings that this test does not use: model.stream-" in failed.text


def test_all_begins_a_cassette_anew_and_only_for_a_test_that_passes(desk: Project) -> None:
    says(desk, "one", "two")
    assert desk.run().code == 0
    before = desk.cassettes()
    desk.write(
        "test_desk.py",
        "def test_it(antiphon):\n    assert antiphon.client.responses.create(model='m', input='x').id == 1\n",
    )
    assert desk.run("--antiphon-record=all").code == 1
    assert desk.cassettes() == before
    says(desk, "two")
    assert desk.run("--antiphon-record=all").code == 0
    assert len(desk.cassettes()) == 1
    assert set(desk.cassettes()) < set(before)


def test_every_worker_of_xdist_has_servers_of_its_own(desk: Project) -> None:
    for name in ("a", "b", "c"):
        says(desk, f"{name} 1", f"{name} 2", name=f"test_{name}.py")
    recorded = desk.run("-n", "2")
    assert recorded.last.startswith("3 passed"), recorded.text
    assert len(desk.cassettes()) == 6
    for name in ("a", "b", "c"):
        says(desk, f"{name} 1", name=f"test_{name}.py")
    replayed = desk.run(*GONE, "-n", "2", ci=True)
    assert replayed.last.startswith("3 passed"), replayed.text
    assert replayed.text.count("::test_it: model.stream-") == 3


CLIENTS = """
import json
import os
import urllib.request

import pytest

SCRIPT = [
    {"when": {"offered": "add"}, "calls": {"name": "add", "arguments": {"a": 1}}},
    {"says": ["Hel", "lo"], "repeat": True},
]
pytestmark = pytest.mark.antiphon(script=SCRIPT, models=["m"])


def test_plain_http(antiphon):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    request = urllib.request.Request(
        antiphon.base_url + "/chat/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["choices"][0]["message"]["content"] == "Hello"
    (asked,) = antiphon.asked
    assert (asked.kind, asked.endpoint, asked.model, asked.text) == ("relay", "scripted", "m", "Hi")


async def test_the_asynchronous_client(antiphon):
    async with antiphon.async_client as client:
        first = await client.responses.create(model="m", input="Hi", instructions="Be kind.")
        second = await client.responses.create(model="m", input="Again", previous_response_id=first.id)
    assert second.output_text == "Hello"
    assert antiphon.asked[0].instructions == "Be kind."
    assert [each["role"] for each in antiphon.asked[1].messages] == ["user", "assistant", "user"]


def test_ids_and_times_are_those_of_the_seed(antiphon):
    found = antiphon.client.responses.create(model="m", input="Hi")
    print("ID", found.id, found.created_at)


@pytest.mark.antiphon(seed=None)
def test_without_a_seed_they_are_real(antiphon):
    assert antiphon.clock is None
    assert antiphon.client.responses.create(model="m", input="Hi").created_at > 1_700_000_500


def test_time_passes_when_it_is_told_to(antiphon):
    antiphon.clock.advance(3600)
    assert antiphon.client.responses.create(model="m", input="Hi").created_at == 1_700_003_600


@pytest.mark.antiphon(environ=True)
def test_the_environment_points_at_the_server():
    assert os.environ["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")


@pytest.mark.antiphon(script=lambda asking: f"{asking.turn}: {asking.text}")
def test_a_function_answers(antiphon):
    assert antiphon.client.responses.create(model="m", input="Hi").output_text == "1: Hi"


@pytest.mark.antiphon(script=[{"acts": [{"waits": "gate"}, {"says": "Now."}]}])
async def test_a_gate_is_opened_by_the_test(antiphon):
    antiphon.scripted.open("gate")
    async with antiphon.async_client as client:
        assert (await client.responses.create(model="m", input="Hi")).output_text == "Now."


@pytest.mark.parametrize("word", ["a/b", "a b"])
@pytest.mark.antiphon(script=None, models=(), mode="once", settings={"limits": {"rounds": 1}})
def test_names_of_cassettes(antiphon, word):
    print("FOLDER", antiphon.cassette.name)


def test_nothing_is_asked_for_nothing(request):
    assert "antiphon" in request.fixturenames
"""


def test_any_client_can_be_used(desk: Project) -> None:
    desk.write("test_clients.py", CLIENTS)
    found = [desk.run("-rP", ci=True) for _ in range(2)]
    assert [run.last.split(" in ")[0] for run in found] == ["11 passed"] * 2, found[0].text
    ids = [line for run in found for line in run.text.splitlines() if line.startswith("ID resp_")]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    folders = {line for line in found[0].text.splitlines() if line.startswith("FOLDER")}
    assert len(folders) == 2
    assert all(folder.startswith("FOLDER test_names_of_cassettes-a-b-") for folder in folders)


WRONG = """
import pytest


@pytest.mark.antiphon(casette="x")
def test_a_name(antiphon): ...


@pytest.mark.antiphon(settings={"server": {"prot": 1}})
def test_a_setting(antiphon): ...


@pytest.mark.antiphon(models=[{"name": "x", "kind": "openai_chat"}])
def test_a_model(antiphon): ...


@pytest.mark.antiphon(script="script.yaml")
def test_a_script(antiphon): ...


@pytest.mark.antiphon(script=[{"says": 1}])
def test_a_step(antiphon): ...


@pytest.mark.antiphon(mode="never")
def test_a_mode(antiphon): ...
"""


def test_what_is_wrong_with_a_mark_is_said_in_a_line(desk: Project) -> None:
    desk.write("test_wrong.py", WRONG)
    desk.write("script.yaml", "steps:\n  - says: Hello\n  - when: {colour: red}\n    says: No\n")
    found = desk.run()
    assert found.last.startswith("6 errors"), found.text
    assert "antiphon: @pytest.mark.antiphon does not take 'casette'; it takes cassette, mode, " in found.text
    assert "antiphon: the settings of this test are wrong: server.prot: " in found.text
    assert "antiphon: models[0].base_url: is required" in found.text
    assert f"antiphon: {desk.folder / 'script.yaml'}:3: steps[1].when" in found.text
    assert "antiphon: script: steps[0].says" in found.text
    assert "antiphon: mode must be one of none, once, new, all, off, not 'never'" in found.text
    assert "Traceback" not in found.text


def test_responses_that_differ_are_compared_item_by_item(desk: Project) -> None:
    desk.write(
        "test_compare.py",
        """
        import pytest

        @pytest.mark.antiphon(script=[{"says": "Hello there."}, {"says": "Hello you."}], models=["m"])
        def test_it(antiphon):
            one, other = (antiphon.client.responses.create(model="m", input="Hi") for _ in range(2))
            assert one == other
        """,
    )
    found = desk.run()
    assert found.code == 1
    assert "the responses differ (- left, + right):" in found.text
    assert "- message: Hello there." in found.text
    assert "+ message: Hello you." in found.text


def test_a_run_without_such_tests_does_not_load_the_server() -> None:
    program = (
        "import sys, antiphon.testing.plugin; sys.exit('antiphon.compose' in sys.modules or 'aiohttp' in sys.modules)"
    )
    environ = {"PYTHONPATH": str(SOURCES)}
    assert subprocess.run([sys.executable, "-c", program], env=environ, timeout=60, check=False).returncode == 0
