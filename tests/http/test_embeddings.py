"""`/v1/embeddings`: what was asked for comes back, whatever form the endpoint chose."""

from __future__ import annotations

import json
from array import array
from base64 import b64encode
from typing import Any

import pytest
from openai import BadRequestError
from openai import NotFoundError as OpenAINotFoundError

from antiphon.ports.model import unserved
from antiphon.wire.errors import ModelError
from tests.http.server import Parts, serving
from tests.http.stubs import StubModel
from tests.schemas import validate
from tests.shared import SHARED

NUMBERS = [0.5, -1.25, 3.0]
PACKED = b64encode(array("f", NUMBERS).tobytes()).decode()
EMBEDDED: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": NUMBERS}],
    "model": "upstream",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


def answering(*vectors: Any, **fields: Any) -> StubModel:
    listed = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return StubModel([json.dumps({**EMBEDDED, "data": listed, **fields}).encode()])


@pytest.mark.parametrize("sent", [NUMBERS, PACKED])
async def test_the_official_client_reads_both_forms_of_every_endpoint(sent: Any) -> None:
    async with serving(Parts(model=answering(sent))) as server, server.client() as client:
        assert (await client.embeddings.create(model="m", input="Hi")).data[0].embedding == NUMBERS
        found = await client.embeddings.create(model="m", input="Hi", encoding_format="float")
        assert found.data[0].embedding == NUMBERS
        if SHARED.is_dir():
            validate("CreateEmbeddingResponse", found.to_dict())


@pytest.mark.parametrize("sent", [NUMBERS, PACKED])
@pytest.mark.parametrize(("asked", "expected"), [("float", NUMBERS), ("base64", PACKED), (None, NUMBERS)])
async def test_the_form_is_the_one_that_was_asked_for(sent: Any, asked: str | None, expected: Any) -> None:
    async with serving(Parts(model=answering(sent))) as server:
        body = {"model": "m", "input": "Hi", "encoding_format": asked}
        answer = await server.ask("POST", "/v1/embeddings", body)
        assert answer.json["data"][0]["embedding"] == expected
        assert answer.json == {**EMBEDDED, "data": [{"object": "embedding", "index": 0, "embedding": expected}]}


async def test_an_answer_that_is_as_asked_passes_untouched() -> None:
    body = json.dumps(EMBEDDED, indent=2).encode()
    async with serving(Parts(model=StubModel([body]))) as server:
        assert (await server.ask("POST", "/v1/embeddings", {"model": "m", "input": "Hi"})).body == body


async def test_the_request_passes_with_the_endpoints_name_of_the_model() -> None:
    model = answering(NUMBERS, NUMBERS)
    async with serving(Parts(model=model)) as server, server.client() as client:
        await client.embeddings.create(
            model="org/family/model", input=["a", "b"], dimensions=3, user="u", extra_body={"task": "query"}
        )
        (asked,) = model.asked
        assert asked.body == {
            "model": "model",
            "input": ["a", "b"],
            "dimensions": 3,
            "user": "u",
            "encoding_format": "base64",
            "task": "query",
        }


@pytest.mark.parametrize("given", ["Hi", ["Hi"], [1, 2, 3], [[1, 2, 3]]])
async def test_every_form_of_one_input_is_one_vector(given: Any) -> None:
    async with serving(Parts(model=answering(NUMBERS))) as server, server.client() as client:
        assert len((await client.embeddings.create(model="m", input=given)).data) == 1


async def test_what_an_endpoint_leaves_out_is_filled_in_and_the_order_is_that_of_the_inputs() -> None:
    document = {"data": [{"embedding": [2.0], "index": 1}, {"embedding": [1.0], "index": 0}], "extra": True}
    async with serving(Parts(model=StubModel([json.dumps(document).encode()]))) as server:
        answer = await server.ask("POST", "/v1/embeddings", {"model": "m", "input": ["four", "five5"]})
        assert [vector["embedding"] for vector in answer.json["data"]] == [[1.0], [2.0]]
        assert answer.json["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
        assert answer.json["model"] == "m"
        assert answer.json["extra"] is True
        if SHARED.is_dir():
            validate("CreateEmbeddingResponse", answer.json)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": "Hi"}, "missing_required_parameter", "model"),
        ({"model": "m"}, "missing_required_parameter", "input"),
        ({"model": "m", "input": None}, "invalid_type", "input"),
        ({"model": "m", "input": ""}, "empty_string", "input"),
        ({"model": "m", "input": []}, "empty_array", "input"),
        ({"model": "m", "input": ["a", ""]}, "empty_string", "input[1]"),
        ({"model": "m", "input": [[1], []]}, "empty_array", "input[1]"),
        ({"model": "m", "input": ["a", 1]}, "invalid_type", "input[1]"),
        ({"model": "m", "input": [1, [1]]}, "invalid_type", "input[1]"),
        ({"model": "m", "input": [-1]}, "integer_below_min_value", "input[0]"),
        ({"model": "m", "input": ["a"] * 2049}, "array_above_max_length", "input"),
        ({"model": "m", "input": [[1] * 8193]}, "array_above_max_length", "input[0]"),
        ({"model": "m", "input": "a", "dimensions": 0}, "integer_below_min_value", "dimensions"),
        ({"model": "m", "input": "a", "encoding_format": "hex"}, "invalid_value", "encoding_format"),
    ],
)
async def test_what_is_wrong_is_named(fields: dict[str, Any], code: str, param: str) -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/v1/embeddings", fields)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)


@pytest.mark.parametrize(
    "document",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"data": []}',
        json.dumps({**EMBEDDED, "data": [{"embedding": "not base64!", "index": 0}]}).encode(),
        json.dumps({**EMBEDDED, "data": [{"embedding": {}, "index": 0}]}).encode(),
        json.dumps({**EMBEDDED, "data": EMBEDDED["data"] * 2}).encode(),
    ],
)
async def test_an_endpoint_that_sends_what_are_no_embeddings_is_502(document: bytes) -> None:
    async with serving(Parts(model=StubModel([document]))) as server:
        answer = await server.ask("POST", "/v1/embeddings", {"model": "m", "input": "Hi"})
        assert (answer.status, answer.error["code"]) == (502, "server_error")


async def test_null_for_a_number_is_502_where_it_has_to_be_packed() -> None:
    async with serving(Parts(model=answering([None, 1.0]))) as server:
        body = {"model": "m", "input": "Hi", "encoding_format": "base64"}
        assert (await server.ask("POST", "/v1/embeddings", body)).status == 502


async def test_a_model_without_embeddings_is_400_and_an_unknown_one_404() -> None:
    async with serving(Parts(model=StubModel(unserved("m", "embeddings")))) as server, server.client() as client:
        with pytest.raises(BadRequestError, match="The model 'm' does not serve embeddings"):
            await client.embeddings.create(model="m", input="Hi")
        with pytest.raises(OpenAINotFoundError) as caught:
            await client.embeddings.create(model="none", input="Hi")
        assert caught.value.code == "model_not_found"


async def test_a_failure_of_the_endpoint_is_passed_on() -> None:
    async with serving(Parts(model=StubModel(ModelError("It is away.")))) as server:
        assert (await server.ask("POST", "/v1/embeddings", {"model": "m", "input": "Hi"})).status == 502
