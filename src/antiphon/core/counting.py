"""How many tokens a generation takes in: a rule over the chat completion that is sent (docs/context.md).

Texts are counted with a vocabulary; what is not text by fixed rules. For models of OpenAI that is what they count, but
for a few tokens per tool; for others it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Final, TypeAlias

from antiphon.core.images import Size, size_of_url
from antiphon.wire.codec import encode

Count: TypeAlias = Callable[[str], int]

MESSAGE: Final = 3
"""Tokens around every message."""
REPLY: Final = 3
"""Tokens that open the answer."""
CALL: Final = 3
"""Tokens around every tool call."""
TOOL: Final = 4
"""Tokens around every declared tool."""
IMAGE: Final = 85
"""Tokens of an image of low detail, and of any image beside its tiles."""
TILE: Final = 170
"""Tokens of each tile of 512 x 512 pixels."""
UNKNOWN: Final = IMAGE + 4 * TILE
"""Tokens of an image whose size is not known: those of 1024 x 1024 pixels."""
FILE: Final = 4
"""Bytes of a file that is no text that make one token."""
AUDIO: Final = 1000
"""Bytes of audio that make one token."""

_LONGEST: Final = 2048
_SHORTEST: Final = 768
_SIDE: Final = 512


def body_tokens(body: Mapping[str, Any], count: Count) -> int:
    """The tokens of the body of a chat completion request."""
    total = messages_tokens(body["messages"], count) + REPLY
    for tool in body.get("tools", ()):
        total += TOOL + count(encode(tool["function"]).decode())
    if schema := body.get("response_format", {}).get("json_schema"):
        total += count(encode(schema).decode())
    return total


def messages_tokens(messages: Sequence[Mapping[str, Any]], count: Count) -> int:
    """The tokens of chat messages, without the opening of the answer."""
    return sum(_message(message, count) for message in messages)


def _message(message: Mapping[str, Any], count: Count) -> int:
    total = MESSAGE
    for name, value in message.items():
        if name == "tool_calls":
            total += sum(CALL + count(each["function"]["name"] + each["function"]["arguments"]) for each in value)
        elif isinstance(value, str):
            total += count(value)
        elif isinstance(value, list):
            total += sum(_part(part, count) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (JSON)
    return total


def _part(part: Mapping[str, Any], count: Count) -> int:
    match part:
        case {"type": "text", "text": str(text)}:
            return count(text)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            return image_tokens(size_of_url(url), rest.get("detail", "auto"))
        case {"type": "file", "file": {"file_data": str(content)}}:
            return ceil(len(content) * 3 / 4 / FILE)
        case {"type": "input_audio", "input_audio": {"data": str(content)}}:
            return ceil(len(content) * 3 / 4 / AUDIO)
        case _:
            return UNKNOWN


def image_tokens(size: Size | None, detail: str) -> int:
    """The image is scaled down to fit 2048 x 2048, then until its shorter side is 768, and cut into tiles of 512."""
    if detail == "low":
        return IMAGE
    if size is None:
        return UNKNOWN
    width, height = size
    scale = min(1.0, _LONGEST / max(width, height))
    scale *= min(1.0, _SHORTEST / (min(width, height) * scale))
    return IMAGE + TILE * ceil(max(1.0, width * scale) / _SIDE) * ceil(max(1.0, height * scale) / _SIDE)
