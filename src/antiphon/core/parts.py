"""Content parts become the parts of a chat message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from antiphon.wire.content import (
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    InputVideo,
    OutputText,
    Part,
    ReasoningText,
    SummaryText,
    Text,
)
from antiphon.wire.errors import InvalidRequestError

TEXT_SUFFIXES = (
    *(".txt", ".md", ".markdown", ".rst", ".csv", ".tsv", ".json", ".jsonl"),
    *(".yaml", ".yml", ".toml", ".xml"),
)
"""Names that end so are read as text, whatever media type they carry."""


def parts_of(content: Sequence[Part], *, plain: bool) -> Any:
    """The parts for a chat message; a single text as a plain string when `plain` (many templates need it)."""
    if plain and len(content) == 1 and isinstance(content[0], InputText | Text):
        return content[0].text
    return [part_of(part) for part in content]


def part_of(part: Part) -> dict[str, Any]:
    """One part for a chat message."""
    match part:
        case InputText() | Text() | OutputText() | SummaryText() | ReasoningText():
            return {"type": "text", "text": part.text}
        case InputImage():
            return {"type": "image_url", "image_url": _image(part)}
        case InputFile():
            return _file(part)
        case InputAudio():
            return {"type": "input_audio", "input_audio": part.input_audio}
        case InputVideo():
            return {"type": "video_url", "video_url": {"url": part.video_url}}
        case _:
            kind = part.__struct_config__.tag
            raise InvalidRequestError(f"Content of type '{kind}' cannot be given to this model.", param="input")


def split_output(output: str | Sequence[Part], call_id: str) -> tuple[str, list[dict[str, Any]]]:
    """A tool's output as the text of a tool message, and its other parts with a label for a user message behind it
    (most upstreams refuse images in the tool role)."""
    if isinstance(output, str):
        return output, []
    texts = [part.text for part in output if isinstance(part, InputText)]
    others: list[dict[str, Any]] = []
    for part in output:
        if isinstance(part, InputText):
            continue
        mapped = part_of(part)
        if mapped["type"] == "text":
            texts.append(mapped["text"])
        else:
            others.append(mapped)
    if others:
        texts.append(f"({len(others)} attached in the next message)")
        others.insert(0, {"type": "text", "text": f"Attached by the tool call {call_id}:"})
    return "\n".join(texts), others


def joined(content: Any) -> str:
    """The text of a chat message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def _image(part: InputImage) -> dict[str, Any]:
    if not part.image_url:
        raise InvalidRequestError(
            "Images by 'file_id' are not supported; give 'image_url'.", param="input", code="unsupported_value"
        )
    return {"url": part.image_url, "detail": "high" if part.detail == "original" else part.detail}


def _file(part: InputFile) -> dict[str, Any]:
    if not isinstance(part.file_data, str):
        raise InvalidRequestError(
            "Files by 'file_id' or 'file_url' are not supported; give 'file_data'.",
            param="input",
            code="unsupported_value",
        )
    name = part.filename if isinstance(part.filename, str) else "file"
    text = text_of(part.file_data, name)
    if text is not None:
        return {"type": "text", "text": f"File {name}:\n{text}"}
    return {"type": "file", "file": {"filename": name, "file_data": part.file_data}}


def text_of(file_data: str, name: str) -> str | None:
    """The text of an inline file that is text by its media type or its name; None: it is something else."""
    head, comma, body = file_data.partition(",")
    inline = bool(comma) and head.startswith("data:")
    textual = inline and head.startswith(("data:text/", "data:application/json"))
    if not textual and not name.lower().endswith(TEXT_SUFFIXES):
        return None
    try:
        return base64.b64decode(body if inline else file_data, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
