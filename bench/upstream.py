"""A model's endpoint that costs next to nothing: chat completions whose bytes are made once and replayed.

The last user text steers it: `[[n=200 d=20 tool=1]]` asks for 200 tokens, 20 ms apart, ending in one tool call; without
a mark it says 20 tokens at once. `[[rounds=3 calls=2 ms=200]]` asks for three rounds of two calls of the first offered
tool with the arguments `{"ms": 200}`, and twenty tokens behind them. Every answer carries ids of its own, as a real
endpoint's does. `/stats` tells what reached it. Standard library only: `python -m bench.upstream --port 19810`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

MARK = re.compile(rb"\[\[n=(\d+)(?: d=([\d.]+))?(?: tool=([01]))?\]\]")
LOOP = re.compile(rb"\[\[rounds=(\d+) calls=(\d+) ms=(\d+)\]\]")
TOLD = re.compile(rb'"role": ?"tool"')
MODEL = "mock"
PLACEHOLDER = b"0" * 24
"""Stands for the id in prepared bytes; as long as what replaces it, so that chunk lengths stay true."""

WORDS = tuple(f" tok{digit}" for digit in range(10))


class Script(NamedTuple):
    """What an answer shall be: how many tokens, seconds between them, and how often it calls which tool with what."""

    tokens: int = 20
    delay: float = 0.0
    tool: str = ""
    usage: bool = False
    calls: int = 1
    arguments: str = '{"location":"Paris"}'


def said(tokens: int) -> str:
    """The text of an answer of so many tokens."""
    return "".join(WORDS[place % 10] for place in range(tokens))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _whole(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(payload: bytes) -> bytes:
    event = b"data: " + payload + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
END = _chunk(b"[DONE]") + b"0\r\n\r\n"
MODELS = _whole(
    "200 OK", _json({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}]})
)
MISSING = _whole("404 Not Found", _json({"error": {"message": "no such route", "type": "invalid_request_error"}}))


def _answer(kind: str, choices: list[object], **more: object) -> bytes:
    fields = {
        "id": f"chatcmpl-{PLACEHOLDER.decode()}",
        "object": kind,
        "created": 1_760_000_000,
        "model": "gpt-4o-2024-08-06",
    }
    tail = {"service_tier": "default", "system_fingerprint": "fp_bench"}
    return _json({**fields, "choices": choices, **more, **tail})


def _delta(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice: object = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _chunk(_answer("chat.completion.chunk", [choice], usage=None, obfuscation="aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1"))


def _usage(tokens: int) -> dict[str, object]:
    return {
        "prompt_tokens": 12,
        "completion_tokens": tokens,
        "total_tokens": 12 + tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _call(place: int, name: str, arguments: str) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {"index": place, "id": f"call_{place}_{PLACEHOLDER.decode()}", "type": "function", "function": function}


@cache
def _streamed(script: Script) -> tuple[bytes, ...]:
    """The answer as chunks of a stream."""
    if script.tool:
        opening: dict[str, object] = {"role": "assistant", "content": None}
        pieces: list[str] = re.findall(r"\w+|\W+", script.arguments)
        calls: list[dict[str, object]] = []
        for place in range(script.calls):
            calls.append(_call(place, script.tool, ""))
            calls.extend({"index": place, "function": {"arguments": piece}} for piece in pieces)
        deltas: list[dict[str, object]] = [{"tool_calls": [call]} for call in calls]
    else:
        opening = {"role": "assistant", "content": "", "refusal": None}
        deltas = [{"content": WORDS[place % 10]} for place in range(script.tokens)]
    parts = [_delta(delta) for delta in (opening, *deltas)]
    parts.append(_delta({}, "tool_calls" if script.tool else "stop"))
    if script.usage:
        parts.append(_chunk(_answer("chat.completion.chunk", [], usage=_usage(script.tokens))))
    return (*parts, END)


@cache
def _complete(script: Script) -> bytes:
    """The answer in one piece."""
    message: dict[str, object] = {"role": "assistant", "content": said(script.tokens), "refusal": None}
    if script.tool:
        calls = [_call(place, script.tool, script.arguments) for place in range(script.calls)]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    finish = "tool_calls" if script.tool else "stop"
    choice: object = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return _whole("200 OK", _answer("chat.completion", [choice], usage=_usage(script.tokens)))


class Stats:
    """What reached the endpoint; `roles` and `bytes` are those of the last chat completion, `aborted` counts streams
    that the client left before their end."""

    def __init__(self) -> None:
        self.requests = 0
        self.roles = 0
        self.bytes = 0
        self.aborted = 0


def _offered(body: bytes) -> str:
    return json.loads(body)["tools"][0]["function"]["name"]


def script_of(body: bytes) -> Script:
    """What this request asks for."""
    usage = b"include_usage" in body
    if loop := LOOP.search(body, max(0, body.rfind(b"[[rounds="))):
        rounds, calls, wait = map(int, loop.groups())
        if len(TOLD.findall(body)) >= rounds * calls:
            return Script(usage=usage)
        return Script(0, 0.0, _offered(body), usage, calls, f'{{"ms":{wait}}}')
    found = list(MARK.finditer(body, max(0, body.rfind(b"[[n="))))
    tokens, delay, tool = found[-1].groups() if found else (b"20", None, None)
    name = ""
    if tool == b"1" and b'"role":"tool"' not in body and b'"role": "tool"' not in body:
        name = _offered(body)
    return Script(int(tokens), float(delay or 0) / 1000, name, usage)


class Endpoint(asyncio.Protocol):
    """One kept-alive connection; a request is answered before the next is read."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._busy = False
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        del exc
        self._gone = True
        self._stats.aborted += self._busy

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        while not self._busy and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            method, path, _ = head.split(b" ", 2)
            self._answer(method, path, body)

    def _answer(self, method: bytes, path: bytes, body: bytes) -> None:
        if method == b"GET":
            routes = {b"models": MODELS, b"stats": _whole("200 OK", _json(vars(self._stats)))}
            self._transport.write(routes.get(path.rsplit(b"/", 1)[-1], MISSING))
        elif path.endswith(b"/chat/completions"):
            self._generate(body)
        else:
            self._transport.write(MISSING)

    def _generate(self, body: bytes) -> None:
        stats = self._stats
        stats.requests, stats.roles, stats.bytes = stats.requests + 1, body.count(b'"role"'), len(body)
        script, fresh = script_of(body), b"%024d" % stats.requests
        self._busy = True
        if b'"stream":true' in body or b'"stream": true' in body:
            parts = [part.replace(PLACEHOLDER, fresh) for part in _streamed(script)]
            self._transport.write(HEAD)
            self._loop.call_soon(self._write, parts, 0, script.delay, self._loop.time())
        else:
            whole = [_complete(script).replace(PLACEHOLDER, fresh)]
            due = self._loop.time() + script.delay * script.tokens
            self._loop.call_at(due, self._write, whole, 0, 0.0, due)

    def _write(self, parts: Sequence[bytes], place: int, delay: float, due: float) -> None:
        """One piece, then the next when it is due: a beat is kept even when one comes late."""
        if self._gone:
            return
        self._transport.write(parts[place])
        if place + 1 == len(parts):
            self._busy = False
            self._next()
        elif delay:
            self._loop.call_at(due + delay, self._write, parts, place + 1, delay, due + delay)
        else:
            self._loop.call_soon(self._write, parts, place + 1, delay, due)


async def serve(port: int) -> asyncio.Server:
    """Listen on this loopback port; 0 takes a free one."""
    stats = Stats()
    return await asyncio.get_running_loop().create_server(lambda: Endpoint(stats), "127.0.0.1", port, backlog=1024)


async def _main(port: int) -> None:
    server = await serve(port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0, help="loopback port; 0 (the default) takes a free one")
    try:
        asyncio.run(_main(arguments.parse_args().port))
    except KeyboardInterrupt:
        print("stopped")
