"""Content parts of messages, and what annotates them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

Detail: TypeAlias = Literal["low", "high", "auto", "original"]


class TopLogProb(Struct, frozen=True, kw_only=True):
    """One alternative token."""

    token: str
    bytes: tuple[int, ...] = ()
    logprob: float


class LogProb(Struct, frozen=True, kw_only=True):
    """A token with its log probability and the alternatives that were asked for."""

    token: str
    bytes: tuple[int, ...] = ()
    logprob: float
    top_logprobs: tuple[TopLogProb, ...] = ()


class FileCitation(Struct, frozen=True, kw_only=True, tag_field="type", tag="file_citation"):
    """The text before `index` rests on this file."""

    file_id: str
    filename: str = ""
    index: int


class UrlCitation(Struct, frozen=True, kw_only=True, tag_field="type", tag="url_citation"):
    """The text from `start_index` to `end_index` (characters) rests on this page."""

    url: str
    title: str = ""
    start_index: int
    end_index: int


class ContainerFileCitation(Struct, frozen=True, kw_only=True, tag_field="type", tag="container_file_citation"):
    """A file that a tool made in its container."""

    container_id: str
    file_id: str
    filename: str = ""
    start_index: int
    end_index: int


class FilePath(Struct, frozen=True, kw_only=True, tag_field="type", tag="file_path"):
    """A path to a file that was made."""

    file_id: str
    index: int


Annotation: TypeAlias = FileCitation | UrlCitation | ContainerFileCitation | FilePath


class InputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    """Text given to the model."""

    text: Annotated[str, Meta(max_length=10_485_760)]
    prompt_cache_breakpoint: dict[str, Any] | UnsetType = UNSET


class InputImage(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_image"):
    """An image by URL (also `data:`) or by file id."""

    detail: Detail = "auto"
    image_url: Annotated[str, Meta(max_length=20_971_520)] | None = None
    file_id: str | None = None
    prompt_cache_breakpoint: dict[str, Any] | UnsetType = UNSET


class InputFile(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_file"):
    """A file by id, by URL or inline (`file_data`, a `data:` URL or bare base64)."""

    file_id: str | UnsetType = UNSET
    filename: str | UnsetType = UNSET
    file_data: Annotated[str, Meta(max_length=33_554_432)] | UnsetType = UNSET
    file_url: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    prompt_cache_breakpoint: dict[str, Any] | UnsetType = UNSET


class InputAudio(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """Audio as base64 with its format (mp3, wav)."""

    input_audio: dict[str, Any]


class InputVideo(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_video"):
    """A video by URL (Open Responses)."""

    video_url: str


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text the model wrote."""

    text: str
    annotations: tuple[Annotation, ...] = ()
    logprobs: tuple[LogProb, ...] = ()


class Refusal(Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """The model's words for what it will not do."""

    refusal: str


class Text(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Plain text, as conversation items of other origin carry it."""

    text: str


class SummaryText(Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text"):
    """A part of a summary of reasoning."""

    text: str


class ReasoningText(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_text"):
    """A part of the reasoning itself."""

    text: str


class ComputerScreenshot(Struct, frozen=True, kw_only=True, tag_field="type", tag="computer_screenshot"):
    """What a computer's screen showed, as a content part."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Detail = "auto"
    prompt_cache_breakpoint: dict[str, Any] | UnsetType = UNSET


InputPart: TypeAlias = InputText | InputImage | InputFile | InputAudio | InputVideo
OutputPart: TypeAlias = OutputText | Refusal
Part: TypeAlias = (
    InputText
    | InputImage
    | InputFile
    | InputAudio
    | InputVideo
    | OutputText
    | Refusal
    | Text
    | SummaryText
    | ReasoningText
    | ComputerScreenshot
)
