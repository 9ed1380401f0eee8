"""Recording and replaying from the command line, as real processes, and the commands that look at cassettes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.process import DEADLINE, ROOT, Ended, Serving, antiphon, serving
from tests.shared import SHARED, needs_shared
from tests.upstream import DONE, Reply, Upstream, chunk, refusal, sse, usage

Json = dict[str, Any]

CONFIG = """
[discovery]
builtin = false

[[models]]
name = "up"
base_url = "{url}"
api_key_env = "UP_KEY"
models = ["m"]
"""
CALL = {"index": 0, "id": "call_abcdefghijkl", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def said(text: str) -> Reply:
    """A stream that says this, with its role, and ends well."""
    return Reply([sse(chunk(role="assistant", content=text)), sse(chunk(finish="stop")) + sse(usage()) + DONE])


def called() -> Reply:
    return Reply([sse(chunk(tool_calls=[CALL])), sse(chunk(finish="tool_calls")) + sse(usage()) + DONE])


@pytest.fixture
async def client() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as session:
        yield session


async def post(client: aiohttp.ClientSession, server: Serving, path: str, body: Json) -> tuple[int, str]:
    async with client.post(f"{server.url}/v1{path}", json=body) as answer:
        return answer.status, await answer.text()


def response(text: str, **more: Any) -> Json:
    return {"model": "up/m", "input": text, **more}


def chat(text: str, **more: Any) -> Json:
    return {"model": "up/m", "messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def recording(home: Path, upstream: Upstream, *replies: Reply) -> AsyncGenerator[Serving]:
    """A server that records into `tape`; the upstream answers as told."""
    (home / "antiphon.toml").write_text(CONFIG.format(url=upstream.url), "utf-8")
    upstream.reply(*replies)
    async with serving(home, "--record", "tape", "--data", "one", variables={"UP_KEY": "upstream-key-1"}) as server:
        yield server


async def taped(home: Path, upstream: Upstream, client: aiohttp.ClientSession) -> list[tuple[int, str]]:
    """Record a response, a call and a chat completion into `tape`; what clients were answered."""
    asked = [
        ("/responses", response("Hi", stream=True)),
        ("/responses", response("Call", tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}])),
        ("/chat/completions", chat("Hi", stream=True)),
    ]
    async with recording(home, upstream, said("Hello."), called(), said("Hello, chat.")) as server:
        answers = [await post(client, server, path, body) for path, body in asked]
        ended = await server.stop()
    assert (ended.code, ended.err) == (0, "")
    assert "antiphon cassette tape: 0 answered, 4 recorded, 0 missed, 0 not used" in ended.out
    return answers


def plain(sse_text: str) -> list[str]:
    """The texts that a stream says, whatever its ids."""
    found = [json.loads(line[6:]) for line in sse_text.splitlines() if line.startswith("data: {")]
    return [str(each.get("delta") or each.get("choices")) for each in found]


async def test_what_was_recorded_is_replayed_without_upstream_and_key(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    first, call, relayed = await taped(tmp_path, upstream, client)
    asked = len(upstream.exchanges)
    async with serving(tmp_path, "--replay", "tape", "--data", "two") as server:
        again = await post(client, server, "/responses", response("Hi", stream=True))
        passed = await post(client, server, "/chat/completions", chat("Hi", stream=True))
        ended = await server.stop()
    assert len(upstream.exchanges) == asked
    assert plain(again[1]) == plain(first[1])
    assert passed == relayed
    assert "function_call" in call[1]
    assert "  cassette    tape: answered from recordings, nothing outside is asked" in ended.out
    assert " answered, 0 recorded, 0 missed, 1 not used" in ended.out
    assert "  not used    model.stream-" in ended.out
    assert ended.code == 0


async def test_endpoints_that_only_recordings_know_are_served(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    (tmp_path / "antiphon.toml").unlink()
    async with serving(tmp_path, "--replay", "tape", "--data", "two") as server:
        status, text = await post(client, server, "/chat/completions", chat("Hi", stream=True))
        ended = await server.stop()
    assert (status, ended.code) == (200, 0)
    assert "Hello, chat." in text
    assert "  models      up: m" in ended.out


async def test_a_miss_is_told_to_the_client_and_ends_the_server_with_code_3(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    async with serving(tmp_path, "--replay", "tape", "--data", "two", "--report", "report.json") as server:
        status, text = await post(client, server, "/responses", response("Hi there"))
        streamed = await post(client, server, "/responses", response("Hi there", stream=True))
        passed = await post(client, server, "/chat/completions", chat("Bye"))
        vectors = await post(client, server, "/embeddings", {"model": "up/m", "input": "Hi"})
        ended = await server.stop()
    error = json.loads(text)["error"]
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "replay_miss")
    assert "The nearest is model.stream-" in error["message"]
    assert 'it differs at $.messages[0].content: asked "Hi there", recorded "Hi"' in error["message"]
    assert "response.failed" in streamed[1]
    assert 'asked \\"Hi there\\", recorded \\"Hi\\"' in streamed[1]
    assert (passed[0], json.loads(passed[1])["error"]["code"]) == (400, "replay_miss")
    assert (vectors[0], json.loads(vectors[1])["error"]["code"]) == (400, "replay_miss")
    assert ended.code == 3
    assert "4 missed" in ended.out
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (report["mode"], report["missed"], len(report["misses"]), len(report["unused"])) == ("replay", 4, 4, 3)


async def test_replay_or_record_asks_only_for_what_is_not_there(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    before = len(upstream.exchanges)
    upstream.reply(said("New."))
    variables = {"UP_KEY": "unused"}
    async with serving(tmp_path, "--replay-or-record", "tape", "--data", "two", variables=variables) as server:
        for text in ("Hi", "New", "New"):
            assert (await post(client, server, "/responses", response(text)))[0] == 200
        ended = await server.stop()
    assert len(upstream.exchanges) == before + 1
    assert "1 recorded, 0 missed" in ended.out
    assert ended.code == 0


async def test_an_upstream_that_refuses_is_recorded_and_refuses_again(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    async with recording(tmp_path, upstream, refusal(400, {"error": {"message": "No such voice."}})) as server:
        first = await post(client, server, "/chat/completions", chat("Hi"))
        await server.stop()
    async with serving(tmp_path, "--replay", "tape", "--data", "two") as server:
        assert await post(client, server, "/chat/completions", chat("Hi")) == first
        assert (await server.stop()).code == 0


async def test_a_folder_that_is_not_there_cannot_be_replayed(tmp_path: Path) -> None:
    ended = await antiphon(tmp_path, "serve", "--replay", "nowhere", "--port", "0")
    assert ended.code == 2
    assert "cassette.replay: there is no folder nowhere" in ended.err


async def test_rules_that_are_wrong_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    (tmp_path / "tape" / "cassette.toml").write_text("ignored = 1", "utf-8")
    ended = await antiphon(tmp_path, "serve", "--replay", "tape", "--port", "0", "--data", "one")
    assert ended.code == 1
    assert "cassette.toml" in ended.err
    assert "Traceback" not in ended.err


@needs_shared
async def test_a_folder_in_the_format_of_others_is_replayed_as_it_is(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    asked = {"model": "gpt-4o", "input": "Which planet do humans live on?"}
    async with serving(tmp_path, "--replay", str(SHARED / "recordings")) as server:
        status, text = await post(client, server, "/responses", asked)
        missed = await post(client, server, "/responses", {**asked, "input": "Nobody asked this."})
        ended = await server.stop()
    assert (status, "Earth" in text) == (200, True)
    assert (missed[0], json.loads(missed[1])["error"]["code"]) == (400, "replay_miss")
    assert ended.code == 3
    assert "1 answered, 0 recorded, 1 missed" in ended.out
    assert "recorded: " in ended.out
    assert "builtin" not in ended.out


# the commands


async def cassette(home: Path, *arguments: str) -> Ended:
    return await antiphon(home, "cassette", *arguments)


def files(home: Path, port: str) -> list[str]:
    return sorted(path.name for path in (home / "tape").glob(f"{port}-*.json"))


def rows(ended: Ended) -> Sequence[Json]:
    return json.loads(ended.out)


async def test_a_cassette_is_listed_and_shown(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    listed = await cassette(tmp_path, "list", "tape")
    assert listed.code == 0
    assert "up/m" in listed.out
    assert "4 exchanges" in listed.out
    found = {row["port"]: row for row in rows(await cassette(tmp_path, "list", "tape", "--json"))}
    assert found["model.relay"]["words"] == "Hi"
    assert found["model.relay"]["chunks"] >= 1
    relay = found["model.relay"]["name"]
    shown = await cassette(tmp_path, "show", f"tape/{relay}")
    assert shown.out.endswith("answered:\nHello, chat.\n[stop]\n")
    texts = [(await cassette(tmp_path, "show", f"tape/{name}")).out for name in files(tmp_path, "model.stream")]
    assert any('[call] f({"a": 1})' in text for text in texts)
    assert (await cassette(tmp_path, "show", "tape/nothing.json")).code == 2


async def test_two_cassettes_are_compared(tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession) -> None:
    await taped(tmp_path, upstream, client)
    other = tmp_path / "other"
    other.mkdir()
    for path in (tmp_path / "tape").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert (await cassette(tmp_path, "diff", "tape", "other")).out == "equal\n"
    (relay,) = files(tmp_path, "model.relay")
    edited = (other / relay).read_bytes().replace(b"Hello, chat.", b"Goodbye, chat.")
    (other / relay).write_bytes(edited)
    changed = await cassette(tmp_path, "diff", "tape", "other")
    assert (changed.code, changed.out.splitlines()[0]) == (1, f"answer: {relay}  Hi")
    assert "    -Hello, chat.\n    +Goodbye, chat.\n" in changed.out
    one, two = files(tmp_path, "model.stream")
    (other / one).unlink()
    found = rows(await cassette(tmp_path, "diff", "tape", "other", "--json"))
    assert [change["what"] for change in found] == ["answer", "only left"]
    pair = rows(await cassette(tmp_path, "diff", f"tape/{one}", f"tape/{two}", "--json"))
    assert {change["what"] for change in pair} == {"request", "answer"}
    assert (await cassette(tmp_path, "diff", "tape", f"other/{two}")).code == 2


async def test_what_a_run_did_not_use_is_pruned(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    async with serving(tmp_path, "--replay", "tape", "--data", "two", "--report", "run.json") as server:
        await post(client, server, "/responses", response("Hi"))
        await server.stop()
    tried = await cassette(tmp_path, "prune", "tape", "--unused-from", "run.json", "--dry-run")
    assert tried.out.endswith("2 to delete\n")
    done = await cassette(tmp_path, "prune", "tape", "--unused-from", "run.json")
    assert done.out.endswith("2 deleted\n")
    assert len(files(tmp_path, "model.stream")) == 1
    assert not files(tmp_path, "model.relay")
    assert (await cassette(tmp_path, "prune", "tape")).code == 2
    assert (await cassette(tmp_path, "prune", "tape", "--unused-from", "antiphon.toml")).code == 2


async def test_repeated_answers_are_pruned(tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession) -> None:
    async with recording(tmp_path, upstream, said("A"), said("B"), said("B")) as server:
        for _ in range(3):
            await post(client, server, "/responses", response("Hi"))
        await server.stop()
    assert len(files(tmp_path, "model.stream")) == 3
    assert (await cassette(tmp_path, "prune", "tape", "--duplicates")).out.endswith("1 deleted\n")
    assert [name[-8:-5] for name in files(tmp_path, "model.stream")] == ["001", "002"]


async def test_what_is_broken_is_named_and_what_can_be_put_right_is(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    assert (await cassette(tmp_path, "check", "tape")).out == "4 exchanges, 0 broken\n"
    one, two = files(tmp_path, "model.stream")
    (relay,) = files(tmp_path, "model.relay")
    edited = (tmp_path / "tape" / relay).read_bytes().replace(b'"content": "Hi"', b'"content": "Good evening"')
    (tmp_path / "tape" / relay).write_bytes(edited)
    checked = await cassette(tmp_path, "check", "tape")
    assert (checked.code, f"{relay}: the name does not fit the request" in checked.out) == (1, True)
    assert (await cassette(tmp_path, "check", "tape", "--fix")).code == 0
    (renamed,) = files(tmp_path, "model.relay")
    assert renamed != relay
    async with serving(tmp_path, "--replay", "tape", "--data", "two") as server:
        status, _ = await post(client, server, "/chat/completions", chat("Good evening", stream=True))
        await server.stop()
    assert status == 200
    (tmp_path / "tape" / one).write_bytes((tmp_path / "tape" / one).read_bytes()[:-40])
    whole = (tmp_path / "tape" / two).read_bytes()
    (tmp_path / "tape" / two).write_bytes(whole.replace(b'"cassette": 1', b'"cassette": 9'))
    found = rows(await cassette(tmp_path, "check", "tape", "--fix", "--json"))
    assert [problem["name"] for problem in found] == [one, two]
    assert "format 9" in found[1]["words"]


async def test_a_key_that_was_recorded_is_redacted_afterwards(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    await taped(tmp_path, upstream, client)
    (relay,) = files(tmp_path, "model.relay")
    path = tmp_path / "tape" / relay
    secret = "sk-" + "proj0123456789abcdefABCDEF"
    edited = path.read_bytes().replace(b"Hello, chat.", f"Use {secret}".encode())
    path.write_bytes(edited.replace(b'"content": "Hi"', f'"content": "Is it {secret}?"'.encode()))
    done = await cassette(tmp_path, "redact", "tape")
    assert (done.code, done.out) == (0, f"{relay}\n1 written again\n")
    assert not any(secret.encode() in path.read_bytes() for path in (tmp_path / "tape").iterdir())
    assert (await cassette(tmp_path, "check", "tape")).code == 0


async def test_what_is_no_cassette_is_said(tmp_path: Path) -> None:
    ended = await cassette(tmp_path, "list", "nowhere")
    assert (ended.code, ended.err) == (2, "antiphon: There is no folder nowhere.\n")
    ended = await cassette(tmp_path, "import", ".", "new")
    assert (ended.code, "no recordings" in ended.err) == (2, True)


def commands(page: Path) -> list[list[str]]:
    """The `antiphon` commands of a document, as words."""
    lines = page.read_text("utf-8").splitlines()
    return [line.removeprefix("$ antiphon ").split() for line in lines if line.startswith("$ antiphon ")]


async def test_the_commands_of_the_document_do_what_it_says(
    tmp_path: Path, upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    (tmp_path / "antiphon.toml").write_text(CONFIG.format(url=upstream.url), "utf-8")
    upstream.default = said("Hello.")
    told: list[str] = []
    for name, *arguments in commands(ROOT / "docs" / "record-replay.md"):
        if name == "serve":
            variables = {} if "--replay" in arguments else {"UP_KEY": "upstream-key-1"}
            async with serving(tmp_path, *arguments, "--data", "kept", variables=variables) as server:
                assert (await post(client, server, "/responses", response("Hi")))[0] == 200
                ended = await server.stop()
        else:
            first = next(iter(sorted((tmp_path / "tapes" / "hello").glob("model.stream-*.json"))))
            ended = await antiphon(tmp_path, name, *(each.replace("FILE.json", first.name) for each in arguments))
        assert (ended.code, ended.err) == (0, ""), (name, arguments)
        told.append(ended.out)
    assert len(told) == 6
    assert "2 recorded, 0 missed" in told[0]
    assert "2 exchanges" in told[1]
    assert told[2].endswith("answered:\nHello.\n[stop]\n")
    assert len(upstream.exchanges) == 1
