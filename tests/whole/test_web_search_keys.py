"""A client's own key for the search backend, and what is said of a backend that fails: through the whole server."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.sockets import connected
from tests.whole.house import Json
from tests.whole.test_web_search import SEARCH, Desk, actions, desk_of

HEADER = "X-Antiphon-Web-Search-Key"
CANARY = "canary-of-a-client-77ab"
OWN = "canary-of-the-server-12cd"


async def raw(desk: Desk, body: Json, **headers: str) -> tuple[int, str]:
    async with desk.served.raw.post(f"{desk.served.url}/v1/responses", json=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_key_in_the_header_is_used_for_that_request_alone(tmp_path: Path) -> None:
    async with desk_of(tmp_path, backend={"key": OWN}) as desk:
        for stream in (False, True):
            body = desk.wish("Done.", [SEARCH], stream=stream)
            assert (await raw(desk, body, **{HEADER: CANARY}))[0] == 200
            assert (await raw(desk, body))[0] == 200
            assert (await raw(desk, body, **{HEADER: " "}))[0] == 200
        assert desk.site.keys == [f"Bearer {CANARY}", f"Bearer {OWN}", f"Bearer {OWN}"] * 2


async def test_a_key_is_enough_where_the_server_has_none(tmp_path: Path) -> None:
    async with desk_of(tmp_path) as desk:
        await raw(desk, desk.wish("Done.", [SEARCH]), **{HEADER: CANARY})
        assert desk.site.keys == [f"Bearer {CANARY}"]


async def test_a_websocket_brings_its_key_when_it_opens(tmp_path: Path) -> None:
    async with desk_of(tmp_path) as desk:
        async with connected(desk.served.url, additional_headers={HEADER: CANARY}) as socket:
            for _ in range(2):
                await socket.create(**desk.wish("Done.", [SEARCH]))
        assert desk.site.keys == [f"Bearer {CANARY}"] * 2


async def test_in_the_background_a_key_is_refused_where_it_would_be_used(tmp_path: Path) -> None:
    async with desk_of(tmp_path) as desk:
        body = desk.wish("Done.", [SEARCH], background=True)
        status, said = await raw(desk, body, **{HEADER: CANARY})
        error = json.loads(said)["error"]
        assert (status, error["param"], error["code"]) == (400, "background", "unsupported_value")
        assert HEADER.lower() in error["message"]
        assert (await raw(desk, body))[0] == 200
        assert (await raw(desk, {**body, "tools": []}, **{HEADER: CANARY}))[0] == 200


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ((401, f"bad key {CANARY} {OWN}"), "refused the key (HTTP 401)"),
        ((429, CANARY), "is limiting the rate of searches (HTTP 429)"),
        ((500, CANARY), "answered with HTTP 500"),
        ((200, f"<html>{CANARY}</html>"), "sent something that is not a list of search results"),
        ((0, ""), "did not answer in 0.2 seconds"),
    ],
)
async def test_a_failing_backend_is_named_and_no_key_appears_anywhere(
    tmp_path: Path,
    fault: tuple[int, str],
    words: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    async with desk_of(tmp_path, backend={"key": OWN, "timeout": 0.2}) as desk:
        desk.site.fault = fault
        said = ""
        for stream in (False, True):
            status, text = await raw(desk, desk.wish("So.", [SEARCH], stream=stream), **{HEADER: CANARY})
            assert status == 200
            assert desk.told() == [f"The search failed: 127.0.0.1 {words}."]
            said += text
        made = json.loads(said[: said.index("event: ")])
        assert [item["status"] for item in made["output"]] == ["failed", "completed"]
        assert actions(made)[0]["query"] == "lamp"
        desk.site.fault = None
        await raw(desk, desk.wish("So.", [SEARCH]), **{HEADER: CANARY})
        said += json.dumps((await desk.served.ask("GET", f"/responses/{made['id']}"))[1])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    out, err = capfd.readouterr()
    logged = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records)
    for canary in (CANARY, OWN):
        assert canary not in said
        assert canary.encode() not in kept
        assert canary not in logged + out + err
