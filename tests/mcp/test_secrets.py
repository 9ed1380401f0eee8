"""The canary: secrets that are given once, in every place that takes one, and are looked for everywhere.

The server is a real process that logs all it can; the MCP server says back whatever it was told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from antiphon.adapters.mcp.secrets import REDACTED, scrubbed, scrubbed_parts, secrets_of
from antiphon.ports.mcp import McpServer
from tests.listening import listening
from tests.mcp.stage import Neighbour, items, neighbour, tool
from tests.process import Serving, serving
from tests.upstream import DONE, Reply, Upstream, chunk, running, speech, sse, usage

DEADLINE = 60.0
TOKEN = "canary-token-0123456789abcdef"
HEADER = "canary-header-0123456789abcdef"
PATH = "canary-path-0123456789abcdef"
QUERY = "canary-query-0123456789abcdef"
USER = "canary-user-0123456789abcdef"
SEARCH = "canary-search-0123456789abcdef"
ALL = (TOKEN, HEADER, PATH, QUERY, USER, SEARCH)
Json = dict[str, Any]


class Desk:
    """The server under test, and all that it ever said."""

    def __init__(self, server: Serving, http: aiohttp.ClientSession, upstream: Upstream) -> None:
        self.server = server
        self.http = http
        self.upstream = upstream
        self.heard: list[str] = []
        self.headers: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        asked = self.http.request(method, f"{self.server.url}/v1{path}", json=body, headers=self.headers)
        async with asked as answer:
            text = await answer.text()
            self.heard += [text, *answer.headers.values()]
            return answer.status, text

    async def turn(self, *tools: Json, **fields: Any) -> Json:
        """A response to its end, whichever form it has."""
        status, text = await self.ask("POST", "/responses", {"model": "m", "input": "x", "tools": tools, **fields})
        assert status == 200, text
        if fields.get("stream"):
            return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")][-1]["response"]
        response = json.loads(text)
        while response["status"] in {"queued", "in_progress"}:
            response = json.loads((await self.ask("GET", f"/responses/{response['id']}"))[1])
        return response

    def calls(self, name: str, **arguments: Any) -> None:
        """The model calls this tool and then is done."""
        function = {"name": f"lab__{name}", "arguments": json.dumps(arguments)}
        made = chunk(role="assistant", tool_calls=[{"index": 0, "id": "call_1", "function": function}])
        self.upstream.reply(Reply([sse(made), sse(chunk(finish="tool_calls")) + sse(usage()) + DONE]), speech("Done."))


@asynccontextmanager
async def desk(home: Path) -> AsyncGenerator[Desk]:
    """At its end everything that was said, logged or kept is looked through."""
    async with running() as upstream, aiohttp.ClientSession() as http:
        variables = {
            "ANTIPHON_MODELS": json.dumps([{"name": "test", "base_url": upstream.url, "models": ["m"]}]),
            "ANTIPHON_EGRESS_ALLOW": "127.0.0.1",
            "ANTIPHON_EMBEDDER_KIND": "none",
            "ANTIPHON_LOG_LEVEL": "debug",
            "ANTIPHON_WEB_SEARCH_KIND": "tavily",
            "ANTIPHON_WEB_SEARCH_KEY": SEARCH,
            "ANTIPHON_WEB_SEARCH_URL": upstream.url,
        }
        async with serving(home, variables=variables) as server, asyncio.timeout(DEADLINE):
            found = Desk(server, http, upstream)
            yield found
            kept = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}  # the WAL is there
            ended = await server.stop()
        kept |= {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    asked = [exchange.body.decode() + json.dumps(exchange.headers) for exchange in upstream.exchanges]
    for canary in ALL:
        assert not [text for text in found.heard if canary in text], "an answer says it"
        assert not [str(path) for path, content in kept.items() if canary.encode() in content], "a file holds it"
        assert canary not in ended.out + ended.err, "the log says it"
        assert canary == SEARCH or not [text for text in asked if canary in text], "the model was told"


def armed(near: Neighbour, **fields: Any) -> Json:
    """A declaration with a secret in each place of it."""
    url = f"{near.url}/secret/{PATH}/mcp?key={QUERY}"
    return tool(url, authorization=TOKEN, headers={"X-Key": HEADER}, **fields)


@pytest.fixture
async def near() -> AsyncGenerator[Neighbour]:
    async with neighbour(TOKEN=TOKEN) as found:
        yield found


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"background": True}, {"background": True, "stream": True}])
async def test_what_is_given_with_a_tool_appears_nowhere(near: Neighbour, tmp_path: Path, fields: Json) -> None:
    async with desk(tmp_path) as found:
        found.calls("echo")
        response = await found.turn(armed(near), **fields)
        (call,) = items(response, "mcp_call")
        assert call["status"] == "completed", call
        assert call["output"].count(REDACTED) >= 3, call
        found.calls("echo", fail=True)
        failed = await found.turn(armed(near), **fields)
        (call,) = items(failed, "mcp_call")
        assert (call["status"], call["error"]["type"]) == ("failed", "mcp_tool_execution_error")
        assert REDACTED in json.dumps(call["error"])
        for path in (response["id"], f"{response['id']}/input_items", f"{failed['id']}?include=x"):
            await found.ask("GET", f"/responses/{path}")
        # what is refused, by the server and by us
        wrong = armed(near) | {"authorization": f"{TOKEN}-wrong"}
        status, _ = await found.ask("POST", "/responses", {"model": "m", "input": "x", "tools": [wrong]})
        assert status == 401
        for path in ("failing", "garbage", "junk", "loop", "nothing"):
            found.upstream.reply(speech("Done."))
            told = await found.turn(armed(near) | {"server_url": f"{near.url}/{path}?key={QUERY}"}, **fields)
            assert told["output"][0]["error"], path
        bad = [
            {"server_url": f"http://{USER}:{USER}@127.0.0.1:{near.port}/mcp"},
            {"server_url": f"ftp://127.0.0.1/{PATH}"},
            {"server_url": f"http://[{PATH}/mcp"},
            {"headers": {"X-Key\n": HEADER}},
            {"headers": {"Authorization": TOKEN}},
            {"authorization": f"{TOKEN}\n"},
            {"headers": {"X-Key": [HEADER]}},
            {"authorization": {"token": TOKEN}},
            {"allowed_tools": {"tool_names": TOKEN}},
        ]
        for change in bad:
            found.upstream.default = speech("Done.")
            await found.ask(
                "POST", "/responses", {"model": "m", "input": "x", "tools": [armed(near) | change], **fields}
            )


@pytest.mark.parametrize("own", [False, True])
async def test_a_search_key_appears_nowhere(tmp_path: Path, own: bool) -> None:
    """Neither that of the settings nor one that the request brings."""
    async with desk(tmp_path) as found:
        found.headers = {"X-Antiphon-Web-Search-Key": f"{SEARCH}-own"} if own else {}
        function = {"name": "web_search", "arguments": '{"query": "x"}'}
        made = chunk(role="assistant", tool_calls=[{"index": 0, "id": "call_1", "function": function}])
        refused = Reply([json.dumps({"detail": {"error": f"bad key {SEARCH}"}}).encode()], 401, "application/json")
        found.upstream.reply(Reply([sse(made), sse(chunk(finish="tool_calls")) + sse(usage()) + DONE]), refused)
        found.upstream.default = speech("Done.")
        response = await found.turn({"type": "web_search"})
        assert items(response, "web_search_call")[0]["status"] == "failed"
        assert [f"{SEARCH}-own" in json.dumps(each.headers) for each in found.upstream.exchanges].count(True) == own


@pytest.mark.parametrize(
    "secret", [{"authorization": TOKEN}, {"headers": {"X-Key": HEADER}}, {"server_url": f"http://h/mcp?key={QUERY}"}]
)
async def test_items_with_credentials_are_refused_and_not_kept(near: Neighbour, tmp_path: Path, secret: Json) -> None:
    added = {"type": "additional_tools", "role": "developer", "tools": [tool(near, **secret)]}
    found_by = {
        "type": "tool_search_output",
        "call_id": "call_9",
        "execution": "client",
        "tools": [tool(near, **secret)],
    }
    async with desk(tmp_path) as found:
        conversation = json.loads((await found.ask("POST", "/conversations", {}))[1])["id"]
        for item in (added, found_by):
            for path in ("/conversations", f"/conversations/{conversation}/items"):
                status, text = await found.ask("POST", path, {"items": [item]})
                assert (status, json.loads(text)["error"]["param"]) == (400, "items"), text
        for stored in ({}, {"conversation": conversation}, {"background": True}):
            body = {"model": "m", "input": [added, {"role": "user", "content": "x"}], **stored}
            status, text = await found.ask("POST", "/responses", body)
            assert (status, json.loads(text)["error"]["param"]) == (400, "input"), text
        listed = json.loads((await found.ask("GET", f"/conversations/{conversation}/items"))[1])
        assert listed["data"] == []


async def test_a_conversation_that_goes_on_without_credentials_fails_at_the_server(
    near: Neighbour, tmp_path: Path
) -> None:
    async with desk(tmp_path) as found:
        found.calls("echo")
        first = await found.turn(armed(near))
        found.calls("echo")
        bare = tool(near)
        second = await found.turn(bare, previous_response_id=first["id"])
        (call,) = items(second, "mcp_call")
        assert (call["status"], call["error"]["type"], call["error"]["code"]) == ("failed", "http_error", 401)
        found.calls("set_boiling_point", liquid="water", point=1)
        asked = await found.turn(armed(near, require_approval="always"))
        (request,) = items(asked, "mcp_approval_request")
        found.upstream.default = speech("Done.")
        yes = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        without = await found.turn(bare, previous_response_id=asked["id"], input=[yes])
        assert items(without, "mcp_call")[0]["error"]["code"] == 401
        given = await found.turn(armed(near), previous_response_id=asked["id"], input=[yes])  # it was not used
        assert items(given, "mcp_call")[0]["status"] == "completed"
    assert len(await near.log()) == 1


async def test_what_is_given_for_one_server_is_not_sent_to_another(near: Neighbour, tmp_path: Path) -> None:
    """Neither by a redirect, nor to a server that is declared beside it."""
    seen: list[str] = []

    async def stranger(request: web.Request) -> web.Response:
        seen.append(f"{request.path_qs} {dict(request.headers)} {await request.text()}")
        return web.Response(status=404)

    beyond = web.Application()
    beyond.router.add_route("*", "/{path:.*}", stranger)
    async with listening(beyond) as other, desk(tmp_path) as found:

        async def away(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{other}/elsewhere"})

        turning = web.Application()
        turning.router.add_route("*", "/{path:.*}", away)
        async with listening(turning) as turn:
            found.calls("echo")
            moved = armed(near) | {"server_url": f"{turn}/{PATH}/mcp?key={QUERY}", "server_label": "moved"}
            beside = tool(f"{other}/mcp", server_label="beside")
            response = await found.turn(moved, beside, armed(near))
        assert items(response, "mcp_call")[0]["status"] == "completed"
        assert [bool(item.get("error")) for item in items(response, "mcp_list_tools")] == [True, True, False]
    assert seen
    for canary in ALL:
        assert not [line for line in seen if canary in line]


# the pieces


def test_secrets_are_taken_out_of_texts_the_longest_first() -> None:
    server = McpServer(
        url=f"https://h.example/v1/{PATH}/mcp?key={QUERY}&page=2",
        headers={"Authorization": f"Bearer {TOKEN}", "X-Short": "on"},
        env={"API_KEY": "env-secret-value", "HOME": "somewhere-else"},
    )
    secrets = secrets_of(server)
    assert secrets == tuple(sorted(secrets, key=len, reverse=True))
    said = f"{PATH} {QUERY} Bearer {TOKEN} {TOKEN} env-secret-value on somewhere-else mcp"
    assert scrubbed(said, secrets) == " ".join([REDACTED] * 5 + ["on somewhere-else mcp"])
    assert scrubbed_parts([{"a": [f"x{TOKEN}"], TOKEN: 1}], secrets) == [{"a": [f"x{REDACTED}"], REDACTED: 1}]
    assert secrets_of(McpServer(url="https://h.example/api/boiling-points/mcp")) == ()
