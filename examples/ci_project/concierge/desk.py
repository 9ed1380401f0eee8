"""The desk: one question in, one answer out. Which server it talks to is its client's affair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from openai import APIStatusError, OpenAI

from concierge.rooms import free_rooms

MODEL = "gpt-5-mini"
CLOSED = "The desk is closed. Please call again."
INSTRUCTIONS = "You are the front desk of the hotel Lamplight. Look rooms up before you speak of them. Answer briefly."
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "free_rooms",
        "description": "The numbers of the rooms that are free on a date.",
        "parameters": {
            "type": "object",
            "properties": {"date": {"type": "string", "description": "YYYY-MM-DD"}},
            "required": ["date"],
            "additionalProperties": False,
        },
        "strict": True,
    }
]
ROUNDS = 4


def answer(client: OpenAI, question: str) -> str:
    """The answer to a guest; `CLOSED` when the model cannot be had."""
    try:
        return _answer(client, question)
    except APIStatusError as error:
        if error.status_code < 429:
            raise  # our request is wrong: that is a defect, and no guest is told that the desk is closed
        return CLOSED


def _answer(client: OpenAI, question: str) -> str:
    asked: Any = question
    before: str | None = None
    for _ in range(ROUNDS):
        response = client.responses.create(
            model=MODEL, instructions=INSTRUCTIONS, tools=TOOLS, input=asked, previous_response_id=before
        )
        if response.status != "completed":
            return CLOSED
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        asked, before = [_output(call.call_id, call.arguments) for call in calls], response.id
    return CLOSED


def _output(call_id: str, arguments: str) -> dict[str, Any]:
    found: Sequence[str] = free_rooms(json.loads(arguments)["date"])
    return {"type": "function_call_output", "call_id": call_id, "output": json.dumps({"rooms": found})}
