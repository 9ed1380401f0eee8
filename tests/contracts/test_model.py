"""The contract of the model port, kept by every kind of model in `adapters/models`, and behind a tape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.faulty import Faults
from antiphon.adapters.models.openai_chat import ChatEndpoint
from antiphon.adapters.models.openai_responses import ResponsesEndpoint
from antiphon.adapters.models.scripted import Fails, Says, Script, Step
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.adapters.upstream import Retries
from antiphon.core.deltas import Delta, StepEnded, TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.ports.model import Model
from antiphon.wire.chat import ChatRequest
from antiphon.wire.codec import builtins
from antiphon.wire.content import InputText
from antiphon.wire.errors import AntiphonError, ModelError
from antiphon.wire.items import Message
from antiphon.wire.models import Model as ModelCard
from antiphon.wire.responses import CreateResponse
from tests.contracts.taping import MODES, taped_model
from tests.native import spoken
from tests.upstream import Upstream, refusal, speech

DEADLINE = 5.0
QUESTION = "The sky is blue. Grass is green. What colour is the sky?"
Make: TypeAlias = Callable[..., Model]


@pytest.fixture(params=kinds("models"))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
async def make(request: pytest.FixtureRequest, kind: str, upstream: Upstream, tmp_path: Path) -> AsyncGenerator[Make]:
    """Makes a model of the kind that can answer several times, or one that fails."""
    chosen = adapter("models", kind)
    made: list[Model] = []

    def make(*, failing: bool = False) -> Model:
        acts = (Fails(message="It failed."),) if failing else (Says(("The sky ", "is blue.")),)
        said = (spoken if kind == "openai_responses" else speech)("The sky ", "is blue.")
        upstream.default = refusal(500, {}) if failing else said
        configs: dict[str, Any] = {
            "openai_chat": ChatEndpoint(base_url=upstream.url, models=("m",), retries=Retries(count=0)),
            "openai_responses": ResponsesEndpoint(base_url=upstream.url, models=("m",), retries=Retries(count=0)),
            "scripted": Script((Step(acts, repeat=True),), ("m",)),
            "faulty": Faults({"kind": "scripted", "models": ["m"], "steps": builtins([Step(acts, repeat=True)])}),
        }
        parts = Parts(name=kind, clock=SeededClock(), folder=tmp_path)
        model: Model = chosen.make(configs.get(kind) or chosen.config(), parts)
        made.append(taped_model(model, str(request.param), tmp_path))
        return made[-1]

    yield make
    for model in made:
        await model.close()


async def wanted(model: Model) -> Generate:
    name = (await model.models())[0].id
    item = Message(role="user", content=(InputText(text=QUESTION),))
    return Generate(name, CreateResponse(model=name), (Entry(item),))


async def asked(model: Model, *, stream: bool) -> ChatRequest:
    name = (await model.models())[0].id
    body: dict[str, Any] = {"model": name, "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return ChatRequest(model=name, stream=stream, body=body)


async def relayed(model: Model, *, stream: bool) -> list[bytes]:
    async with asyncio.timeout(DEADLINE), aclosing(model.relay(await asked(model, stream=stream))) as batches:
        return [document async for batch in batches for document in batch]


async def test_it_says_what_it_serves(make: Make) -> None:
    cards = await make().models()
    assert cards
    assert all(isinstance(card, ModelCard) and card.id for card in cards)


async def test_one_end_comes_and_it_comes_last(make: Make) -> None:
    model = make()
    heard: list[Delta] = []
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(await wanted(model))) as stream:
        async for batch in stream:
            assert isinstance(batch, list)
            assert batch
            heard += batch
    assert [delta for delta in heard if isinstance(delta, StepEnded)] == [heard[-1]]
    assert "blue" in "".join(delta.text for delta in heard if isinstance(delta, TextDelta))


async def test_generations_do_not_disturb_each_other(make: Make) -> None:
    model = make()
    question = await wanted(model)

    async def answer() -> str:
        async with aclosing(model.stream(question)) as stream:
            return "".join([delta.text async for batch in stream for delta in batch if isinstance(delta, TextDelta)])

    async with asyncio.timeout(DEADLINE):
        answers = await asyncio.gather(*(answer() for _ in range(8)))
    assert len(set(answers)) == 1


async def test_closing_early_leaves_it_usable(make: Make) -> None:
    model = make()
    async with asyncio.timeout(DEADLINE):
        stream = model.stream(await wanted(model))
        await anext(stream)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        async with aclosing(model.stream(await wanted(model))) as again:
            assert [batch async for batch in again]


async def test_a_streamed_chat_completion_parses_in_the_official_client(make: Make) -> None:
    chunks = [ChatCompletionChunk.model_validate_json(document) for document in await relayed(make(), stream=True)]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.model) for chunk in chunks}) == 1
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert choices[0].delta.role == "assistant"
    assert "blue" in "".join(choice.delta.content or "" for choice in choices)
    assert (
        [choice.finish_reason for choice in choices if choice.finish_reason] == [choices[-1].finish_reason] == ["stop"]
    )
    assert [chunk.usage is not None for chunk in chunks if not chunk.choices] in ([], [True], [False])


async def test_a_whole_chat_completion_parses_in_the_official_client(make: Make, kind: str, upstream: Upstream) -> None:
    model = make()
    if kind == "openai_chat":
        message = {"role": "assistant", "content": "The sky is blue.", "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        upstream.default = refusal(200, document)
    (document,) = await relayed(model, stream=False)
    completion = ChatCompletion.model_validate_json(document)
    assert completion.object == "chat.completion"
    assert "blue" in (completion.choices[0].message.content or "")
    assert completion.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(document)["created"], int)


async def test_a_failure_is_one_of_our_errors(make: Make, kind: str) -> None:
    if kind == "extractive":
        return  # depends on nothing that could fail
    model = make(failing=True)
    question = await wanted(model)
    with pytest.raises(ModelError):
        async with asyncio.timeout(DEADLINE), aclosing(model.stream(question)) as stream:
            await anext(stream)
    for stream_wanted in (True, False):
        with pytest.raises(AntiphonError):
            await relayed(model, stream=stream_wanted)


async def test_it_may_be_closed_unused_and_twice(make: Make) -> None:
    model = make()
    await model.close()
    await model.close()
