"""Uploads over a real port with the official client: parts in any order and at once, and what ends an upload."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from hashlib import md5
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types import Upload

from antiphon.adapters.blobs.folder import FolderBlobs
from antiphon.engine.leftovers import AGE, Leftovers
from antiphon.engine.uploads import LIFETIME
from tests.patience import eventually
from tests.process import Serving, serving
from tests.schemas import validate
from tests.shared import SHARED
from tests.whole.house import Json, Whole, whole

MB = 1024 * 1024


async def begun(client: AsyncOpenAI, size: int, **fields: Any) -> Upload:
    wanted: dict[str, Any] = {"filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data", **fields}
    return await client.uploads.create(bytes=size, **wanted)


async def part(client: AsyncOpenAI, upload: Upload, content: bytes) -> str:
    return (await client.uploads.parts.create(upload.id, data=content)).id


async def checked(server: Whole, path: str, body: Json) -> Json:
    """An upload as it goes over the wire."""
    status, found = await server.ask("POST", path, body)
    assert status == 200, found
    if SHARED.is_dir():
        validate("Upload", found)
    return found


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "files").rglob("*") if path.is_file())


async def test_parts_that_come_at_once_become_a_file_in_the_given_order(tmp_path: Path) -> None:
    contents = [os.urandom(size) for size in (1, 3 * MB, 0, 200_000)]
    content = b"".join(contents)
    async with whole(tmp_path) as server:
        client = server.client
        upload = await begun(client, len(content), filename="dir/Grüße.txt")
        assert upload.id.startswith("upload_")
        assert (upload.status, upload.filename, upload.bytes) == ("pending", "Grüße.txt", len(content))
        assert upload.expires_at == upload.created_at + LIFETIME
        made = await asyncio.gather(*[client.uploads.parts.create(upload.id, data=one) for one in contents])
        for one in made:
            assert one.id.startswith("part_")
            assert (one.object, one.upload_id) == ("upload.part", upload.id)
            if SHARED.is_dir():
                validate("UploadPart", one.to_dict())
        ids = [one.id for one in made]
        done = await client.uploads.complete(
            upload.id, part_ids=ids, md5=md5(content, usedforsecurity=False).hexdigest()
        )
        assert done.status == "completed"
        assert done.file is not None
        assert (done.file.bytes, done.file.filename, done.file.purpose) == (len(content), "Grüße.txt", "user_data")
        found = await client.files.content(done.file.id)
        assert found.content == content
        assert found.response.headers["content-type"] == "text/plain"
        assert await client.files.retrieve(done.file.id) == done.file
        assert kept(tmp_path) == [done.file.id]  # the parts are gone


async def test_what_goes_over_the_wire_is_what_openai_describes(tmp_path: Path) -> None:
    body = {"bytes": 0, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    after = {"expires_after": {"anchor": "created_at", "seconds": 3600}}
    async with whole(tmp_path) as server:
        made = await checked(server, "/uploads", {**body, **after})
        assert "file" not in made
        done = await checked(server, f"/uploads/{made['id']}/complete", {"part_ids": []})
        assert done["file"]["expires_at"] == done["file"]["created_at"] + 3600
        other = await checked(server, "/uploads", body)
        assert (await checked(server, f"/uploads/{other['id']}/cancel", {}))["status"] == "cancelled"


@pytest.mark.parametrize("given", ["memory", "disk"])
async def test_the_client_uploads_a_whole_file_in_parts(tmp_path: Path, given: str) -> None:
    content = os.urandom(5 * MB + 3)
    path = tmp_path / "big.bin"
    path.write_bytes(content)
    wanted: dict[str, Any] = {"mime_type": "application/octet-stream", "purpose": "assistants", "part_size": 2 * MB}
    async with whole(tmp_path / "data") as server:
        uploads = server.client.uploads
        if given == "disk":
            done = await uploads.upload_file_chunked(file=path, **wanted)
        else:
            done = await uploads.upload_file_chunked(file=content, filename="big.bin", bytes=len(content), **wanted)
        assert done.status == "completed"
        assert done.file is not None
        assert (await server.client.files.content(done.file.id)).content == content


async def refusal(work: Any) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequestError) as raised:
        await work
    return raised.value.param, raised.value.code


async def test_only_parts_of_the_upload_make_its_file(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        client = server.client
        upload, other = await begun(client, 4), await begun(client, 4)
        one, two = await part(client, upload, b"on"), await part(client, upload, b"tw")
        foreign = await part(client, other, b"fo")
        for ids, place in (
            ([one, "part_x"], "part_ids[1]"),
            ([one, foreign], "part_ids[1]"),
            ([one, one], "part_ids[1]"),
            ([one], "part_ids"),
            ([], "part_ids"),
        ):
            assert await refusal(client.uploads.complete(upload.id, part_ids=ids)) == (place, "invalid_value")
        wrong = client.uploads.complete(upload.id, part_ids=[two, one], md5="0" * 32)
        assert await refusal(wrong) == ("md5", "invalid_value")
        assert await refusal(client.uploads.complete(upload.id, part_ids=[two, one], md5="x")) == (
            "md5",
            "invalid_value",
        )
        done = await client.uploads.complete(upload.id, part_ids=[two, one])  # it was pending all the time
        assert done.file is not None
        assert (await client.files.content(done.file.id)).content == b"twon"


@pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
async def test_what_is_over_cannot_be_changed(tmp_path: Path, end: str) -> None:
    async with whole(tmp_path) as server:
        client, store = server.client, server.composition.store
        upload = await begun(client, 2)
        one = await part(client, upload, b"on")
        if end == "completed":
            assert (await client.uploads.complete(upload.id, part_ids=[one])).status == end
        elif end == "cancelled":
            assert (await client.uploads.cancel(upload.id)).status == end
        else:
            gone = await store.files.expire_files(upload.expires_at + 1)
            assert [each.name for each in gone] == [one]
        for work in (
            client.uploads.parts.create(upload.id, data=b"x"),
            client.uploads.complete(upload.id, part_ids=[one]),
            client.uploads.cancel(upload.id),
        ):
            assert await refusal(work) == ("upload_id", f"upload_{end}")
        if end != "expired":
            assert len(kept(tmp_path)) == (1 if end == "completed" else 0)


async def test_of_two_who_complete_one_does(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        client = server.client
        upload = await begun(client, 2)
        one = await part(client, upload, b"on")
        ends = await asyncio.gather(
            *[client.uploads.complete(upload.id, part_ids=[one]) for _ in range(8)], return_exceptions=True
        )
        done = [end for end in ends if isinstance(end, Upload)]
        assert len(done) == 1
        assert all(isinstance(end, BadRequestError) for end in ends if end not in done)
        assert done[0].file is not None
        assert kept(tmp_path) == [done[0].file.id]
        assert [file.id async for file in client.files.list()] == [done[0].file.id]


async def test_an_unknown_upload_is_not_found(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        client = server.client
        for work in (
            client.uploads.parts.create("upload_x", data=b"x"),
            client.uploads.complete("upload_x", part_ids=[]),
            client.uploads.cancel("upload_x"),
        ):
            with pytest.raises(NotFoundError, match="No such Upload object: upload_x"):
                await work
        assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"bytes": -1}, "bytes", "integer_below_min_value"),
        ({"bytes": 3 * MB}, "bytes", "integer_above_max_value"),
        ({"bytes": "x"}, "bytes", "invalid_type"),
        ({"filename": ""}, "filename", "empty_string"),
        ({"filename": ".."}, "filename", "invalid_value"),
        ({"purpose": "x"}, "purpose", "invalid_value"),
        ({"purpose": "batch"}, "file", "invalid_file_format"),
        ({"mime_type": None}, "mime_type", "missing_required_parameter"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds", "integer_below_min_value"),
        ({"nonsense": 1}, "nonsense", "unknown_parameter"),
    ],
)
async def test_what_is_wrong_with_an_upload_is_named(tmp_path: Path, fields: Json, param: str, code: str) -> None:
    body = {"bytes": 1, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data", **fields}
    async with whole(tmp_path, files={"upload_mb": 2}) as server:
        status, found = await server.ask("POST", "/uploads", body)
        assert (status, found["error"]["param"], found["error"]["code"]) == (400, param, code), found


async def test_a_part_is_a_form_with_its_data(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        upload = await begun(server.client, 2)
        path = f"{server.url}/v1/uploads/{upload.id}/parts"
        for form, param, code in (
            (aiohttp.FormData({"x": "y"}), "data", "missing_required_parameter"),
            (aiohttp.FormData({"data": "y"}), "data", "unsupported_content_type"),
        ):
            async with server.raw.post(path, data=form) as answer:
                found = await answer.json()
                assert (answer.status, found["error"]["param"]) == (400, param), found
                assert found["error"]["code"] in {code, "unsupported_content_type"}
        status, found = await server.ask("POST", f"/uploads/{upload.id}/parts", {"data": "x"})
        assert (status, found["error"]["code"]) == (400, "unsupported_content_type")


async def test_parts_are_bounded(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        upload = await begun(server.client, 1)
        path = f"{server.url}/v1/uploads/{upload.id}/parts"
        head = b'--b\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}

        async def sent(count: int) -> tuple[int, Json]:
            async def pieces() -> Any:
                yield head
                for _ in range(count):
                    yield b"x" * MB
                yield b"\r\n--b--\r\n"

            async with server.raw.post(path, data=pieces(), headers=headers) as answer:
                return answer.status, await answer.json()

        assert (await sent(65))[0] == 413
        assert kept(tmp_path) == []
        assert (await sent(64))[0] == 200
        assert (await sent(1))[0] == 200
        status, found = await sent(1)  # an upload of one byte has had its chances
        assert (status, found["error"]["param"]) == (400, "upload_id"), found


async def test_parts_survive_a_kill_and_what_has_no_row_is_collected(tmp_path: Path) -> None:
    """SIGKILL between two parts, and in the middle of one."""
    content = [b"one" * 1000, b"two" * 1000]
    home = tmp_path / "home"
    home.mkdir()
    data = tmp_path / "data"
    async with serving(home, "--data", str(data)) as server, official(server) as client:
        upload = await begun(client, 6000)
        first = await part(client, upload, content[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"POST /v1/uploads/{upload.id}/parts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'.encode()
            + b"x" * 3 * MB
        )
        await writer.drain()

        async def arriving() -> bool:
            return len(kept(data)) == 2

        await eventually(arriving)
        server.process.send_signal(signal.SIGKILL)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    assert len(kept(data)) == 2
    async with serving(home, "--data", str(data)) as server, official(server) as client:
        assert kept(data) == [first]  # what was not whole was collected at the start
        second = await part(client, upload, content[1])
        done = await client.uploads.complete(upload.id, part_ids=[second, first])
        assert done.file is not None
        assert (await client.files.content(done.file.id)).content == content[1] + content[0]


def official(server: Serving) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)


async def test_bytes_without_a_row_are_collected_when_they_are_a_day_old(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = await server.client.files.create(file=("a.txt", b"x"), purpose="user_data")
        library = tmp_path / "files" / "default"
        for name in ("file-dead", "part_dead", "part_young"):
            (library / name).write_bytes(b"x")
        clock = made.created_at + AGE + 60
        old = made.created_at - 60
        for name in ("file-dead", "part_dead", made.id):
            os.utime(library / name, (old, old))
        os.utime(library / "part_young", (clock, clock))
        leftovers = Leftovers(server.composition.store.files, FolderBlobs(tmp_path / "files"))
        assert await leftovers.expire(clock) == 2
        assert kept(tmp_path) == sorted([made.id, "part_young"])
        assert await leftovers.expire(clock + 1) == 0
