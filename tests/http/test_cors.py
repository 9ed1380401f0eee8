"""Browsers: preflights and readable answers for listed sites, and what a keyless server on loopback refuses."""

from __future__ import annotations

from hashlib import sha256

import pytest

from antiphon.http.services import HttpLimits
from antiphon.wire.errors import ServerError
from tests.http.server import Answer, Parts, Server, serving
from tests.http.stubs import StubRunner

SITE = "https://app.example"
OTHER = "https://other.example"
CREATE = {"model": "m", "input": "Hi"}
LISTED = HttpLimits(cors_origins=(SITE, "tauri://localhost"))
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


async def preflight(server: Server, origin: str, path: str = "/v1/responses", **more: str) -> Answer:
    return await server.ask("OPTIONS", path, headers={"origin": origin, **PREFLIGHT, **more})


async def test_without_the_setting_nothing_is_said() -> None:
    async with serving() as server:
        answer = await preflight(server, SITE)
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "vary" not in (await server.ask("GET", "/v1/models", headers={"origin": SITE})).headers


async def test_a_preflight_of_a_listed_site_is_answered_without_a_key() -> None:
    limits = HttpLimits(cors_origins=(SITE,), key_digests=(sha256(b"k").digest(),))
    async with serving(Parts(limits=limits)) as server:
        for path in ("/v1/responses", "/responses", "/v1/conversations/conv_1/items", "/v1/nothing"):
            answer = await preflight(server, SITE, path)
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["access-control-allow-origin"] == SITE
            assert "POST" in answer.headers["access-control-allow-methods"]
            assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
            assert int(answer.headers["access-control-max-age"]) > 0
            assert answer.headers["x-request-id"].startswith("req_")


async def test_another_site_is_told_nothing_but_still_answered() -> None:
    async with serving(Parts(limits=LISTED)) as server:
        for origin in (OTHER, "null", "https://app.example.evil.example", "http://app.example"):
            answer = await preflight(server, origin)
            assert "access-control-allow-origin" not in answer.headers
            assert "access-control-allow-methods" not in answer.headers
        answer = await server.ask("GET", "/v1/models", headers={"origin": OTHER})
        assert (answer.status, answer.headers["vary"]) == (200, "origin")
        assert "access-control-allow-origin" not in answer.headers


async def test_sites_are_compared_without_case_and_closing_slash() -> None:
    async with serving(Parts(limits=HttpLimits(cors_origins=("HTTPS://App.Example/",)))) as server:
        assert (await preflight(server, SITE)).headers["access-control-allow-origin"] == SITE


async def test_every_kind_of_answer_can_be_read() -> None:
    runner = StubRunner()
    async with serving(Parts(runner=runner, limits=LISTED)) as server:
        origin = {"origin": SITE}
        answers = [
            await server.ask("POST", "/v1/responses", CREATE, origin),
            await server.ask("POST", "/v1/responses", {**CREATE, "stream": True}, origin),
            await server.ask("POST", "/v1/responses", b"{", origin),
            await server.ask("GET", "/v1/nothing", headers=origin),
            await server.ask("PUT", "/v1/responses", headers=origin),
            await server.ask("POST", "/v1/responses", CREATE, {**origin, "content-type": "text/plain"}),
        ]
        runner.refusal = RuntimeError("broken")
        answers.append(await server.ask("POST", "/v1/responses", CREATE, origin))
        assert [answer.status for answer in answers] == [200, 200, 400, 404, 405, 415, 500]
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == SITE
            assert answer.headers["vary"] == "origin"
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"x-request-id", "retry-after", "idempotent-replayed", "x-antiphon-warning"} <= set(exposed)
            assert answer.headers["x-request-id"].startswith("req_")


async def test_a_star_lets_every_site_read() -> None:
    async with serving(Parts(limits=HttpLimits(cors_origins=("*",)))) as server:
        for origin in (SITE, "null"):
            assert (await preflight(server, origin)).headers["access-control-allow-origin"] == "*"
        answer = await server.ask("GET", "/v1/models", headers={"origin": OTHER})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-origin" not in (await server.ask("GET", "/v1/models")).headers


async def test_a_page_may_ask_a_server_in_its_private_network() -> None:
    async with serving(Parts(limits=LISTED)) as server:
        more = {"access-control-request-private-network": "true"}
        assert (await preflight(server, SITE, **more)).headers["access-control-allow-private-network"] == "true"
        assert "access-control-allow-private-network" not in (await preflight(server, OTHER, **more)).headers


async def test_options_that_are_no_preflight_are_answered_as_always() -> None:
    async with serving(Parts(limits=LISTED)) as server:
        assert "POST" in (await server.ask("OPTIONS", "/v1/responses", headers={"origin": SITE})).headers["allow"]


async def test_a_failure_keeps_its_headers() -> None:
    runner = StubRunner()
    runner.refusal = ServerError("Broken.")
    async with serving(Parts(runner=runner, limits=LISTED)) as server:
        answer = await server.ask("POST", "/v1/responses", CREATE, {"origin": SITE})
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["access-control-allow-origin"] == SITE


# a server without keys on loopback

GUARDED = HttpLimits(guarded=True)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8321", "127.0.0.1:1", "127.8.9.1", "[::1]:8321", "LOCALHOST", "localhost.", "a.localhost"],
)
async def test_the_names_of_this_machine_are_answered(host: str) -> None:
    async with serving(Parts(limits=GUARDED)) as server:
        assert (await server.ask("GET", "/v1/models", headers={"host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8321",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.nip.io",
        "[::2]",
        "x@localhost",
    ],
)
async def test_other_names_are_403(host: str) -> None:
    async with serving(Parts(limits=GUARDED)) as server:
        for method, path in (
            ("GET", "/v1/models"),
            ("POST", "/v1/responses"),
            ("GET", "/health"),
            ("OPTIONS", "/v1/x"),
        ):
            answer = await server.ask(method, path, headers={"host": host})
            assert answer.status == 403
            assert answer.error["code"] == "host_not_allowed"
            assert answer.headers["x-request-id"].startswith("req_")
            assert "server.trusted_hosts" in answer.error["message"]
        assert server.parts.runner.started == []


async def test_a_client_without_host_is_no_browser() -> None:
    async with serving(Parts(limits=GUARDED)) as server:
        assert (await server.raw(b"GET /health HTTP/1.0\r\n\r\n")).status == 200


async def test_trusted_names_are_answered() -> None:
    async with serving(Parts(limits=HttpLimits(guarded=True, trusted_hosts=("Api.Example", "10.0.0.1")))) as server:
        for host, status in (("api.example:443", 200), ("10.0.0.1", 200), ("other.example", 403)):
            assert (await server.ask("GET", "/v1/models", headers={"host": host})).status == status
    async with serving(Parts(limits=HttpLimits(guarded=True, trusted_hosts=("*",)))) as server:
        assert (await server.ask("GET", "/v1/models", headers={"host": "any.example"})).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (OTHER, 403),
        ("null", 403),
        ("chrome-extension://abc", 403),
        ("http://localhost.evil.example", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8321", 200),
        (SITE, 200),
        ("tauri://localhost", 200),
    ],
)
async def test_pages_of_other_sites_are_403_whatever_they_ask(origin: str, status: int) -> None:
    limits = HttpLimits(guarded=True, cors_origins=(SITE,))
    async with serving(Parts(limits=limits)) as server:
        local = {"host": "localhost", "origin": origin}
        answer = await server.ask("POST", "/v1/responses", CREATE, local)
        assert answer.status == status
        assert (await preflight(server, **local)).status == status
        if status == 403:
            assert answer.error["code"] == "origin_not_allowed"
            assert server.parts.runner.started == []


async def test_a_page_of_a_trusted_name_may_ask_it() -> None:
    async with serving(Parts(limits=HttpLimits(guarded=True, trusted_hosts=("api.example",)))) as server:
        headers = {"host": "api.example", "origin": "https://api.example"}
        assert (await server.ask("POST", "/v1/responses", CREATE, headers)).status == 200
        assert (await server.ask("POST", "/v1/responses", CREATE, {**headers, "origin": SITE})).status == 403


async def test_a_star_lets_every_page_ask_by_our_names_only() -> None:
    async with serving(Parts(limits=HttpLimits(guarded=True, cors_origins=("*",)))) as server:
        for host, status in (("localhost", 200), ("evil.example", 403)):
            answer = await server.ask("POST", "/v1/responses", CREATE, {"host": host, "origin": OTHER})
            assert answer.status == status
