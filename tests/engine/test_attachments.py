"""Files and images in a context: what the model is given, what the client is told, what is kept."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.core.effects import Entry
from antiphon.engine.attachments import FRESH, AttachmentLimits, Attachments
from antiphon.ports.door import Fetched
from antiphon.ports.files import StoredFile
from antiphon.wire.codec import builtins
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError, ServerError
from antiphon.wire.files import File
from antiphon.wire.items import KnownItem
from tests.attached import Bytes, NoFiles, Reader, Web, attachments

PNG = b"\x89PNG"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
FILES = {
    "file-text": (b"# Tides", "tides.md", "text/markdown"),
    "file-png": (PNG, "mill.png", "image/png"),
    "file-docx": (b"in words", "a.docx", DOCX),
    "file-raw": (b"in words", "b.txt", "application/octet-stream"),
    "file-bad": (b"\xff", "bad.pdf", "application/pdf"),
    "file-ours": (b"ours", "x.pdf", "application/pdf"),
}


class Desk:
    """Everything that attachments come from, over one clock."""

    def __init__(self, limits: AttachmentLimits | None = None, **expires: int) -> None:
        self.clock = SeededClock()
        self.blobs, self.reader, self.web = Bytes(), Reader(), Web()
        stored: list[StoredFile] = []
        for name, (content, filename, media) in FILES.items():
            self.blobs.held["default", name] = content
            until = expires.get(name.replace("-", "_"))
            fields = {"id": name, "bytes": len(content), "created_at": 1, "filename": filename, "purpose": "user_data"}
            stored.append(StoredFile(file=msgspec.convert({**fields, "expires_at": until}, File), media=media))
        self.files = NoFiles(*stored)
        self.attachments: Attachments = attachments(
            self.clock, self.files, blobs=self.blobs, reader=self.reader, web=self.web, limits=limits
        )

    async def given(
        self, *parts: dict[str, Any], place: str | None = "input[2]", native: bool = False, project: str = "default"
    ) -> list[Any]:
        """What the parts of a user's message become."""
        item = {"type": "message", "id": "msg_1", "role": "user", "content": list(parts)}
        return (await self.item(item, place, native=native, project=project))["content"]

    async def item(
        self, item: dict[str, Any], place: str | None = "input[2]", *, native: bool = False, project: str = "default"
    ) -> dict[str, Any]:
        entry = Entry(msgspec.convert(item, KnownItem))
        places = {} if place is None else {str(item["id"]): place}
        (resolved,) = await self.attachments.resolved(project, [entry], places, native=native)
        return builtins(resolved.item)


def url(media: str, content: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def file(**fields: str) -> dict[str, Any]:
    return {"type": "input_file", **fields}


def image(file_id: str, **fields: str) -> dict[str, Any]:
    return {"type": "input_image", "file_id": file_id, **fields}


async def test_an_image_by_id_becomes_a_data_url_and_keeps_its_detail() -> None:
    (part,) = await Desk().given(image("file-png", detail="low"))
    assert part == {"type": "input_image", "detail": "low", "image_url": url("image/png", PNG), "file_id": None}


async def test_a_file_by_id_becomes_its_text_under_its_name() -> None:
    desk = Desk()
    parts = await desk.given(file(file_id="file-text"), file(file_id="file-docx"), file(file_id="file-raw"))
    assert [part["text"] for part in parts] == [
        "File tides.md:\n# Tides",
        "File a.docx:\nin words",
        "File b.txt:\nin words",
    ]
    assert desk.reader.read == [("tides.md", "text/markdown"), ("a.docx", DOCX), ("b.txt", "text/plain")]


async def test_an_endpoint_that_reads_files_gets_them_whole() -> None:
    desk = Desk()
    parts = await desk.given(file(file_id="file-docx"), file(file_data="aGk=", filename="c.pdf"), native=True)
    assert parts == [
        {"type": "input_file", "filename": "a.docx", "file_data": url(DOCX, b"in words")},
        {"type": "input_file", "filename": "c.pdf", "file_data": "aGk="},
    ]
    assert desk.reader.read == []


async def test_a_file_that_is_an_image_is_shown_as_one() -> None:
    (part,) = await Desk().given(file(file_id="file-png"))
    assert part["image_url"] == url("image/png", PNG)
    (part,) = await Desk().given(file(file_data=url("image/gif", b"GIF"), filename="x"))
    assert part["image_url"] == url("image/gif", b"GIF")


async def test_an_inline_file_is_read_and_one_that_is_text_stays() -> None:
    desk = Desk()
    parts = await desk.given(
        file(file_data=url("application/pdf", b"pages"), filename="a.pdf"),
        file(file_data="cGFnZXM=", filename="b.pdf"),
        file(file_data="aGk=", filename="c.md"),
    )
    assert [part.get("text") for part in parts] == ["File a.pdf:\npages", "File b.pdf:\npages", None]
    assert parts[2]["file_data"] == "aGk="
    assert [media for _, media in desk.reader.read] == ["application/pdf", "application/pdf"]


async def test_a_file_by_url_is_fetched_and_for_a_while_not_again() -> None:
    desk = Desk()
    desk.web.documents["https://a.example/x"] = Fetched(content=b"far", media="application/pdf", filename="x.pdf")
    asked = file(file_url="https://a.example/x")
    assert (await desk.given(asked))[0]["text"] == "File x.pdf:\nfar"
    assert (await desk.given(asked))[0]["text"] == "File x.pdf:\nfar"
    assert (await desk.given(file(file_url="https://a.example/x", filename="mine.pdf")))[0]["text"].startswith(
        "File mine"
    )
    assert len(desk.web.fetched) == 2
    desk.clock.advance(FRESH + 1)
    await desk.given(asked)
    assert len(desk.web.fetched) == 3


async def test_outputs_of_tools_and_screens_hold_files_too() -> None:
    desk = Desk()
    for kind in ("function_call_output", "custom_tool_call_output"):
        item = {"type": kind, "id": "fc_1", "call_id": "c", "output": [file(file_id="file-docx"), image("file-png")]}
        output = (await desk.item(item))["output"]
        assert output[0]["text"] == "File a.docx:\nin words"
        assert output[1]["image_url"] == url("image/png", PNG)
    screen = {"type": "computer_screenshot", "file_id": "file-png"}
    item = {"type": "computer_call_output", "id": "cuo_1", "call_id": "c", "output": screen}
    assert (await desk.item(item))["output"]["image_url"] == url("image/png", PNG)
    with pytest.raises(NotFoundError) as caught:
        await desk.item({**item, "output": {**screen, "file_id": "file-9"}})
    assert caught.value.param == "input[2].output.file_id"


@pytest.mark.parametrize(
    ("part", "kind", "param", "words"),
    [
        (file(file_id="file-9"), NotFoundError, "file_id", "'file-9' not found"),
        (image("file-9"), NotFoundError, "file_id", "'file-9' not found"),
        (image("file-docx"), InvalidRequestError, "file_id", "'a.docx' is no image"),
        (file(file_id="file-bad"), InvalidRequestError, "file_id", "'bad.pdf' cannot be read: it is broken."),
        (file(file_data="%%%", filename="a.pdf"), InvalidRequestError, "file_data", "not in base64"),
        (file(file_data="/w==", filename="a.pdf"), InvalidRequestError, "file_data", "it is broken."),
        (file(file_url="https://a.example/none"), InvalidRequestError, "file_url", "a.example answered with HTTP 404."),
    ],
)
async def test_what_cannot_be_given_is_an_error_that_names_its_place(
    part: dict[str, Any], kind: type[AntiphonError], param: str, words: str
) -> None:
    desk = Desk()
    with pytest.raises(kind) as caught:
        await desk.given({"type": "input_text", "text": "x"}, part)
    assert caught.value.param == f"input[2].content[1].{param}"
    assert words in caught.value.message
    # in an earlier turn it is said to the model: the conversation goes on
    (told,) = await desk.given(part, place=None)
    assert told["type"] == "input_text"
    assert words in told["text"]


async def test_a_reader_that_died_is_our_fault() -> None:
    with pytest.raises(ServerError, match=r"x\.pdf"):
        await Desk().given(file(file_id="file-ours"))


async def test_another_projects_file_and_an_expired_one_are_not_there() -> None:
    desk = Desk(file_text=5)
    with pytest.raises(NotFoundError):
        await desk.given(file(file_id="file-docx"), project="other")
    with pytest.raises(NotFoundError):
        await desk.given(file(file_id="file-text"))


async def test_a_file_is_read_once_and_gone_as_soon_as_it_is_deleted() -> None:
    desk = Desk()
    for _ in range(3):
        await desk.given(file(file_id="file-docx"), file(file_id="file-docx"))
    assert desk.blobs.reads == ["file-docx"]
    assert len(desk.reader.read) == 1
    del desk.files.stored["file-docx"]
    with pytest.raises(NotFoundError):
        await desk.given(file(file_id="file-docx"))


async def test_bytes_without_a_row_and_a_row_without_bytes_are_nothing() -> None:
    desk = Desk()
    del desk.blobs.held["default", "file-docx"]
    with pytest.raises(NotFoundError):
        await desk.given(file(file_id="file-docx"))


async def test_sizes_are_bounded() -> None:
    with pytest.raises(InvalidRequestError, match="larger than 6 bytes"):
        await Desk(AttachmentLimits(file=6)).given(file(file_id="file-docx"))
    (part,) = await Desk(AttachmentLimits(text=2)).given(file(file_id="file-docx"))
    assert part["text"] == "File a.docx:\nin\n[cut: the first 2 of 8 characters]"
    with pytest.raises(InvalidRequestError) as caught:
        await Desk(AttachmentLimits(context=30)).given(file(file_id="file-docx"), file(file_id="file-docx"))
    assert caught.value.code == "context_length_exceeded"


async def test_no_more_is_kept_than_the_limit() -> None:
    desk = Desk(AttachmentLimits(kept=30))
    for _ in range(2):
        await desk.given(file(file_id="file-docx"))
        await desk.given(file(file_id="file-raw"))
    assert desk.blobs.reads == ["file-docx", "file-raw"] * 2


async def test_a_context_without_attachments_is_left_alone() -> None:
    desk = Desk()
    item = {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    linked = {"type": "input_image", "image_url": "https://a.example/b.png"}
    for each in (item, {**item, "content": [linked]}):
        entry = Entry(msgspec.convert(each, KnownItem))
        (resolved,) = await desk.attachments.resolved("default", [entry], {}, native=False)
        assert resolved is entry


async def test_the_cache_mark_of_a_part_stays() -> None:
    (part,) = await Desk().given({**file(file_id="file-docx"), "prompt_cache_breakpoint": {"a": 1}})
    assert part["prompt_cache_breakpoint"] == {"a": 1}
