"""Ports behind a tape: what is replayed is what was said, byte for byte, and nothing secret is in the folder."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any, Literal

import pytest

from antiphon.adapters.models.openai_chat import ChatEndpoint, OpenAIChat
from antiphon.adapters.upstream import Retries
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Generate
from antiphon.core.pages import Page
from antiphon.core.vectors import Vectors
from antiphon.ports.door import Answer, Ask, DoorError, DoorLimits, Fetched
from antiphon.ports.mcp import McpError, McpListing, McpResult, McpServer
from antiphon.ports.search import SearchError, SearchHit, SearchQuery
from antiphon.replay.absent import AbsentModel
from antiphon.replay.canon import Canon
from antiphon.replay.cassette import Cassette, ReplayMissError
from antiphon.replay.secrets import Secrets
from antiphon.replay.tape import Deck, Mode, Tape
from antiphon.replay.taped.door import TapedDoor
from antiphon.replay.taped.embedder import TapedEmbedder
from antiphon.replay.taped.mcp import TapedMcp
from antiphon.replay.taped.model import TapedModel
from antiphon.replay.taped.pages import TapedPages
from antiphon.replay.taped.reranker import TapedReranker
from antiphon.replay.taped.search import TapedSearch
from antiphon.wire.chat import ChatRequest
from antiphon.wire.completions import CompletionRequest
from antiphon.wire.content import LogProb
from antiphon.wire.embeddings import EmbeddingsRequest
from antiphon.wire.errors import AntiphonError, ModelError
from antiphon.wire.items import ListedTool
from antiphon.wire.models import Model as ModelCard
from tests.adapters.asking import asked, wanted
from tests.recorded import Recording, chat_streams
from tests.shared import needs_shared
from tests.upstream import CUT, DONE, Reply, Upstream, refusal, speech, sse

DEADLINE = 30.0
GROUPS = 8
KNOWN = "canary-known-9173"
SHAPED = "sk-" + "canary-Zx91Yw82Vu73Ts64"
SECRET = f"{KNOWN} {SHAPED}"
LIMITS = DoorLimits()


def deck(folder: Path, mode: Mode) -> Deck:
    return Deck(Tape(Cassette(folder, Canon(redact=Secrets((KNOWN,)))), mode))


def endpoint(upstream: Upstream) -> OpenAIChat:
    return OpenAIChat("e", ChatEndpoint(base_url=upstream.url, retries=Retries(count=0)))


async def relayed(model: TapedModel, request: ChatRequest) -> list[list[bytes]]:
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(request)) as batches:
        return [list(batch) async for batch in batches]


async def streamed(model: TapedModel, generate: Generate) -> list[list[Delta]]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(generate)) as batches:
        return [list(batch) async for batch in batches]


def request_of(recording: Recording) -> ChatRequest:
    body = recording.asked
    return ChatRequest(model=str(body["model"]), stream=True, body={**body, "stream": True})


def reply_of(recording: Recording) -> Reply:
    """The recorded chunks as their upstream wrote them."""
    parts = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in recording.chunks]
    return Reply([b"".join(parts[start : start + 16]) for start in range(0, len(parts), 16)] + [DONE])


@needs_shared
@pytest.mark.parametrize("number", range(GROUPS))
async def test_every_recorded_stream_is_relayed_again_byte_for_byte(
    number: int, upstream: Upstream, tmp_path: Path
) -> None:
    for place, recording in enumerate(chat_streams()[number::GROUPS]):
        folder, request = tmp_path / str(place), request_of(recording)
        upstream.reply(reply_of(recording))
        live = endpoint(upstream)
        told = await relayed(TapedModel(live, deck(folder, Mode.RECORD), "e"), request)
        assert [json.loads(each) for batch in told for each in batch] == recording.chunks
        await live.close()
        upstream_gone = TapedModel(AbsentModel(), deck(folder, Mode.REPLAY), "e")
        assert await relayed(upstream_gone, request) == told, recording.name


@needs_shared
@pytest.mark.parametrize("number", range(GROUPS))
async def test_every_recorded_stream_gives_the_same_deltas_again(
    number: int, upstream: Upstream, tmp_path: Path
) -> None:
    for recording in chat_streams()[number::GROUPS]:
        upstream.reply(reply_of(recording))
        live, generate = endpoint(upstream), wanted(recording.name)
        told = await streamed(TapedModel(live, deck(tmp_path, Mode.RECORD), "e"), generate)
        await live.close()
        again = await streamed(TapedModel(AbsentModel(), deck(tmp_path, Mode.REPLAY), "e"), generate)
        assert again == told, recording.name


async def test_a_whole_completion_is_recorded_though_its_reader_stops_at_the_first_document(
    upstream: Upstream, tmp_path: Path
) -> None:
    body = json.dumps({"id": "x", "choices": [{"index": 0, "message": {"content": "Hé"}}]}, indent=1).encode()
    upstream.reply(Reply([body], type="application/json"))
    live = endpoint(upstream)
    stream = TapedModel(live, deck(tmp_path, Mode.RECORD), "e").relay(asked(stream=False))
    assert list(await anext(stream)) == [body]
    await stream.aclose()
    assert await relayed(TapedModel(AbsentModel(), deck(tmp_path, Mode.REPLAY), "e"), asked(stream=False)) == [[body]]
    await live.close()


async def test_a_generation_is_recorded_though_its_reader_stops_at_its_end(upstream: Upstream, tmp_path: Path) -> None:
    upstream.reply(speech("Hi"))
    live = endpoint(upstream)
    told: list[list[Delta]] = []
    async with aclosing(TapedModel(live, deck(tmp_path, Mode.RECORD), "e").stream(wanted())) as batches:
        async for batch in batches:
            told.append(list(batch))
            if any(isinstance(delta, StepEnded) for delta in batch):
                break
    await live.close()
    assert await streamed(TapedModel(AbsentModel(), deck(tmp_path, Mode.REPLAY), "e"), wanted()) == told


async def test_a_stream_that_is_left_early_is_not_recorded(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = speech("Hi", " there")
    live = endpoint(upstream)
    recording = TapedModel(live, deck(tmp_path, Mode.RECORD), "e")
    for stream in (recording.stream(wanted()), recording.relay(asked(stream=True))):
        await anext(stream)
        await stream.aclose()
    assert list(tmp_path.iterdir()) == []
    await live.close()


async def test_a_stream_that_is_cancelled_is_not_recorded(upstream: Upstream, tmp_path: Path) -> None:
    held = asyncio.Event()
    upstream.reply(Reply([sse({"choices": [{"index": 0, "delta": {"content": "a"}}]}), held, DONE]))
    live = endpoint(upstream)
    running = asyncio.ensure_future(streamed(TapedModel(live, deck(tmp_path, Mode.RECORD), "e"), wanted()))
    async with asyncio.timeout(DEADLINE):
        await upstream.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert list(tmp_path.iterdir()) == []
    await live.close()


@pytest.mark.parametrize(
    "failing",
    [
        refusal(429, {"error": {"message": "Slow down."}}, Retry_After="7"),
        refusal(400, {"error": {"message": "Too long.", "code": "context_length_exceeded", "param": "messages"}}),
        refusal(500, {}),
        Reply([sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}), CUT]),
    ],
)
async def test_a_failure_is_an_answer(failing: Reply, upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = failing
    live = endpoint(upstream)

    async def heard(model: TapedModel) -> tuple[list[Delta], type[Exception], str, str | None, float | None]:
        said: list[Delta] = []
        try:
            async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted())) as batches:
                async for batch in batches:
                    said += batch
        except AntiphonError as error:
            return said, type(error), error.message, error.code, error.retry_after
        pytest.fail("it did not fail")

    told = await heard(TapedModel(live, deck(tmp_path, Mode.RECORD), "e"))
    await live.close()
    assert await heard(TapedModel(AbsentModel(), deck(tmp_path, Mode.REPLAY), "e")) == told


async def test_an_id_of_the_request_comes_back_as_the_one_of_who_asks(tmp_path: Path) -> None:
    one, other = "file-68a1b2c3d4e5f6a7b8c9d0", "file-77ffee00112233445566aabb"
    said: list[list[Delta]] = [
        [TextDelta(f"See {one[:9]}")],
        [TextDelta(f"{one[9:]} and {one}")],
        [CallDelta(0, "c", "open", one)],
    ]
    said.append([StepEnded("stop")])
    await streamed(TapedModel(Speaker(said), deck(tmp_path, Mode.RECORD), "e"), wanted(f"Where is {one}?"))
    replaying = TapedModel(AbsentModel(), deck(tmp_path, Mode.REPLAY), "e")
    assert await streamed(replaying, wanted(f"Where is {one}?")) == said
    found = [delta for batch in await streamed(replaying, wanted(f"Where is {other}?")) for delta in batch]
    assert "".join(each.text for each in found if isinstance(each, TextDelta)) == f"See {other} and {other}"
    assert found[2] == CallDelta(0, "c", "open", other)


# the canary: a secret in every field of every port


class Speaker:
    """A model that says these batches and fails with the words of its canary at everything else."""

    def __init__(self, said: Sequence[Sequence[Delta]] = ()) -> None:
        self._said = said

    async def models(self) -> Sequence[ModelCard]:
        return (ModelCard(id=f"m {SECRET}", created=0, owned_by=SECRET),)

    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        for batch in self._said:
            yield batch

    async def relay(self, request: ChatRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        for each in _cut(SECRET):
            call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": each}}
            delta = {"content": each, "reasoning_content": each, "tool_calls": [call]}
            token = {"token": each, "logprob": 0, "bytes": list(each.encode()), "top_logprobs": []}
            choice = {"index": 0, "delta": delta, "logprobs": {"content": [token], "refusal": None}}
            yield [json.dumps({"id": SECRET, "choices": [choice], SECRET: SECRET}).encode()]

    async def complete(self, request: CompletionRequest, /) -> AsyncGenerator[Sequence[bytes]]:
        logprobs = {"tokens": list(_cut(SECRET)), "token_logprobs": [0]}
        yield [json.dumps({"choices": [{"index": 0, "text": SECRET, "logprobs": logprobs}]}).encode()]

    async def embed(self, request: EmbeddingsRequest, /) -> bytes:
        return json.dumps({"data": [{"embedding": [1.0], "object": SECRET}]}).encode()

    async def close(self) -> None:
        return


class Failing(Speaker):
    async def stream(self, wanted: Generate, /) -> AsyncGenerator[Sequence[Delta]]:
        yield [TextDelta(f"before {SECRET}")]
        raise ModelError(f"Failed: {SECRET}", param=SECRET, code=SECRET)


class Outside:
    """Every other port."""

    model = f"m {SECRET}"
    dimension = 1
    most_texts = 10
    most_tokens = 1000
    listed_only = False

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        return Vectors(1, b"\x00\x00\x80?" * len(texts))

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        return [0.5] * len(texts)

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        if wanted.limit == 1:
            raise SearchError(f"Failed: {SECRET}")
        return (SearchHit(f"https://me:{SHAPED}@h/{SECRET}", SECRET, SECRET, 0.5),)

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        schema = {"type": "object", "default": {"password": "p", "x": SECRET}}
        return McpListing((ListedTool(name=SECRET, description=SECRET, input_schema=schema),))

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        if name == "fail":
            raise McpError(f"Failed: {SECRET}", "http", 500)
        return McpResult(json.dumps({"token": SECRET, "deep": [{"a": SECRET}]}), ({"type": "text", "text": SECRET},))

    async def read(self, project: str, url: str, permitted: Any, /) -> Page:
        return Page(url=url, title=SECRET, text=SECRET)

    def open(self, ask: Ask, limits: DoorLimits, /) -> AbstractAsyncContextManager[Answer]:
        raise DoorError("no", refused=True)

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        if "fail" in url:
            raise DoorError(f"Failed: {SECRET}")
        return Fetched(content=f"in a file: {SECRET}".encode(), media=SECRET, filename=SECRET)

    async def close(self) -> None:
        return


def _cut(words: str) -> Iterator[str]:
    return (words[start : start + 3] for start in range(0, len(words), 3))


def _said() -> list[list[Delta]]:
    pieces = list(_cut(SECRET))
    said: list[list[Delta]] = [
        [TextDelta(each, (LogProb(token=each, logprob=0.0, bytes=tuple(each.encode())),))] for each in pieces
    ]
    thought: list[list[Delta]] = [
        [RefusalDelta(each), ReasoningDelta(each), ReasoningDelta(each, summary=True)] for each in pieces
    ]
    called: list[list[Delta]] = [[CallDelta(0, arguments=each)] for each in pieces]
    return [*said, *thought, [CallDelta(0, SECRET, SECRET)], *called, [StepEnded("stop")]]


async def _exercised(folder: Path, mode: Mode, *, server: Mapping[str, str]) -> list[object]:
    """Every port once, each way; what they gave."""
    given: list[object] = []
    chosen, outside = deck(folder, mode), Outside()
    model, failing = (TapedModel(each, chosen, "e") for each in (Speaker(_said()), Failing()))
    body = {"messages": [{"role": "user", "content": SECRET}], "headers": {"Cookie": "abc"}, "user": SECRET}
    given.append(await streamed(model, wanted(f"Say {SECRET}", instructions=SECRET)))
    given.append(await relayed(model, ChatRequest(model="m", stream=True, body=body)))
    given.append([batch async for batch in model.complete(CompletionRequest(model="m", stream=False, body=body))])
    given.append(
        await model.embed(EmbeddingsRequest(model="m", body={"input": SECRET}, encoding="float", inputs=(SECRET,)))
    )
    given.append(await model.models())
    with pytest.raises(ModelError) as caught:
        await streamed(failing, wanted(f"Fail {SECRET}"))
    given.append(caught.value.message)
    given.append(await TapedEmbedder(outside, chosen).embed([SECRET, "x"], "document"))
    given.append(await TapedReranker(outside, chosen).rerank(SECRET, [SECRET]))
    search = TapedSearch(outside, chosen)
    given.append(await search.search(SearchQuery(SECRET, domains=(SHAPED,))))
    with pytest.raises(SearchError):
        await search.search(SearchQuery(SECRET, 1))
    mcp = TapedMcp(outside, chosen)
    at = McpServer(url=f"https://u:{SHAPED}@h/{SECRET}?key={SHAPED}", headers=server)
    given.append(await mcp.tools("p", at))
    given.append(await mcp.call("p", at, "act", {"api_key": "p", "x": SECRET, "body": json.dumps({"a": SECRET})}))
    with pytest.raises(McpError):
        await mcp.call("p", at, "fail", {})
    given.append(await TapedPages(outside, chosen).read("p", f"https://h/{SECRET}", lambda _: True))
    door = TapedDoor(outside, chosen)
    given.append(await door.fetch(f"https://h/{SECRET}", LIMITS))
    with pytest.raises(DoorError):
        await door.fetch(f"https://h/fail/{SECRET}", LIMITS)
    return given


async def test_no_secret_is_in_any_file_and_what_was_recorded_is_found(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        told = await _exercised(tmp_path, Mode.RECORD, server={"Authorization": f"Bearer {SHAPED}"})
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) == 17
        for path in files:
            content = path.read_bytes()
            for part in (KNOWN, SHAPED, SHAPED[8:], KNOWN[:12], "Zx91", *map(_encoded, (KNOWN, SHAPED))):
                assert part.encode() not in content, (path.name, part)
            assert _numbers("Zx9") not in content, "nor as the bytes of a token"
            assert b"<redacted>" in content
        again = await _exercised(tmp_path, Mode.REPLAY, server={})
    assert len(again) == len(told)
    assert "<redacted>" in str(again)


def _encoded(words: str) -> str:
    return base64.b64encode(words.encode()).decode()[4:16]


def _numbers(words: str) -> bytes:
    return ",".join(str(each) for each in words.encode()).encode()


async def test_a_miss_is_loud_at_every_port(tmp_path: Path) -> None:
    chosen = deck(tmp_path, Mode.REPLAY)
    outside = Outside()
    with pytest.raises(ReplayMissError):
        await streamed(TapedModel(AbsentModel(), chosen, "e"), wanted())
    with pytest.raises(ReplayMissError):
        await relayed(TapedModel(AbsentModel(), chosen, "e"), asked(stream=True))
    with pytest.raises(ReplayMissError):
        await TapedEmbedder(outside, chosen).embed(["x"], "query")
    with pytest.raises(ReplayMissError):
        await TapedReranker(outside, chosen).rerank("x", ["y"])
    with pytest.raises(ReplayMissError):
        await TapedSearch(outside, chosen).search(SearchQuery("x"))
    with pytest.raises(ReplayMissError):
        await TapedMcp(outside, chosen).tools("p", McpServer(url="https://h/"))
    assert chosen.own is not None
    assert chosen.own.cassette.missed == 6


async def test_the_outside_of_every_port_answers_the_same_from_recordings(tmp_path: Path) -> None:
    server = McpServer(url="https://h/mcp")
    query = SearchQuery("x", 3)
    told: list[list[object]] = []
    for mode in (Mode.RECORD, Mode.REPLAY, Mode.REPLAY_OR_RECORD):
        chosen, outside = deck(tmp_path, mode), Plain()
        embedder = TapedEmbedder(outside, chosen)
        told.append(
            [
                await embedder.embed(["a", "b"], "document"),
                await embedder.embed(["b"], "document"),
                await TapedReranker(outside, chosen).rerank("q", ["a", "b"]),
                await TapedSearch(outside, chosen).search(query),
                await TapedMcp(outside, chosen).tools("p", server),
                await TapedMcp(outside, chosen).call("p", server, "f", {"a": [1]}),
            ]
        )
        assert outside.asked == (6 if mode is Mode.RECORD else 0)
    assert told[0] == told[1] == told[2]


class Plain(Outside):
    """Counts how often it is asked."""

    model = "m"

    def __init__(self) -> None:
        self.asked = 0

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        self.asked += 1
        return Vectors(1, b"".join(text.encode() * 4 for text in texts))

    async def rerank(self, query: str, texts: Sequence[str], /) -> Sequence[float]:
        self.asked += 1
        return tuple(place / 10 for place in range(len(texts)))

    async def search(self, wanted: SearchQuery, /) -> Sequence[SearchHit]:
        self.asked += 1
        return (SearchHit("https://h/", "é", "text", 0.25), SearchHit("https://h/2"))

    async def tools(self, project: str, server: McpServer, /) -> McpListing:
        self.asked += 1
        return McpListing((ListedTool(name="f", description="d", input_schema={"type": "object"}),), left=True)

    async def call(self, project: str, server: McpServer, name: str, arguments: dict[str, Any], /) -> McpResult:
        self.asked += 1
        return McpResult("done", ({"type": "text", "text": "done"},), failed=True)
