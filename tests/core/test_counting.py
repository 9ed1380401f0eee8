"""The rule by which input tokens are counted."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from antiphon.core.counting import FILE, IMAGE, MESSAGE, REPLY, TILE, TOOL, UNKNOWN, body_tokens, image_tokens


def words(text: str) -> int:
    return len(text.split())


def counted(*content: Any, **body: Any) -> int:
    """Beside what every body and every message costs."""
    messages = [{"role": "user", "content": list(content) if content else ""}]
    return body_tokens({"messages": messages, **body}, words) - REPLY - MESSAGE - 1


def test_texts_are_counted_with_their_role() -> None:
    assert body_tokens({"messages": []}, words) == REPLY
    assert body_tokens({"messages": [{"role": "user", "content": "one two"}]}, words) == REPLY + MESSAGE + 3
    assert counted({"type": "text", "text": "one two"}, {"type": "text", "text": "three"}) == 3


def test_calls_and_their_outputs_are_counted() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ' {"a": 1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "one two"},
    ]
    assert body_tokens({"messages": messages}, words) == REPLY + (MESSAGE + 1 + 3 + 3) + (MESSAGE + 1 + 1 + 2)


def test_tools_and_the_format_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "does it"}}
    assert counted(tools=[tool, tool]) == 2 * (TOOL + 2)
    assert counted(response_format={"type": "json_schema", "json_schema": {"name": "a b"}}) == 2
    assert counted(response_format={"type": "json_object"}) == 0


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((1024, 1024), "high", IMAGE + 4 * TILE),
        ((1024, 1024), "low", IMAGE),
        ((2048, 4096), "high", IMAGE + 6 * TILE),
        ((100, 100), "auto", IMAGE + TILE),
        ((1, 100_000), "auto", IMAGE + 4 * TILE),
        (None, "auto", UNKNOWN),
        (None, "low", IMAGE),
    ],
)
def test_images_are_counted_in_tiles(size: tuple[int, int] | None, detail: str, tokens: int) -> None:
    assert image_tokens(size, detail) == tokens


def test_the_size_of_an_image_is_taken_from_its_url() -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 100, 100)
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    assert counted({"type": "image_url", "image_url": {"url": url, "detail": "auto"}}) == IMAGE + TILE
    assert counted({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}) == UNKNOWN


def test_other_files_are_counted_by_their_bytes() -> None:
    content = base64.b64encode(bytes(400)).decode()
    assert counted({"type": "file", "file": {"filename": "a.pdf", "file_data": content}}) == pytest.approx(
        400 / FILE, abs=2
    )
    assert counted({"type": "input_audio", "input_audio": {"data": content, "format": "wav"}}) == 1
    assert counted({"type": "video_url", "video_url": {"url": "https://example.com/a"}}) == UNKNOWN
