"""Compressed request bodies: what is read, what is refused, and what a bomb costs."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import aiohttp
import pytest
import zstandard

from antiphon.http.bodies import unpacked
from antiphon.http.services import HttpLimits
from antiphon.wire.errors import InvalidRequestError, TooLargeError
from tests.http.server import Parts, serving

BODY = json.dumps({"model": "m", "input": "Grüße " * 2000}).encode()
MB = 1024 * 1024


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def zstd_stream(content: bytes) -> bytes:
    """A frame that does not say how long it is, as clients write it that compress while they send."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd stream": ("zstd", zstd_stream),
    "zstd high": ("zstd", zstandard.ZstdCompressor(level=19, write_checksum=True).compress),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "upper case": (" GZIP ", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
}


@pytest.mark.parametrize("kind", PACKERS)
async def test_a_compressed_body_is_read(kind: str) -> None:
    name, pack = PACKERS[kind]
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", pack(BODY), {"content-encoding": name})
        assert answer.status == 200, answer.body
        (started,) = server.parts.runner.started
        assert "Grüße Grüße" in str(started.input)
        assert (await server.ask("POST", "/v1/conversations", pack(b"{}"), {"content-encoding": name})).status == 200


@pytest.mark.parametrize("kind", PACKERS)
async def test_a_compressed_body_may_come_in_any_pieces(kind: str) -> None:
    name, pack = PACKERS[kind]
    packed = pack(os.urandom(3000).hex().encode())
    for step in (1, 7, 1000, 100_000):
        found = await unpacked(pieces(packed, step), name.strip().lower().removeprefix("x-"), MB)
        assert pack(found) == packed or len(found) == 6000


async def pieces(content: bytes, step: int) -> AsyncGenerator[bytes]:
    for at in range(0, len(content), step):
        yield content[at : at + step]


async def test_an_empty_body_may_claim_any_coding() -> None:
    async with serving() as server:
        for name in ("zstd", "gzip", "deflate"):
            assert (await server.ask("POST", "/v1/conversations", b"", {"content-encoding": name})).status == 200


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("fault", ["cut", "not this", "behind", "flipped"])
async def test_what_cannot_be_unpacked_is_400(kind: str, fault: str) -> None:
    name, pack = PACKERS[kind]
    packed = pack(BODY)
    wrong = {
        "cut": packed[:-3],
        "not this": BODY,
        "behind": packed + b"more",
        "flipped": packed[:20] + bytes(byte ^ 0x55 for byte in packed[20:]),
    }
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", wrong[fault], {"content-encoding": name})
        assert answer.status == 400
        assert answer.error["code"] in {"invalid_content_encoding", "invalid_json"}
        assert answer.error["type"] == "invalid_request_error"
        assert server.parts.runner.started == []


async def test_what_unpacks_to_no_json_is_an_invalid_body() -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", gzip.compress(b"{"), {"content-encoding": "gzip"})
        assert (answer.status, answer.error["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("name", ["br", "compress", "gzip, zstd", "aws-chunked"])
async def test_other_codings_are_415_and_the_right_ones_are_named(name: str) -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/responses", BODY, {"content-encoding": name})
        assert (answer.status, answer.error["code"]) == (415, "unsupported_content_encoding")
        assert "zstd, gzip, deflate" in answer.error["message"]


async def test_a_compressed_body_must_be_declared_as_json_too() -> None:
    async with serving() as server:
        headers = {"content-encoding": "gzip", "content-type": "text/plain"}
        assert (await server.ask("POST", "/v1/responses", gzip.compress(BODY), headers)).status == 415


async def test_the_limit_holds_for_what_is_unpacked() -> None:
    async with serving(Parts(limits=HttpLimits(max_body=20_000))) as server:
        for name, pack in PACKERS.values():
            within = json.dumps({"model": "m", "input": "x" * 19_000}).encode()
            beyond = json.dumps({"model": "m", "input": "x" * 20_000}).encode()
            headers = {"content-encoding": name}
            assert (await server.ask("POST", "/v1/responses", pack(within), headers)).status == 200
            answer = await server.ask("POST", "/v1/responses", pack(beyond), headers)
            assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_a_frame_that_wants_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(compression_level=3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(BODY) + packer.flush()
    with pytest.raises(InvalidRequestError):
        await unpacked(pieces(packed, 1000), "zstd", MB)


async def test_bytes_that_unpack_to_nothing_are_counted_too() -> None:
    with pytest.raises(TooLargeError):
        await unpacked(pieces(b"\x00\x00\x00\xff\xff" * 1000, 100), "deflate", 1000)


def zstd_bomb() -> bytes:
    """1.3 MB that stand for 40 GB: one frame of blocks that repeat one byte."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b" "
    return b"\x28\xb5\x2f\xfd\x00\x68" + block * 320_000


def gzip_bomb() -> bytes:
    """300 kB that stand for 300 MB: a thousand times is as far as gzip goes."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(bytes(MB)) for _ in range(300)) + packer.flush()


BOMBS = {"zstd": zstd_bomb, "gzip": gzip_bomb}

_MEASURED = """
import asyncio, resource, sys
from antiphon.http.bodies import unpacked
from antiphon.wire.errors import TooLargeError

async def pieces(content):
    for at in range(0, len(content), 65536):
        yield content[at : at + 65536]

content = open(sys.argv[2], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    asyncio.run(unpacked(pieces(content), sys.argv[1], 64 * 1024 * 1024))
except TooLargeError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_memory_than_the_limit(name: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(BOMBS[name]())
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURED, name, str(bomb)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(measured.stdout) < 64 * 3  # MB: what was unpacked, and room for it to grow


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_413_soon_and_others_are_served(name: str) -> None:
    bomb = BOMBS[name]()
    headers = {"content-encoding": name, "content-type": "application/json"}
    async with serving() as server, aiohttp.ClientSession() as session:
        began = time.monotonic()
        async with session.post(f"{server.url}/responses", data=io.BytesIO(bomb), headers=headers) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["code"] == "request_too_large"
        assert time.monotonic() - began < 5
        assert (await server.ask("GET", "/health")).status == 200
