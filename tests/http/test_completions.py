"""`/v1/completions`: relayed as it comes."""

from __future__ import annotations

import json

import pytest
from openai import BadRequestError
from openai import NotFoundError as OpenAINotFoundError

from antiphon.ports.model import unserved
from tests.http.server import Parts, serving
from tests.http.stubs import StubModel
from tests.schemas import validate
from tests.shared import SHARED

CONTINUED = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "upstream",
    "choices": [{"index": 0, "text": " there.", "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def piece(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return json.dumps({**CONTINUED, "choices": [choice], "usage": None}).encode()


async def test_a_completion_passes_unchanged_under_the_endpoints_name_of_the_model() -> None:
    model = StubModel([json.dumps(CONTINUED).encode()])
    async with serving(Parts(model=model)) as server, server.client() as client:
        found = await client.completions.create(
            model="org/family/model", prompt=["Hi", "Ho"], max_tokens=5, extra_body={"vendor_switch": 1}
        )
        assert found.choices[0].text == " there."
        (asked,) = model.asked
        assert asked.body == {"model": "model", "prompt": ["Hi", "Ho"], "max_tokens": 5, "vendor_switch": 1}
        if SHARED.is_dir():
            validate("CreateCompletionResponse", found.to_dict())


async def test_pieces_are_relayed_as_data_lines() -> None:
    model = StubModel([piece("Hel")], [piece("lo", "stop")])
    async with serving(Parts(model=model)) as server, server.client() as client:
        stream = await client.completions.create(model="m", prompt="Hi", stream=True)
        assert "".join([part.choices[0].text async for part in stream]) == "Hello"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": "Hi"}, "missing_required_parameter", "model"),
        ({"model": "m", "prompt": 5}, "invalid_type", "prompt"),
        ({"model": "m", "prompt": "Hi", "n": 0}, "integer_below_min_value", "n"),
        ({"model": "m", "prompt": "Hi", "stream_options": {}}, "unsupported_parameter", "stream_options"),
    ],
)
async def test_what_is_wrong_is_named(fields: dict[str, object], code: str, param: str) -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/completions", fields)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)


async def test_a_model_that_does_not_serve_them_is_400_and_an_unknown_one_404() -> None:
    model = StubModel(unserved("m", "completions"))
    async with serving(Parts(model=model)) as server, server.client() as client:
        with pytest.raises(BadRequestError, match="The model 'm' does not serve completions"):
            await client.completions.create(model="m", prompt="Hi")
        with pytest.raises(OpenAINotFoundError) as caught:
            await client.completions.create(model="none", prompt="Hi")
        assert caught.value.code == "model_not_found"
