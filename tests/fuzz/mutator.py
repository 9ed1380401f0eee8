"""Requests that go wrong, by number: the same seed and number always make the same request (but for the ids in it).

A request starts as what a client sends. Its JSON is bent in one to three places (`bent`), then its text and bytes
(`garbled`), then what surrounds it: method, path, query, headers.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote

from msgspec import Struct

from antiphon.http.app import OPERATIONS

Json: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[Any, Any]
"""A list or object, and an index or key of it."""

RAW: Final = {
    "@deep@": "[" * 20_000 + "]" * 20_000,
    "@pit@": '{"a":' * 300 + "1" + "}" * 300,
    "@unclosed@": "[" * 5_000,
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@huge@": "1e999",
    "@digits@": "9" * 4_000,  # Python reads no more, and a refused steer echoes its input
    "@exact@": "9007199254740993",
    "@half@": '"\\ud83d"',
    "@escape@": '"\\x"',
    "@control@": '"\x01\n"',
}
"""What JSON's writer would not write, by the text that stands for it."""

SCALARS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**64), 10**30, 0.5, -0.0, 1e308),
    *("", " ", "0", "null", "m", "user", "auto", "required", "json_schema", "asc", "resp_", "conv_x", "\x00", "\u202e"),
    *(
        "\U0001f600" * 50,
        "e\u0301",
        "\ufeff",
        "\ud800",
        "a\udfff",
        "A" * 100_000,
        "%s%n{}",
        "../../etc/passwd",
        "' OR 1=1",
    ),
    *("data:image/png;base64,AAAA", "http://[::1", "[", "(?P<", "^(a+)+$"),
)
COMPOUNDS: Final = (
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    '{"": {}}',
    '{"type": "message"}',
    '{"type": {}}',
    "[0, [1, [2]]]",
)
NAMES: Final = (
    "",
    "type",
    "role",
    "content",
    "input",
    "__proto__",
    "\ud800",
    "id",
    "stream",
    "x" * 1000,
    "a.b",
    "\x00",
)
TYPES: Final = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "application/json; charset=utf-16",
)
QUERY: Final = (
    *("limit=0", "limit=101", "limit=-1", "limit=x", "limit=1e3", "limit=", "limit=1&limit=2", "order=asc", "order=up"),
    *(
        "after=item_x",
        "before=%00",
        "after=%ff%fe",
        "include[]=x",
        "include[]=message.output_text.logprobs",
        "include=",
    ),
    *("stream=true", "stream=true&starting_after=-1", "stream=true&starting_after=9" + "9" * 30, "stream=maybe"),
    *(
        "starting_after=1",
        "metadata[a]=b",
        "metadata[",
        "model=%F0%9F",
        "version=0",
        "version=99999999999",
        "a" * 3000,
        "&&=&",
    ),
)
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND")


class Sent(Struct, frozen=True, kw_only=True):
    """One request."""

    number: int
    method: str
    target: str
    body: bytes
    headers: dict[str, str]


class Mutator:
    """`bodies`: paths and what clients send there. `ids`: what stands in `{name}` of a path."""

    def __init__(self, seed: int, bodies: Sequence[tuple[str, Json]], ids: Mapping[str, Sequence[str]]) -> None:
        self.seed = seed
        self._bodies = bodies
        self._ids = ids

    def sent(self, number: int) -> Sent:
        """The request of this number."""
        chance = random.Random(f"{self.seed}:{number}")
        method, target, body = self._start(chance)
        headers = {"content-type": "application/json"}
        content = b""
        if method == "POST":
            text = written(bent(body, chance) if chance.random() < 0.9 else body, chance)
            content = garbled(text, chance)
            content = _wrapped(content, headers, chance)
        if chance.random() < 0.04:
            method = chance.choice(METHODS)
        if chance.random() < (0.7 if method == "GET" else 0.03):
            target += "?" + "&".join(chance.choices(QUERY, k=chance.randint(1, 3)))
        return Sent(number=number, method=method, target=target, body=content, headers=headers)

    def _start(self, chance: random.Random) -> tuple[str, str, Json]:
        """Mostly what a client sent; else any operation, with an id of ours or one of nobody's."""
        if chance.random() < 0.75:
            path, body = chance.choice(self._bodies)
            return "POST", self._filled(path, chance), self._named(body, chance)
        operation = chance.choice(OPERATIONS)
        path = "/v1" + operation.path
        if chance.random() < 0.05:
            path = path.replace("/", "//", 1) if chance.random() < 0.5 else path + "/%2e%2e/x"
        fitting = [body for at, body in self._bodies if at == path] or [{"model": "m", "input": "Hi", "items": []}]
        return operation.method, self._filled(path, chance), self._named(chance.choice(fitting), chance)

    def _named(self, body: Json, chance: random.Random) -> Json:
        """The body with ids of ours in their places."""
        text = json.dumps(body)
        for name, known in self._ids.items():
            text = text.replace(f'"{{{name}}}"', json.dumps(chance.choice(known)))
        return json.loads(text)

    def _filled(self, path: str, chance: random.Random) -> str:
        for name, known in self._ids.items():
            mark = "{" + name + "}"
            if mark in path:
                odd = chance.choice(("x", "\x00", "a/b", "é", "%", "A" * 2000, "null", "resp_" + "0" * 48))
                path = path.replace(mark, quote(chance.choice(known) if chance.random() < 0.7 else odd, safe=""))
        return path


def bent(body: Json, chance: random.Random) -> Json:
    """A copy with one to three of its places bent."""
    bent: Json = json.loads(json.dumps(body))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        found = [*places(bent)]
        if not found:
            break
        _bend(*chance.choice(found), found, chance)
    return bent


def places(node: Any) -> Iterator[Place]:
    """Every place of a document, outermost first."""
    keys: list[Any] = [*node] if isinstance(node, dict) else [*range(len(cast("list[Any]", node)))]
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def _bend(node: Any, key: Any, others: Sequence[Place], chance: random.Random) -> None:
    match chance.randrange(10):
        case 0 | 1 | 2:
            node[key] = chance.choice(SCALARS)
        case 3:
            node[key] = json.loads(chance.choice(COMPOUNDS))
        case 4:
            node[key] = chance.choice([*RAW])
        case 5:
            del node[key]
        case 6:
            whose, which = chance.choice(others)
            if isinstance(whose, dict) == isinstance(which, str) and (isinstance(whose, dict) or which < len(whose)):
                node[key] = json.loads(
                    json.dumps(cast("Json", whose).get(which) if isinstance(whose, dict) else whose[which])
                )
        case 7:
            node[key] = [node[key]] * chance.choice((1, 2, 100))
        case 8:
            if isinstance(node, dict):
                node = cast("Json", node)
                node[chance.choice(NAMES)] = node.pop(key) if chance.random() < 0.5 else chance.choice(SCALARS)
        case _:
            node[key] = _neighbour(node[key], chance)


def _neighbour(value: Any, chance: random.Random) -> Any:
    """A value of the same type that is nearly the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return chance.choice((-value, value + 0.5, value * 10**6, str(value)))
    if isinstance(value, str):
        return chance.choice((value.upper(), value + "\x00", value[:-1], value * 2, " " + value, {value: value}))
    others: tuple[Any, ...] = ([], {}, [value], str(value)[:1000])
    return chance.choice(others)


def written(body: Json, chance: random.Random) -> str:
    """The document as JSON, or nearly."""
    text = json.dumps(body, ensure_ascii=True)
    for mark, raw in RAW.items():
        text = text.replace(f'"{mark}"', raw)
    if chance.random() < 0.03:
        key = chance.choice([*body] or ["model"])
        text = text[:-1] + f", {json.dumps(key)}: {json.dumps(chance.choice(SCALARS))}" + "}"
    return text


def garbled(text: str, chance: random.Random) -> bytes:
    """The bytes of a body: mostly as they should be."""
    content = text.encode("utf-8", "surrogatepass")
    match chance.randrange(40):
        case 0:
            return content[: chance.randrange(len(content) + 1)]
        case 1:
            return chance.randbytes(chance.randrange(400))
        case 2:
            flipped = bytearray(content)
            for _ in range(chance.randint(1, 8)):
                flipped[chance.randrange(len(flipped))] = chance.randrange(256)
            return bytes(flipped)
        case 3:
            return chance.choice(
                (
                    b"",
                    b"\xef\xbb\xbf" + content,
                    text.encode("utf-16", "surrogatepass"),
                    content * 2,
                    b"[" + content + b"]",
                )
            )
        case 4:
            return chance.choice((b"null", b"1", b'"x"', b"[]", b"{}", b"\x00", b"{" * 100_000, b"[" * 1_000_000))
        case _:
            return content


def _wrapped(content: bytes, headers: dict[str, str], chance: random.Random) -> bytes:
    """The content as it is sent, with its headers: mostly plain."""
    match chance.randrange(30):
        case 0:
            headers["content-type"] = chance.choice(TYPES)
        case 1:
            headers["content-encoding"] = chance.choice(("gzip", "zstd", "deflate", "br", "gzip, zstd", "x" * 200))
        case 2:
            headers["content-encoding"] = "deflate"
            packed = zlib.compress(content)
            return packed if chance.random() < 0.5 else packed[: len(packed) // 2]
        case 3:
            headers["idempotency-key"] = chance.choice(("k", "k" * 300, "a b", "\u00e9".encode().decode("latin-1")))
        case 4:
            headers["authorization"] = chance.choice(("Bearer", "Bearer x", "Basic eDp5", "\u00ff"))
        case _:
            pass
    return content
