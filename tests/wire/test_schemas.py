"""The check against OpenAI's document refuses what it should, and says where."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.schemas import schemas, validate
from tests.shared import needs_shared

pytestmark = needs_shared

DELTA: dict[str, Any] = {
    "type": "response.output_text.delta",
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "a",
    "sequence_number": 4,
    "logprobs": [],
}
MESSAGE: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}


def refused(name: str, value: object) -> str:
    with pytest.raises(AssertionError) as caught:
        validate(name, value)
    return str(caught.value)


def test_what_fits_is_accepted() -> None:
    validate("ResponseStreamEvent", DELTA)
    validate("ResponseTextDeltaEvent", DELTA)
    validate("OutputItem", MESSAGE)


def test_a_wrong_type_is_named_with_its_place() -> None:
    assert "$.delta: 3 is not of type 'string'" in refused("ResponseStreamEvent", {**DELTA, "delta": 3})
    part: dict[str, Any] = {"type": "output_text", "text": 3, "annotations": [], "logprobs": []}
    done = {"type": "response.output_item.done", "output_index": 0, "sequence_number": 1}
    message = refused("ResponseStreamEvent", {**done, "item": {**MESSAGE, "content": [part]}})
    assert "$.item.content[0].text: 3 is not of type 'string'" in message


def test_a_missing_key_and_an_unknown_type_are_refused() -> None:
    assert "'item_id' is a required property" in refused(
        "ResponseStreamEvent", {key: value for key, value in DELTA.items() if key != "item_id"}
    )
    assert "no branch has the type 'novel'" in refused("ResponseStreamEvent", {**DELTA, "type": "novel"})
    assert "fits no branch" in refused("Metadata", 5)


def test_recursion_is_followed() -> None:
    deep: Any = {"type": "and", "filters": [{"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}]}]}
    validate("CompoundFilter", deep)
    deep["filters"][0]["filters"][0]["key"] = 5
    refused("CompoundFilter", deep)


def test_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(schemas())))
    assert named
    assert named <= schemas().keys()
