"""Files over a real port with the official client: what is uploaded comes back, and what is gone is gone everywhere."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from openai import BadRequestError, InternalServerError, NotFoundError
from openai.types import FileObject

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter
from antiphon.ports.blobs import Blob
from tests.bucket import BUCKET, Bucket, bucket
from tests.long import amount
from tests.patience import eventually
from tests.process import serving
from tests.schemas import validate
from tests.shared import SHARED
from tests.whole.house import Whole, whole

MB = 1024 * 1024
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


async def uploaded(server: Whole, name: str = "a.txt", content: bytes = b"hello", **fields: Any) -> FileObject:
    """A file, as the official client makes it."""
    made = await server.client.files.create(file=(name, content), purpose=fields.pop("purpose", "user_data"), **fields)
    if SHARED.is_dir() and str(made.purpose) != "evals":  # which may be sent but not, says the document, be answered
        validate("OpenAIFile", (await server.ask("GET", f"/files/{made.id}"))[1])
    return made


async def downloaded(server: Whole, file_id: str) -> bytes:
    return (await server.client.files.content(file_id)).content


def kept(folder: Path) -> list[str]:
    """The blobs on the disk, finished or not."""
    return sorted(path.name for path in (folder / "files").rglob("*") if path.is_file())


async def test_what_is_uploaded_comes_back(tmp_path: Path) -> None:
    content = os.urandom(3 * MB + 1)
    async with whole(tmp_path) as server:
        made = await uploaded(server, "Grüße.pdf", content)
        assert made.id.startswith("file-")
        assert (made.bytes, made.filename, made.purpose, made.status) == (
            len(content),
            "Grüße.pdf",
            "user_data",
            "processed",
        )
        assert made.expires_at is None
        assert await server.client.files.retrieve(made.id) == made
        assert await downloaded(server, made.id) == content
    async with whole(tmp_path) as server:  # and after a restart
        assert await downloaded(server, made.id) == content


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_every_purpose_is_taken(tmp_path: Path, purpose: Any) -> None:
    async with whole(tmp_path) as server:
        made = await uploaded(server, "a.jsonl", purpose=purpose)
        assert made.purpose == purpose
        month = made.created_at + 30 * 86_400
        assert made.expires_at == (month if purpose == "batch" else None)


@pytest.mark.parametrize("given", ["bytes", "path", "stream", "open path"])
async def test_the_client_may_give_a_file_in_all_its_ways(tmp_path: Path, given: str) -> None:
    path = tmp_path / "given.md"
    path.write_bytes(b"# Hello")
    ways: dict[str, Any] = {
        "bytes": b"# Hello",
        "path": path,
        "stream": io.BytesIO(b"# Hello"),
        "open path": path.open("rb"),
    }
    async with whole(tmp_path / "data") as server:
        made = await server.client.files.create(file=ways[given], purpose="assistants")
        assert await downloaded(server, made.id) == b"# Hello"
        assert made.filename == ("given.md" if "path" in given else "upload")
    ways["open path"].close()


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = await uploaded(server, content=b"")
        assert made.bytes == 0
        assert await downloaded(server, made.id) == b""


async def test_files_are_listed_in_pages_by_purpose_and_order(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = [
            await uploaded(server, f"{count}.txt", purpose="vision" if count % 2 else "assistants")
            for count in range(7)
        ]
        ids = [file.id for file in made]
        newest = await server.client.files.list()
        assert [file.id for file in newest.data] == ids[::-1]
        paged = [file.id async for file in server.client.files.list(limit=2, order="asc")]
        assert paged == ids
        odd = [file.id async for file in server.client.files.list(limit=1, purpose="vision", order="asc")]
        assert odd == ids[1::2]
        _, found = await server.ask("GET", "/files?limit=3")
        assert (found["first_id"], found["last_id"], found["has_more"]) == (ids[6], ids[4], True)
        if SHARED.is_dir():
            validate("ListFilesResponse", found)
        _, none = await server.ask("GET", "/files?purpose=batch_output")
        assert (none["data"], none["first_id"], none["last_id"], none["has_more"]) == ([], None, None, False)
        for query, code in (
            ("limit=0", "integer_below_min_value"),
            ("limit=10001", "integer_above_max_value"),
            ("purpose=x", "invalid_value"),
            ("order=x", "invalid_value"),
            ("after=file-x", "invalid_value"),
        ):
            status, refused = await server.ask("GET", f"/files?{query}")
            assert (status, refused["error"]["code"]) == (400, code), refused


async def test_what_is_deleted_is_gone_with_its_bytes(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made, other = await uploaded(server), await uploaded(server)
        status, found = await server.ask("DELETE", f"/files/{made.id}")
        assert (status, found) == (200, {"id": made.id, "object": "file", "deleted": True})
        if SHARED.is_dir():
            validate("DeleteFileResponse", found)
        assert kept(tmp_path) == [other.id]
        for file_id in (made.id, "file-x", "x", "file-..", "vs_1"):
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
                status, refused = await server.ask(method, f"/files/{file_id}{path}")
                assert status == 404
                assert refused["error"]["message"].startswith("No such File object: ")
                assert (refused["error"]["param"], refused["error"]["code"]) == ("id", None)
        with pytest.raises(NotFoundError, match=f"No such File object: {made.id}"):
            await server.client.files.content(made.id)


async def test_a_deleted_file_leaves_every_vector_store(tmp_path: Path) -> None:
    async with whole(tmp_path, embedder={"kind": "none"}) as server:
        made, stays = await uploaded(server, content=b"The quokka smiles."), await uploaded(server, content=b"The emu.")
        stores = [await server.client.vector_stores.create(file_ids=[made.id, stays.id]) for _ in range(2)]

        async def done() -> bool:
            found = [await server.client.vector_stores.retrieve(store.id) for store in stores]
            return all(store.file_counts.completed == 2 for store in found)

        await eventually(done)
        assert (await server.client.vector_stores.search(stores[0].id, query="quokka")).data
        await server.client.files.delete(made.id)
        for store in stores:
            assert not (await server.client.vector_stores.search(store.id, query="quokka")).data
            found = await server.client.vector_stores.files.list(store.id)
            assert [file.id for file in found.data] == [stays.id]
            assert (await server.client.vector_stores.retrieve(store.id)).file_counts.total == 1


async def test_files_of_batches_are_lines_of_json(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        with pytest.raises(BadRequestError, match=r"'\.jsonl'") as raised:
            await uploaded(server, "a.txt", purpose="batch")
        assert raised.value.param == "file"
        assert kept(tmp_path) == []


async def test_expiry_is_enforced_and_swept(tmp_path: Path) -> None:
    after: Any = {"anchor": "created_at", "seconds": 3600}
    async with whole(tmp_path) as server:
        made = await uploaded(server, expires_after=after)
        assert made.expires_at == made.created_at + 3600
    async with whole(tmp_path, files={"batch_days": 0.0}, retention={"sweep_seconds": 0.05}) as server:
        forever = await uploaded(server, "a.jsonl", purpose="batch")
        assert forever.expires_at is None
        store = server.composition.store
        assert await store.files.file("default", made.id, made.created_at + 3601) is None
        assert await downloaded(server, made.id) == b"hello"


async def test_downloads_say_what_they_are(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = await server.client.files.create(
            file=('e"vil\u00e9.html', b"<script>", "text/html"), purpose="user_data"
        )
        for method in ("GET", "HEAD"):
            async with server.raw.request(method, f"{server.url}/v1/files/{made.id}/content") as answer:
                assert answer.status == 200
                assert await answer.read() == (b"<script>" if method == "GET" else b"")
                assert answer.headers["content-type"] == "text/html"
                assert answer.headers["content-length"] == "8"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["content-disposition"].startswith("attachment; ")
                assert "filename*=UTF-8''e%22vil%C3%A9.html" in answer.headers["content-disposition"]
        for name, media in (("a.pdf", "application/pdf"), ("a.md", "text/markdown"), ("a", "application/octet-stream")):
            made = await server.client.files.create(file=(name, b"x"), purpose="user_data")
            found = await server.client.files.content(made.id)
            assert found.response.headers["content-type"] == media


@pytest.mark.parametrize(
    ("wanted", "status", "content", "place"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=-100", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=3-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
    ],
)
async def test_a_range_of_a_file_is_read(
    tmp_path: Path, wanted: str, status: int, content: bytes | None, place: str | None
) -> None:
    async with whole(tmp_path) as server:
        made = await uploaded(server, content=b"0123456789")
        async with server.raw.get(f"{server.url}/v1/files/{made.id}/content", headers={"Range": wanted}) as answer:
            assert answer.status == status
            assert content is None or await answer.read() == content
            assert answer.headers.get("content-range") == place


async def test_downloads_can_be_closed_as_openai_does(tmp_path: Path) -> None:
    async with whole(tmp_path, files={"downloads": False}) as server:
        for purpose in ("assistants", "user_data"):
            made = await uploaded(server, purpose=purpose)
            with pytest.raises(BadRequestError, match=f"Not allowed to download files of purpose: {purpose}"):
                await server.client.files.content(made.id)
        made = await uploaded(server, purpose="vision")
        assert await downloaded(server, made.id) == b"hello"


async def test_a_file_that_is_too_large_is_refused_while_it_comes(tmp_path: Path) -> None:
    async with whole(tmp_path, files={"max_mb": 1}) as server:
        made = await uploaded(server, content=b"x" * MB)
        assert made.bytes == MB
        for content in (b"x" * (MB + 1), b"x" * 5 * MB):
            form = aiohttp.FormData({"purpose": "user_data"})
            form.add_field("file", io.BytesIO(content), filename="a")
            async with server.raw.post(f"{server.url}/v1/files", data=form) as answer:
                found = await answer.json()
                assert (answer.status, found["error"]["code"]) == (413, "request_too_large"), found
        assert kept(tmp_path) == [made.id]


async def test_a_client_that_leaves_leaves_nothing(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 3 * MB
        )
        await writer.drain()

        async def arriving() -> bool:
            return bool(kept(tmp_path))

        async def gone() -> bool:
            return not kept(tmp_path)

        await eventually(arriving)
        assert not reader.at_eof()
        writer.close()
        await eventually(gone)
        await writer.wait_closed()


async def test_a_reader_that_leaves_is_noticed(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = await uploaded(server, content=b"x" * 30 * MB)
        async with server.raw.get(f"{server.url}/v1/files/{made.id}/content") as answer:
            assert len(await answer.content.readexactly(1000)) == 1000
            answer.close()
        assert (await server.ask("GET", "/ready"))[0] in {200, 503}  # it goes on


async def test_bytes_that_are_gone_are_an_error_and_no_empty_file(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        made = await uploaded(server)
        (tmp_path / "files" / "default" / made.id).unlink()
        with pytest.raises(InternalServerError, match="gone"):
            await server.client.files.content(made.id)
        assert (await server.client.files.delete(made.id)).deleted


async def test_many_upload_at_once(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        contents = [os.urandom(200_000) for _ in range(20)]
        made = await asyncio.gather(*[uploaded(server, f"{at}", content) for at, content in enumerate(contents)])
        for file, content in zip(made, contents, strict=True):
            assert await downloaded(server, file.id) == content


async def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path) -> None:
    """30 MB, 300 MB in the long mode, up and down again: no more than 30 MB of memory."""
    size = amount(30, 300) * MB
    step = b"x" * (MB // 2)

    async def pieces() -> AsyncGenerator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        for _ in range(size // len(step)):
            yield step
        yield b"\r\n--b--\r\n"

    home = tmp_path / "home"
    home.mkdir()
    async with serving(home) as server, aiohttp.ClientSession() as session:

        async def upload(content: Any) -> str:
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            async with session.post(f"{server.url}/v1/files", data=content, headers=headers) as answer:
                found = await answer.json()
                assert answer.status == 200, found
                return found["id"]

        small = b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        await upload(small % (b"file", b'; filename="a"', b"x") + small % (b"purpose", b"", b"evals") + b"--b--")
        before = peak(server.process.pid)
        file_id = await upload(pieces())
        received = 0
        async with session.get(f"{server.url}/v1/files/{file_id}/content") as answer:
            async for piece in answer.content.iter_chunked(MB):
                received += len(piece)
        assert received == size
        assert peak(server.process.pid) - before < 30 * 1024


def peak(pid: int) -> int:
    """The most memory that the process has had, KB; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


async def test_files_are_kept_in_a_bucket(tmp_path: Path) -> None:
    """The whole way with an S3-compatible store: up, down, in parts, gone; not ready without its bucket."""
    content = os.urandom(6 * MB)
    home = tmp_path / "home"
    home.mkdir()
    with bucket(home) as made:
        async with whole(tmp_path / "data", blobs={"kind": "s3", **made.options}) as server:
            file = await uploaded(server, content=content)
            assert await downloaded(server, file.id) == content
            assert made.keys() == [f"default/{file.id}"]
            done = await server.client.uploads.upload_file_chunked(
                file=content, filename="a", bytes=len(content), mime_type="text/plain", purpose="evals", part_size=MB
            )
            assert done.file is not None
            assert await downloaded(server, done.file.id) == content
            assert (await server.ask("DELETE", f"/files/{file.id}"))[0] == 200
            assert made.keys() == [f"default/{done.file.id}"]
            assert [blob.name async for blob in stored(made)] == [done.file.id]
            made.client.delete_object(Bucket=BUCKET, Key=f"default/{done.file.id}")
            made.client.delete_bucket(Bucket=BUCKET)
            status, found = await server.ask("GET", "/ready")
            assert (status, "files" in found["error"]["message"]) == (503, True)


async def stored(made: Bucket) -> AsyncGenerator[Blob]:
    """What the adapter lists."""
    found = adapter("blobs", "s3")
    blobs = found.make(
        msgspec.convert(made.options, found.config), Parts(name="s3", clock=SystemClock(), folder=Path())
    )
    async for batch in blobs.stored(time.time() + 60):
        for blob in batch:
            yield blob
