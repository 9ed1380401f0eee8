"""Content parts: every one goes out as it came in, and its limits hold."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from antiphon.wire.codec import builtins, decode, encode
from antiphon.wire.content import (
    Annotation,
    ComputerScreenshot,
    InputFile,
    InputImage,
    LogProb,
    OutputText,
    Part,
)
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.parsing import parse_item
from tests.schemas import validate
from tests.shared import needs_shared

PARTS: Final[dict[str, tuple[str | None, dict[str, Any]]]] = {
    "input_text": (
        "InputTextContent",
        {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ),
    "input_image": (
        "InputImageContent",
        {"type": "input_image", "detail": "original", "image_url": None, "file_id": "file-1"},
    ),
    "input_file": ("InputFileContent", {"type": "input_file", "filename": "a", "file_data": "YQ==", "detail": "high"}),
    "input_audio": (None, {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "mp3"}}),
    "input_video": (None, {"type": "input_video", "video_url": "https://a.b"}),
    "output_text": ("OutputTextContent", {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}),
    "refusal": ("RefusalContent", {"type": "refusal", "refusal": "no"}),
    "text": ("TextContent", {"type": "text", "text": "x"}),
    "summary_text": ("SummaryTextContent", {"type": "summary_text", "text": "x"}),
    "reasoning_text": ("ReasoningTextContent", {"type": "reasoning_text", "text": "x"}),
    "computer_screenshot": (
        "ComputerScreenshotContent",
        {"type": "computer_screenshot", "image_url": "https://a.b", "file_id": None, "detail": "auto"},
    ),
}
parts = pytest.mark.parametrize(("schema", "sample"), PARTS.values(), ids=PARTS.keys())


@parts
def test_a_part_goes_out_as_it_came_in(schema: str | None, sample: dict[str, Any]) -> None:
    assert builtins(decode(json.dumps(sample), Part)) == sample


@needs_shared
@parts
def test_a_part_is_as_the_openapi_document_says(schema: str | None, sample: dict[str, Any]) -> None:
    if schema is not None:
        validate(schema, builtins(decode(json.dumps(sample), Part)))


@needs_shared
def test_defaults_are_as_the_openapi_document_says() -> None:
    validate("OutputTextContent", builtins(OutputText(text="")))
    validate("InputImageContent", builtins(InputImage()))
    validate("InputFileContent", builtins(InputFile()))
    validate("ComputerScreenshotContent", builtins(ComputerScreenshot()))
    validate("LogProb", builtins(LogProb(token="a", logprob=0)))
    assert decode(b'{"type":"file_path","file_id":"f","index":0}', Annotation)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_text", "text": "x" * 10_485_761}, "text"),
        ({"type": "input_image", "image_url": "x" * 20_971_521}, "image_url"),
        ({"type": "input_file", "file_data": "x" * 33_554_433}, "file_data"),
    ],
)
def test_a_part_that_is_too_long_is_refused(part: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_item(encode({"role": "user", "content": [part]}), "input[0]")
    assert caught.value.code == "string_above_max_length"
    assert caught.value.param == f"input[0].content[0].{param}"


def test_a_part_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        OutputText(text="a").text = "b"  # pyright: ignore[reportAttributeAccessIssue] (that is the point)
