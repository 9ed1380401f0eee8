"""What no answer may be, whatever was asked: a fault of ours, a shape that is no error's, a look inside."""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeAlias, cast

from tests.grammar import check, parse_sse
from tests.schemas import validate
from tests.shared import SHARED

Json: TypeAlias = dict[str, Any]

LEAKS: Final = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/antiphon/|<class '|<\w[\w. ]* object at 0x|msgspec|sqlite|Errno"
    r"|KeyError|TypeError|ValueError|AttributeError|IndexError|RecursionError|NoneType"
)
FAULTS: Final = {"server_error", "internal_error"}


def judged(status: int, kind: str, content: bytes) -> None:
    """Assert that this is an answer to bad input, or to good input."""
    assert status < 500, f"{status}"
    if status >= 400:
        if content:  # HEAD has none
            error(json.loads(content))
        return
    if kind.startswith("text/event-stream"):
        stream(content)
    elif kind.startswith("application/json") and content:
        found: Json = json.loads(content)
        if found.get("error"):
            fault(found["error"])
        shaped(found)


def error(found: Any) -> None:
    """Assert that this is the body of an error."""
    assert isinstance(found, dict)
    body = cast("Json", found)
    assert set(body) == {"error"}
    told: Json = body["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert isinstance(told["message"], str)
    assert told["message"]
    assert isinstance(told["type"], str)
    assert isinstance(told["param"], str | None)
    assert isinstance(told["code"], str | None)
    clean(told["message"])


def clean(message: str) -> None:
    """Assert that a message tells nothing of the inside."""
    leak = LEAKS.search(message)
    assert leak is None, leak


def fault(told: Any) -> None:
    """Assert that a response failed for a reason that is not ours."""
    assert told["code"] not in FAULTS, told
    clean(told["message"])


def shaped(found: Any) -> None:
    """Assert that a response fits OpenAI's document, whatever it echoes; but for its tools, since those of types that
    nobody knows are ignored and echoed."""
    response = cast("Json", found)
    if SHARED.is_dir() and response.get("object") == "response" and "deleted" not in response:
        validate("Response", {**response, "tools": []})


def stream(content: bytes) -> None:
    """Assert that a stream is whole and legal."""
    if b"event: " not in content[:64]:  # chat completions name no events
        assert content.endswith(b"data: [DONE]\n\n"), content[-200:]
        return
    events = parse_sse(content)
    if events[0]["sequence_number"] == 0:
        check(events)
    last = events[-1]["response"]
    shaped(last)
    if last.get("error"):
        fault(last["error"])
