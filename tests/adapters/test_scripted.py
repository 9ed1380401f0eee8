"""The scripted model does what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from antiphon.adapters.models.scripted import (
    Calling,
    Calls,
    Cuts,
    Fails,
    Reasons,
    Refuses,
    Says,
    Script,
    Scripted,
    Sends,
    Step,
    Waits,
)
from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Entry, Generate
from antiphon.wire.content import InputText
from antiphon.wire.errors import ModelError, RateLimitError
from antiphon.wire.items import Message
from antiphon.wire.responses import CreateResponse, Usage

DEADLINE = 5.0


def wanted(text: str = "Hello") -> Generate:
    item = Message(role="user", content=(InputText(text=text),))
    return Generate("scripted", CreateResponse(model="scripted"), (Entry(item),))


async def batches(model: Scripted, text: str = "Hello") -> list[Sequence[Delta]]:
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(wanted(text))) as stream:
        return [batch async for batch in stream]


async def played(*acts: Any, **step: Any) -> list[Delta]:
    return [delta for batch in await batches(Scripted([Step(acts, **step)])) for delta in batch]


async def test_it_says_reasons_and_refuses_in_pieces() -> None:
    found = await played(Reasons("hm"), Says(("Hel", "lo")), Refuses("No"))
    assert found == [ReasoningDelta("hm"), TextDelta("Hel"), TextDelta("lo"), RefusalDelta("No"), StepEnded("stop")]


async def test_calls_come_one_after_another() -> None:
    calls = Calls((Calling("f", ('{"a"', ":1}")), Calling("g", {"b": 2}, id=None)))
    assert await played(calls) == [
        CallDelta(0, "call_scripted_0", "f", ""),
        CallDelta(0, None, None, '{"a"'),
        CallDelta(0, None, None, ":1}"),
        CallDelta(1, None, "g", ""),
        CallDelta(1, None, None, '{"b":2}'),
        StepEnded("tool_calls"),
    ]


async def test_the_pieces_of_calls_may_take_turns() -> None:
    found = await played(Calls((Calling("f", ("1", "2")), Calling("g", "3")), interleaved=True))
    assert [delta.index for delta in found if isinstance(delta, CallDelta)] == [0, 1, 0, 1, 0]


async def test_quirks_are_sent_as_written() -> None:
    pieces = (CallDelta(0, "a", "f", "{}"), CallDelta(0, "b", "f", None))
    assert await played(Sends(pieces)) == [*pieces, StepEnded("tool_calls")]


async def test_the_end_is_as_told() -> None:
    usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    assert await played(Says("a"), finish="length", usage=usage) == [TextDelta("a"), StepEnded("length", usage)]
    assert await played(finish=None) == [StepEnded(None)]


async def test_a_batch_holds_as_many_deltas_as_told() -> None:
    model = Scripted([Step((Says(("a", "b", "c")),), batch=2)])
    assert [len(batch) for batch in await batches(model)] == [2, 2]


async def test_each_generation_takes_the_first_step_that_fits() -> None:
    model = Scripted([Step((Says("rain"),), when="WEATHER"), Step((Says("one"),)), Step((Says("again"),), repeat=True)])
    said = [(await batches(model, text))[0][0] for text in ("Hello", "the weather?", "the weather?", "x")]
    assert said == [TextDelta("one"), TextDelta("rain"), TextDelta("again"), TextDelta("again")]
    assert [asked.model for asked in model.asked] == ["scripted"] * 4


async def test_without_a_step_the_generation_fails() -> None:
    with pytest.raises(ModelError, match="no step"):
        await batches(Scripted())


async def test_it_fails_and_is_cut_where_told() -> None:
    fails = Fails("rate_limit", "Slow down.", retry_after=3)
    for act, error in ((fails, RateLimitError), (Cuts(), ModelError)):
        model = Scripted([Step((Says(("a", "b")), act), batch=9)])
        async with aclosing(model.stream(wanted())) as stream:
            assert await anext(stream) == [TextDelta("a"), TextDelta("b")]
            with pytest.raises(error) as caught:
                await anext(stream)
        assert model.closed == 1
        if error is RateLimitError:
            assert caught.value.retry_after == 3


async def test_it_waits_at_a_gate_until_it_is_opened() -> None:
    model = Scripted([Step((Says("a"), Waits(gate="g"), Says("b")))])
    reading = asyncio.ensure_future(batches(model))
    async with asyncio.timeout(DEADLINE):
        await model.reached("g")
        assert not reading.done()
        model.open("g")
        assert await reading == [[TextDelta("a")], [TextDelta("b")], [StepEnded("stop")]]
    assert model.closed == 0


async def test_it_tells_that_it_was_closed() -> None:
    model = Scripted([Step((Says(("a", "b")),))])
    stream = model.stream(wanted())
    await anext(stream)
    await stream.aclose()
    assert model.closed == 1


def test_a_script_is_plain_data() -> None:
    plain = {
        "models": ["demo"],
        "steps": [
            {"when": "weather", "acts": [{"act": "calls", "calls": [{"name": "f", "arguments": {"a": 1}}]}]},
            {"acts": [{"act": "waits", "seconds": 0.5}, {"act": "says", "text": ["a", "b"]}], "finish": None},
            {"acts": [{"act": "fails", "error": "timeout"}, {"act": "cuts"}, {"act": "refuses", "text": "No"}]},
        ],
    }
    assert msgspec.convert(plain, Script) == Script(
        (
            Step((Calls((Calling("f", {"a": 1}),)),), when="weather"),
            Step((Waits(seconds=0.5), Says(("a", "b"))), finish=None),
            Step((Fails("timeout"), Cuts(), Refuses("No"))),
        ),
        ("demo",),
    )
