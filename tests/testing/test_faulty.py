"""Faults around a model: what a client would meet, in order or by seeded chance."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.faulty import Faults, Faulty, make
from antiphon.adapters.parts import Parts
from antiphon.choices import Choosing
from antiphon.core.deltas import TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.wire.chat import ChatRequest
from antiphon.wire.content import InputText
from antiphon.wire.errors import AntiphonError, InvalidRequestError, ModelError, ModelTimeoutError, RateLimitError
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse
from tests.whole.house import text_of, whole

DEADLINE = 10.0
STEP = {"acts": [{"act": "says", "text": ["a", "b", "c"]}], "repeat": True}
HELLO = {"kind": "scripted", "models": ["m"], "steps": [STEP]}


def faulty(folder: Path, *plan: dict[str, Any], **fields: Any) -> Faulty:
    config = msgspec.convert({"of": HELLO, "plan": plan, **fields}, Faults)
    return make(config, Parts(name="flaky", clock=SeededClock(), folder=folder))


async def heard(model: Faulty) -> str:
    """What is heard before the end, or before the error, whose name follows."""
    asked = Generate("m", CreateResponse(model="m"), (Entry(Message(role="user", content=(InputText(text="Hi"),))),))
    text = ""
    try:
        async with asyncio.timeout(DEADLINE), aclosing(model.stream(asked)) as stream:
            async for batch in stream:
                text += "".join(delta.text for delta in batch if isinstance(delta, TextDelta))
    except AntiphonError as error:
        return f"{text}{type(error).__name__}"
    return text


async def test_a_plan_is_met_in_order_and_then_nothing(tmp_path: Path) -> None:
    model = faulty(
        tmp_path,
        {"fault": "status", "status": 429, "retry_after": 2},
        {"fault": "none"},
        {"fault": "cut", "after": 2},
        {"fault": "malformed", "after": 1},
        {"fault": "refused"},
        {"fault": "status", "status": 504},
        {"fault": "slow", "first": 0.001, "each": 0.001},
        {"fault": "cut", "after": 99},
    )
    assert [await heard(model) for _ in range(9)] == [
        "RateLimitError",
        "abc",
        "abModelError",
        "aModelError",
        "ModelError",
        "ModelTimeoutError",
        "abc",
        "abcModelError",
        "abc",
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, InvalidRequestError), (401, ModelError), (429, RateLimitError), (500, ModelError), (504, ModelTimeoutError)],
)
async def test_a_status_is_told_as_a_real_endpoint_is(tmp_path: Path, status: int, error: type[AntiphonError]) -> None:
    model = faulty(tmp_path, {"fault": "status", "status": status, "retry_after": 7, "message": "So it is."})
    with pytest.raises(error) as caught:
        async with aclosing(model.relay(ChatRequest(model="m", stream=False, body={"messages": []}))) as documents:
            await anext(documents)
    assert type(caught.value) is error
    assert caught.value.retry_after == (7 if status == 429 else None)


async def test_a_plan_can_begin_anew(tmp_path: Path) -> None:
    model = faulty(tmp_path, {"fault": "refused"}, {"fault": "none"}, repeat=True)
    assert [await heard(model) for _ in range(4)] == ["ModelError", "abc"] * 2


async def test_chances_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    chances = [{"fault": "refused", "chance": 0.3}, {"fault": "cut", "after": 1, "chance": 0.3}]
    one, same, other = (faulty(tmp_path, chances=chances, seed=seed) for seed in (1, 1, 2))
    heards = [[await heard(model) for _ in range(40)] for model in (one, same, other)]
    assert heards[0] == heards[1] != heards[2]
    assert set(heards[0]) == {"abc", "ModelError", "aModelError"}


async def test_what_hangs_ends_when_nobody_waits_any_more(tmp_path: Path) -> None:
    model = faulty(tmp_path, {"fault": "hangs", "after": 1})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await heard(model)
    async with asyncio.timeout(DEADLINE):
        assert await heard(model) == "abc"


async def test_half_a_document_passes_through_a_relay(tmp_path: Path) -> None:
    model = faulty(tmp_path, {"fault": "malformed", "after": 1})
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    async with aclosing(model.relay(ChatRequest(model="m", stream=True, body=body))) as batches:
        documents = [document async for batch in batches for document in batch]
    json.loads(documents[0])
    with pytest.raises(json.JSONDecodeError):
        json.loads(documents[-1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "of: is required"),
        ({"of": {}}, "`of.kind` is required"),
        ({"of": {"kind": "nothing"}}, "`of.kind` must be one of"),
        ({"of": {"kind": "openai_chat"}}, "`of`: Object lacks the field `base_url`"),
        (
            {"of": {"kind": "openai_chat", "base_url_env": "NOT_SET_ANYWHERE"}},
            "the environment variable NOT_SET_ANYWHERE",
        ),
        ({"of": HELLO, "plan": [{"fault": "bad"}]}, "Invalid value 'bad'"),
        ({"of": HELLO, "plan": [{"fault": "cut", "chance": 2}]}, "plan"),
    ],
)
def test_what_is_wrong_with_its_settings_is_said(options: dict[str, Any], words: str) -> None:
    choosing = Choosing({})
    assert choosing.one("models", ("models", 0), "faulty", options, "x") is None
    assert words in str(choosing.problems[0])


async def test_a_response_fails_honestly_and_the_next_one_is_whole(tmp_path: Path) -> None:
    plan = [{"fault": "cut", "after": 1}, {"fault": "status", "status": 429, "retry_after": 1}]
    models = [{"name": "test", "kind": "faulty", "of": HELLO, "plan": plan}]
    async with whole(tmp_path, models=models) as served:
        events = await served.stream(model="m", input="Hi")
        assert events[-1]["type"] == "response.failed"
        assert "broke off" in events[-1]["response"]["error"]["message"]
        status, refused = await served.ask("POST", "/responses", {"model": "m", "input": "Hi"})
        assert (status, refused["error"]["code"]) == (429, "rate_limit_exceeded")
        assert text_of(await served.create(model="m", input="Hi")) == "abc"
