"""The command line, as real processes: what is printed, how it ends, and what a signal does to live responses."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from antiphon.cli.app import SETTING_OF, Flags
from antiphon.settings import table
from tests.process import DEADLINE, ROOT, antiphon, ended, serving, started

SCRIPT = """
[server]
drain_seconds = {drain}

[[models]]
name = "play"
kind = "scripted"
models = ["slow"]

[[models.steps]]
repeat = true
acts = [{{ act = "says", text = "Once" }}, {{ act = "waits", seconds = {seconds} }}, {{ act = "says", text = " upon" }}]
"""


@pytest.fixture
async def client() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as session:
        yield session


def databases(folder: Path) -> list[Path]:
    return list(folder.rglob("*.sqlite3"))


async def events(answer: aiohttp.ClientResponse) -> AsyncGenerator[dict[str, object]]:
    async for line in answer.content:
        if line.startswith(b"data: {"):
            yield msgspec.json.decode(line[6:], type=dict[str, object])


async def test_a_server_without_any_settings_answers(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with serving(tmp_path) as server:
        async with client.get(f"{server.url}/health") as answer:
            assert answer.status == 200
            assert "server" not in answer.headers
        asked = {"model": "antiphon-extractive", "input": "The sky is blue. Grass is green. What is blue?"}
        async with client.post(f"{server.url}/v1/responses", json=asked) as answer:
            made = await answer.json()
            assert (answer.status, made["status"]) == (200, "completed")
        stopped = await server.stop()
    assert stopped.code == 0
    assert stopped.err == ""
    assert databases(tmp_path)
    assert "builtin: antiphon-extractive" in stopped.out
    assert f'client = OpenAI(base_url="{server.url}/v1"' in stopped.out


async def test_a_signal_ends_an_idle_server_with_code_0(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        async with serving(tmp_path) as server:
            stopped = await server.stop(number)
        assert (stopped.code, stopped.err) == (0, "")


async def test_a_live_response_ends_before_the_server_does(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    (tmp_path / "antiphon.toml").write_text(SCRIPT.format(drain=20, seconds=1.5), "utf-8")
    asked = {"model": "slow", "input": "Tell", "stream": True}
    async with serving(tmp_path) as server:
        async with client.post(f"{server.url}/v1/responses", json=asked) as answer:
            stopping: asyncio.Task[object] | None = None
            last: dict[str, object] = {}
            async for event in events(answer):
                if event["type"] == "response.output_text.delta" and stopping is None:
                    stopping = asyncio.create_task(server.stop())
                last = event
        assert stopping is not None
        await stopping
        assert server.process.returncode == 0
    made = msgspec.convert(last["response"], dict[str, object])
    assert (last["type"], made["status"]) == ("response.completed", "completed")
    async with serving(tmp_path) as server, client.get(f"{server.url}/v1/responses/{made['id']}") as answer:
        assert (await answer.json())["output"][0]["content"][0]["text"] == "Once upon"


async def test_a_response_that_takes_too_long_is_cancelled_and_stored(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    (tmp_path / "antiphon.toml").write_text(SCRIPT.format(drain=0.1, seconds=3600), "utf-8")
    asked = {"model": "slow", "input": "Tell", "stream": True}
    async with serving(tmp_path) as server:
        async with client.post(f"{server.url}/v1/responses", json=asked) as answer:
            seen = [await anext(events(answer)) for _ in range(5)]
            stopped = await server.stop()
        assert stopped.code == 0
    made = msgspec.convert(seen[0]["response"], dict[str, object])
    async with serving(tmp_path) as server, client.get(f"{server.url}/v1/responses/{made['id']}") as answer:
        assert (await answer.json())["status"] in {"cancelled", "incomplete", "failed"}


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        other = await antiphon(tmp_path, "serve", "--port", str(server.port))
    assert other.code == 1
    assert f"127.0.0.1:{server.port} is in use" in other.err
    assert "--port" in other.err
    assert "Traceback" not in other.err


async def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    other = await antiphon(tmp_path, "serve", "--port", "0", "--data", str(tmp_path / "file" / "below"))
    assert other.code == 1
    assert "cannot be made" in other.err
    assert "--data" in other.err
    assert "Traceback" not in other.err


async def test_a_broken_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "antiphon.sqlite3").write_bytes(b"this is no database, whatever its name says" * 100)
    other = await antiphon(tmp_path, "serve", "--port", "0", "--data", str(tmp_path))
    assert other.code == 1
    assert "the store cannot be opened" in other.err
    assert "Traceback" not in other.err


async def test_other_machines_are_let_in_only_with_keys_or_when_told(tmp_path: Path) -> None:
    refused = await antiphon(tmp_path, "serve", "--port", "0", "--host", "0.0.0.0")
    assert refused.code == 1
    assert "--open" in refused.err
    assert "ANTIPHON_SERVER_API_KEYS" in refused.err
    async with serving(tmp_path, "--host", "0.0.0.0", "--open") as server:
        assert server.url.startswith("http://127.0.0.1:")


async def test_a_server_with_keys_wants_one(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    async with serving(tmp_path, variables={"ANTIPHON_SERVER_API_KEYS": "one,two"}) as server:
        for key, status in (("two", 200), ("three", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            async with client.get(f"{server.url}/v1/models", headers=headers) as answer:
                assert answer.status == status
        stopped = await server.stop()
    assert "two" not in stopped.out


@pytest.mark.parametrize("command", ["serve", "config"])
async def test_a_wrong_setting_stops_the_start_with_its_line(tmp_path: Path, command: str) -> None:
    file = tmp_path / "antiphon.toml"
    file.write_text("[server]\nport = 'none'\n", "utf-8")
    other = await antiphon(tmp_path, command, ANTIPHON_LOG_LEVEL="loud")
    assert other.code == 2
    assert other.err.splitlines() == [
        "antiphon: antiphon.toml:2: server.port: must be a whole number from 0 to 65535",
        "antiphon: env ANTIPHON_LOG_LEVEL: log.level: must be one of debug, info, warning, error",
    ]


@pytest.mark.parametrize("command", ["serve", "config"])
async def test_a_wrong_key_of_an_adapter_stops_the_start_with_its_line(tmp_path: Path, command: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[models]]\nname = "a"\nbase_ulr = "http://h/v1"\n', "utf-8")
    other = await antiphon(tmp_path, command, "--config", str(file))
    assert other.code == 2
    assert other.err.startswith(
        f"antiphon: {file}:3: models[0].base_ulr: unknown name `base_ulr`; did you mean `base_url`?"
    )


async def test_a_wrong_flag_is_told(tmp_path: Path) -> None:
    other = await antiphon(tmp_path, "serve", "--prot", "1")
    assert other.code == 2
    assert "--port" in other.out + other.err


async def test_config_prints_every_setting_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_text('[server]\nkeepalive = 30\n[web_search]\nkey = "s3cr3t"\n', "utf-8")
    printed = await antiphon(tmp_path, "config", "--port", "1234", ANTIPHON_LOG_LEVEL="debug")
    assert (printed.code, printed.err) == (0, "")
    lines = dict(line.split("  #", 1) for line in printed.out.splitlines())
    found = {left.strip(): right.strip() for left, right in lines.items()}
    assert found["server.port = 1234"] == "--port"
    assert found["server.keepalive = 30.0"] == "antiphon.toml:2"
    assert found['log.level = "debug"'] == "env ANTIPHON_LOG_LEVEL"
    assert found['web_search.key = "********"'] == "antiphon.toml:4"
    assert found['server.host = "127.0.0.1"'] == "default"
    assert "s3cr3t" not in printed.out
    for key in table():
        assert key.path[0] in {"models", "mcp"} or f"{'.'.join(map(str, key.path))} = " in printed.out


async def test_config_prints_json(tmp_path: Path) -> None:
    printed = await antiphon(tmp_path, "config", "--json", "--data", "here")
    found = msgspec.json.decode(printed.out, type=dict[str, dict[str, object]])
    assert found["data.dir"] == {"value": "here", "source": "--data"}


async def test_a_variable_that_is_no_setting_is_a_warning(tmp_path: Path) -> None:
    printed = await antiphon(tmp_path, "config", ANTIPHON_SEVER_PORT="1")
    assert printed.code == 0
    assert "did you mean ANTIPHON_SERVER_PORT?" in printed.err


async def test_version_and_help(tmp_path: Path) -> None:
    assert (await antiphon(tmp_path, "--version")).out.startswith("antiphon ")
    assert "--recordings" in (await antiphon(tmp_path, "serve", "--help")).out


async def test_a_second_interrupt_does_not_wait_for_live_responses(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    (tmp_path / "antiphon.toml").write_text(SCRIPT.format(drain=600, seconds=3600), "utf-8")
    asked = {"model": "slow", "input": "Tell", "stream": True}
    async with serving(tmp_path) as server, client.post(f"{server.url}/v1/responses", json=asked) as answer:
        assert await anext(events(answer))
        server.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            while await listens(server.port):
                pass
        stopped = await server.stop(signal.SIGINT)
    assert stopped.code == 0


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    process = await started(tmp_path, "serve", "--host", "192.0.2.1", "--open", "--port", "0")
    other = await ended(process)
    assert other.code == 1
    assert "cannot listen on 192.0.2.1" in other.err


def test_every_flag_is_a_setting() -> None:
    keys = {".".join(map(str, key.path)) for key in table()}
    flags = {name for name in Flags.__dataclass_fields__ if name != "config"}
    assert flags == set(SETTING_OF)
    assert set(SETTING_OF.values()) <= keys


def test_the_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_pages_name_every_setting_and_flag() -> None:
    settings, commands = ((ROOT / "docs" / name).read_text("utf-8") for name in ("settings.md", "cli.md"))
    assert [key.path for key in table() if f"| `{key.path[1]}` |" not in settings] == []
    assert [flag for flag in Flags.__dataclass_fields__ if f"| `--{flag}" not in commands] == []
