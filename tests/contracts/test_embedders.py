"""Every kind of embedder: one vector for each text, in order, whatever goes wrong with its endpoint is ours to tell."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.embedders.openai import EmbeddingsEndpoint, OpenAIEmbedder, make
from antiphon.adapters.models.openai_chat import ChatEndpoint, OpenAIChat
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import Embedder, EmbedderError
from antiphon.replay.taped.embedder import TapedEmbedder
from tests.contracts.taping import RehearsedEmbedder, taped_embedder
from tests.embeddings import DIMENSION, Site, serving
from tests.upstream import CUT, HANG, Reply, Upstream, refusal

DEADLINE = 30.0
KEY = "very-secret-key"
SENTENCES = [
    "The cat sleeps on the sofa.",
    "Der Umsatz stieg um 3 %.",
    "x",
    "猫はソファで眠る。",
    "a cat on a sofa " * 40,
]


def rows(vectors: Vectors) -> list[tuple[float, ...]]:
    size = vectors.dimension
    numbers = struct.unpack(f"<{len(vectors) * size}f", vectors.packed)
    return [numbers[at : at + size] for at in range(0, len(numbers), size)]


def cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(map(float.__mul__, one, other)) / math.hypot(*one) / math.hypot(*other)


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    async with serving() as site:
        yield site


@pytest.fixture(params=["local", "openai", "catalog", "openai recorded", "openai replayed"])
async def embedder(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> AsyncGenerator[Embedder]:
    kind, _, mode = str(request.param).partition(" ")
    folder = tmp_path_factory.getbasetemp() / "embedders"  # the local model's graph is made once
    parts = Parts(name=kind, clock=SeededClock(), folder=folder)
    model = OpenAIChat("far", ChatEndpoint(base_url=site.url))
    made: Embedder
    if kind == "catalog":
        made = OpenAIEmbedder(model.embed, EmbeddingsEndpoint(model="e"))
    else:
        chosen = adapter("embedders", kind)
        made = chosen.make(chosen.config(**({"base_url": site.url} if kind == "openai" else {})), parts)
    yield taped_embedder(made, mode or "live", tmp_path)
    await made.close()
    await model.close()


def test_every_kind_is_held_to_the_contract() -> None:
    assert kinds("embedders") == ["local", "none", "openai"]
    nothing = adapter("embedders", "none")
    assert nothing.make(nothing.config(), Parts(name="none", clock=SeededClock(), folder=Path())) is None


async def test_each_text_has_a_vector_in_order(embedder: Embedder) -> None:
    together = await embedder.embed(SENTENCES, "document")
    assert len(together) == len(SENTENCES)
    assert together.dimension == embedder.dimension
    for text, row in zip(SENTENCES, rows(together), strict=True):
        alone = await embedder.embed([text], "document")
        assert alone.dimension == together.dimension
        assert cosine(rows(alone)[0], row) > 0.9999


async def test_vectors_are_numbers_and_not_zero(embedder: Embedder) -> None:
    for row in rows(await embedder.embed(SENTENCES, "document")):
        assert all(map(math.isfinite, row))
        assert math.hypot(*row) > 0.5


async def test_texts_about_the_same_are_near(embedder: Embedder) -> None:
    query = rows(await embedder.embed(["cat on the sofa"], "query"))[0]
    near, far, *_ = rows(await embedder.embed(SENTENCES, "document"))
    assert cosine(query, near) > cosine(query, far) + 0.2


async def test_long_texts_are_cut_and_not_refused(embedder: Embedder, site: Site) -> None:
    site.longest = 5000
    long = "many words about a sofa " * 500
    vectors = await embedder.embed(["short", long, "short"], "document")
    assert len(vectors) == 3
    assert cosine(rows(vectors)[0], rows(vectors)[2]) > 0.9999


async def test_any_text_can_be_embedded(embedder: Embedder) -> None:
    texts = ["\x00", "\ud800 lone", "\u200b", "🤦🏽\u200d♀️" * 50, "[PAD] [CLS] <|endoftext|>"]
    if isinstance(embedder, OpenAIEmbedder | TapedEmbedder | RehearsedEmbedder):
        texts.remove("\ud800 lone")  # no JSON
    assert len(await embedder.embed(texts, "document")) == len(texts)


async def test_the_event_loop_goes_on_meanwhile(embedder: Embedder) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    await embedder.embed(["warm"], "query")
    ticking = asyncio.create_task(turn())
    await embedder.embed(SENTENCES * 4, "document")
    ticking.cancel()
    assert turns > 1


async def test_calls_may_overlap(embedder: Embedder) -> None:
    async with asyncio.timeout(DEADLINE):
        found = await asyncio.gather(*(embedder.embed([text], "document") for text in SENTENCES for _ in range(3)))
    assert len({vectors.packed for vectors in found}) == len(SENTENCES)


async def test_nothing_to_embed_is_an_error(embedder: Embedder) -> None:
    with pytest.raises(EmbedderError) as caught:
        await embedder.embed([], "document")
    assert not caught.value.transient


async def test_it_says_what_it_takes(embedder: Embedder) -> None:
    assert embedder.model
    assert embedder.most_texts >= 1
    assert embedder.most_tokens >= 1000


async def test_it_may_be_closed_unused_and_twice(embedder: Embedder) -> None:
    await embedder.close()
    await embedder.close()


# endpoints


@pytest.fixture
async def remote() -> AsyncGenerator[Callable[..., OpenAIEmbedder]]:
    made: list[OpenAIEmbedder] = []

    def connect(url: str, **settings: Any) -> OpenAIEmbedder:
        parts = Parts(name="openai", clock=SeededClock(), folder=Path())
        settings = {"base_url": url, "api_key": KEY, "timeout": 5.0, **settings}
        made.append(make(EmbeddingsEndpoint(**settings), parts))
        return made[-1]

    yield connect
    for embedder in made:
        await embedder.close()


Remote = Callable[..., OpenAIEmbedder]


async def failure(asked: Awaitable[Vectors]) -> EmbedderError:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(EmbedderError) as caught:
            await asked
    assert KEY not in caught.value.message
    return caught.value


async def test_the_request_is_what_openai_documents(site: Site, remote: Remote) -> None:
    embedder = remote(site.url, dimensions=16)
    assert (embedder.model, embedder.dimension) == ("text-embedding-3-small", 16)
    assert (await embedder.embed(["a"], "document")).dimension == 16
    assert site.asked == [
        {"model": "text-embedding-3-small", "input": ["a"], "encoding_format": "base64", "dimensions": 16}
    ]


async def test_an_endpoint_without_base64_is_asked_for_numbers(site: Site, remote: Remote) -> None:
    site.plain = True
    embedder = remote(site.url)
    assert (await embedder.embed(["a"], "document")).dimension == DIMENSION
    await embedder.embed(["b"], "document")
    assert ["encoding_format" in body for body in site.asked] == [True, False, False]


async def test_an_endpoint_that_takes_fewer_texts_is_asked_in_parts_and_remembered(site: Site, remote: Remote) -> None:
    site.most_texts = 10
    embedder = remote(site.url, most_texts=32)
    texts = [f"text {number}" for number in range(32)]
    assert len(await embedder.embed(texts, "document")) == 32
    assert [len(body["input"]) for body in site.asked] == [32, 16, 8, 8, 16, 8, 8]
    assert embedder.most_texts == 8


def answer(*embeddings: Any, **fields: Any) -> Reply:
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(embeddings)]
    return refusal(200, {"object": "list", "data": data, "model": "m", "usage": {}, **fields})


FAULTS: list[tuple[Reply, bool, str]] = [
    (refusal(500, {"error": "boom"}), True, "status 500"),
    (refusal(503, {}), True, "status 503"),
    (refusal(429, {"error": {"code": "insufficient_quota"}}), False, "rate limited"),
    (refusal(400, {"error": {"message": "no such thing"}}), False, "no such thing"),
    (refusal(404, {}), False, "does not exist"),
    (Reply([b"<html>Bad Gateway</html>"], 200, "text/html"), True, "sent what"),
    (refusal(200, {"object": "list"}), True, "sent what"),
    (answer("?"), True, "sent what"),
    (answer([1.0], [2.0]), False, "2 embeddings for 1"),
    (answer(), False, "0 embeddings for 1"),
    (answer([]), False, "no dimensions"),
    (answer("AAA="), False, "no dimensions"),
    (answer("AADAfw=="), False, "not numbers"),
    (answer([1e39]), False, "too large"),
    (answer([0.0, 0.0]), False, "zeros"),
    (Reply([b'{"data": [{"embedding": [NaN]}]}'], 200, "application/json"), True, "sent what"),
    (Reply([b'{"data": ', CUT], 200, "application/json"), True, "broke off"),
]


@pytest.mark.parametrize(("reply", "transient", "words"), FAULTS)
async def test_a_fault_of_the_endpoint_is_an_embedder_error(
    reply: Reply, transient: bool, words: str, upstream: Upstream, remote: Remote
) -> None:
    upstream.default = reply
    embedder = remote(upstream.url)
    error = await failure(embedder.embed(["a"], "query"))
    assert (error.transient, error.http_status) == (transient, 502)
    assert words in error.message
    upstream.default = answer([1.0, 2.0])
    assert len(await embedder.embed(["a"], "query")) == 1  # it stays usable


async def test_a_limit_of_rate_says_when_to_try_again(upstream: Upstream, remote: Remote) -> None:
    upstream.default = refusal(429, {}, Retry_After="7")
    error = await failure(remote(upstream.url).embed(["a"], "document"))
    assert (error.transient, error.retry_after) == (True, 7.0)
    assert len(upstream.exchanges) == 1


async def test_vectors_of_another_dimension_are_refused(upstream: Upstream, remote: Remote) -> None:
    upstream.reply(answer([1.0, 2.0]), answer([1.0, 2.0, 3.0]), answer([1.0], [1.0, 2.0]))
    embedder = remote(upstream.url)
    await embedder.embed(["a"], "document")
    error = await failure(embedder.embed(["a"], "document"))
    assert not error.transient
    assert "3 dimensions instead of 2" in error.message
    assert "different" in (await failure(embedder.embed(["a", "b"], "document"))).message


async def test_silence_ends_in_a_timeout(upstream: Upstream, remote: Remote) -> None:
    upstream.default = Reply([HANG], 200, "application/json")
    embedder = remote(upstream.url, timeout=0.05)
    error = await failure(embedder.embed(["a"], "document"))
    assert error.transient
    assert "silent" in error.message


async def test_an_endpoint_that_is_not_there_is_a_transient_error(remote: Remote) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        embedder = remote(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        assert (await failure(embedder.embed(["a"], "document"))).transient


async def test_a_request_that_is_refused_for_anything_else_is_not_cut(upstream: Upstream, remote: Remote) -> None:
    upstream.default = refusal(400, {"error": {"message": "this text is not welcome"}})
    await failure(remote(upstream.url).embed(["a" * 1000], "document"))
    assert len(upstream.exchanges) == 1
