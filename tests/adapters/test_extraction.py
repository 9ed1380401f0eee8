"""The processes that read documents, and the choice of who reads one: hostile documents of every kind.

Nothing here measures speed: that the event loop is free is shown by the turns of a task, not by a clock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.adapters.extracting.extraction import Limits, Workers
from antiphon.adapters.registry import AdapterError
from antiphon.ports.extractor import Extracted, ExtractionError
from tests import documents
from tests.documents import MARK
from tests.patience import eventually
from tests.process import DEADLINE, environ

OURS = "tests.adapters.misbehaving"
WHOLE = documents.whole()


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(limits: Limits, folder: Path) -> AsyncGenerator[Workers]:
    """Workers, after which no process is left."""
    workers = Workers(limits, folder)
    before = children()
    try:
        async with asyncio.timeout(2 * DEADLINE):
            yield workers
    finally:
        await workers.close()
        assert children() == before


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncGenerator[Workers]:
    async with opened(Limits(workers=2, seconds=20, extractors=(OURS,)), tmp_path) as made:
        yield made


def children() -> set[int]:
    """The processes whose parent we are."""
    found: set[int] = set()
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                status = (place / "stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(place.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def do(workers: Workers, deed: str) -> str:
    return (await workers.extract(pieces(deed.encode()), "x.deed", "")).text


async def refused(workers: Workers, content: bytes, filename: str, media: str = "") -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        await workers.extract(pieces(content), filename, media)
    return caught.value


async def well(workers: Workers) -> None:
    """The next document is read."""
    extracted = await workers.extract(pieces(WHOLE["lights.pdf"]), "lights.pdf", "application/pdf")
    assert MARK in extracted.text


@pytest.mark.parametrize("filename", WHOLE)
async def test_a_document_is_read_as_its_extractor_reads_it(workers: Workers, filename: str) -> None:
    extracted = await workers.extract(pieces(WHOLE[filename], 1000), filename.upper(), "application/octet-stream")
    assert MARK in extracted.text


async def test_pages_and_headings_come_along(workers: Workers) -> None:
    extracted = await workers.extract(pieces(WHOLE["lights.pptx"]), "x.pptx", "")
    assert [extracted.text[place:][:4] for place in extracted.pages] == ["# Li", "# Mo"]
    assert extracted.headings == extracted.pages


@pytest.mark.parametrize(
    ("filename", "media"),
    [
        ("lights.pdf", "application/pdf"),
        ("lights.epub", "application/epub+zip"),
        ("lights.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("lights.md", "text/markdown; charset=utf-8"),
        ("lights.csv", "text/csv"),
        ("lights.txt", "text/x-anything"),
    ],
)
async def test_the_media_type_counts_where_the_name_says_nothing(workers: Workers, filename: str, media: str) -> None:
    extracted = await workers.extract(pieces(WHOLE[filename]), "lights", media)
    assert MARK in extracted.text
    if filename == "lights.csv":
        assert "text: " in extracted.text


@pytest.mark.parametrize("filename", ["lights.pdf", "lights.docx", "lights.xlsx", "lights.epub", "lights.html"])
@pytest.mark.parametrize("name", ["noname", "x.bin", "x.txt"])
async def test_the_first_bytes_count_where_the_name_is_wrong(workers: Workers, filename: str, name: str) -> None:
    extracted = await workers.extract(pieces(WHOLE[filename]), name, "application/octet-stream")
    assert MARK in extracted.text
    if filename == "lights.html" and name != "x.txt":
        assert "<p>" not in extracted.text


async def test_text_without_a_name_is_text(workers: Workers) -> None:
    assert (
        await workers.extract(pieces(b"all: build\n"), "Makefile", "application/octet-stream")
    ).text == "all: build\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio or video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "audio or video"),
        (b"ID3\x03\0\0\0\0", "audio or video"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "an archive"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "an archive"),
        (b"\x7fELF\x02\x01\x01\0", "a program"),
        (b"MZ\x90\0\x03\0\0\0", "a program"),
        (b"SQLite format 3\0", "a database"),
        (b"{\\rtf1\\ansi hello}", "an RTF document"),
    ],
)
@pytest.mark.parametrize("name", ["x.txt", "x.pdf", "x"])
async def test_what_holds_no_text_is_refused_whatever_it_is_called(
    workers: Workers, content: bytes, words: str, name: str
) -> None:
    error = await refused(workers, content, name, "text/plain")
    assert error.code == "unsupported_file"
    assert words in error.message


@pytest.mark.parametrize("text", ["ID3 is an algorithm.", "MZ is a mark.", "PAR1 for the course.", "BM is no picture."])
async def test_text_that_begins_like_a_program_is_text(workers: Workers, text: str) -> None:
    assert (await workers.extract(pieces(text.encode()), "x.txt", "")).text == text


@pytest.mark.parametrize("name", ["x.png", "x.mp3", "x.zip", "x.exe"])
async def test_a_name_of_what_holds_no_text_is_refused(workers: Workers, name: str) -> None:
    assert (await refused(workers, b"not really", name)).code == "unsupported_file"


async def test_word_before_2007_is_told_from_an_encrypted_document(workers: Workers) -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
    assert (await refused(workers, content, "x.doc", "application/msword")).code == "unsupported_file"
    assert (await refused(workers, content, "x.docx")).code == "invalid_file"


@pytest.mark.parametrize("name", ["x.txt", "x.pdf", "x.docx", "x.png", "x"])
async def test_an_empty_file_is_refused(workers: Workers, name: str) -> None:
    error = await refused(workers, b"", name)
    assert error.code == "invalid_file"
    assert "empty" in error.message


async def test_binary_content_in_a_text_is_refused(workers: Workers) -> None:
    assert (await refused(workers, os.urandom(5000) + b"\0", "x.txt")).code in {"unsupported_file", "invalid_file"}
    assert (await refused(workers, bytes(range(256)) * 4000, "x.txt")).code == "unsupported_file"


async def test_somebody_elses_extractor_is_asked_first(workers: Workers) -> None:
    assert (await workers.extract(pieces(b"many 3"), "x.rst", "")).text == "ééé"


def test_an_extractor_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"nobody\.has\.this"):
        Workers(Limits(extractors=("nobody.has.this",)), tmp_path)


def test_wrong_options_are_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="pdf"):
        Workers(Limits(options={"pdf": {"pages": 0}}), tmp_path)


# hostile documents


HOSTILE = {
    "bomb.docx": documents.zeros("word/bomb.xml", 4096),
    "entities.docx": documents.docx("&j;", prologue=documents.BOMB),
    "cut.pdf": WHOLE["lights.pdf"][:400],
    "encrypted.pdf": documents.pdf([MARK], encrypted=True),
    "scan.pdf": documents.pdf(["", ""]),
    "nothing.pdf": b"%PDF-1.7\n",
    "deep.json": b"[" * 3_000_000 + b"]" * 3_000_000,
    "deep.html": documents.html("<div>" * 1_000_000),
    "wrong.txt": "灯台守は日没に灯をともす".encode("euc_jp"),
}


@pytest.mark.parametrize("filename", HOSTILE)
async def test_a_hostile_document_is_refused_and_the_next_one_read(workers: Workers, filename: str) -> None:
    assert (await refused(workers, HOSTILE[filename], filename)).code == "invalid_file"
    await well(workers)


@pytest.mark.parametrize(
    "nested",
    [b"[" * 500_000 + b"]" * 500_000, b"<</A" * 500_000 + b" 1" + b">>" * 500_000, b"<</Kids[6 0 R]/First 6 0 R>>"],
    ids=["arrays", "dictionaries", "itself"],
)
async def test_a_pdf_with_objects_nested_without_end_ends(workers: Workers, nested: bytes) -> None:
    content = documents.pdf([MARK], more=[nested]).replace(
        b"/Type/Catalog", b"/Type/Catalog/Names 6 0 R/Outlines 6 0 R"
    )
    try:
        assert MARK in (await workers.extract(pieces(content), "x.pdf", "")).text
    except ExtractionError as error:
        assert error.code == "invalid_file"
    await well(workers)


async def test_ten_thousand_pages_are_read_and_more_refused(workers: Workers) -> None:
    content = documents.pdf([f"Page {number}." for number in range(1, 10_001)])
    extracted = await workers.extract(pieces(content), "x.pdf", "")
    assert len(extracted.pages) == 10_000
    assert extracted.text[extracted.pages[6999] :].startswith("Page 7000.")
    more = documents.pdf(["x"] * 10_001)
    assert "10001 pages" in (await refused(workers, more, "x.pdf")).message


async def test_a_document_that_hangs_is_ended(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, seconds=0.5, extractors=(OURS,)), tmp_path) as workers:
        for deed in ("hang", "spin"):
            error = await refused(workers, deed.encode(), "x.deed")
            assert error.code == "invalid_file"
            assert "0.5 seconds" in error.message
    async with opened(Limits(workers=1, extractors=(OURS,)), tmp_path) as workers:
        await well(workers)


async def test_a_document_that_eats_memory_is_refused(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, memory_mb=256, extractors=(OURS,)), tmp_path) as workers:
        error = await refused(workers, b"eat", "x.deed")
        assert error.code == "invalid_file"
        assert "256 MB" in error.message
        await well(workers)


async def test_a_document_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, memory_mb=128, extractors=(OURS,)), tmp_path) as workers:
        error = await refused(workers, b"%PDF-" + bytes(200 << 20), "x.pdf")
        assert error.code == "invalid_file"
        assert "128 MB" in error.message
        await well(workers)


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("die SIGSEGV", "invalid_file"),
        ("die SIGABRT", "invalid_file"),
        ("die SIGXCPU", "invalid_file"),
        ("die SIGKILL", "server_error"),
        ("die SIGTERM", "server_error"),
        ("leave 0", "server_error"),
        ("leave 3", "server_error"),
        ("raise secret words of the document", "server_error"),
        ("nonsense", "server_error"),
    ],
)
async def test_a_death_is_an_error_and_the_next_document_is_read(
    workers: Workers, capfd: pytest.CaptureFixture[str], deed: str, code: str
) -> None:
    assert (await refused(workers, deed.encode(), "x.deed")).code == code
    await well(workers)
    assert "secret" not in "".join(capfd.readouterr())


async def test_a_process_that_was_killed_while_it_idled_is_replaced(workers: Workers) -> None:
    pid = int(await do(workers, "pid"))
    os.kill(pid, signal.SIGKILL)
    assert int(await do(workers, "pid")) != pid


async def test_what_libraries_print_does_not_reach_the_answer(workers: Workers) -> None:
    assert await do(workers, "babble") == "done"


async def test_a_process_knows_no_secret(workers: Workers) -> None:
    names = {line.partition("=")[0] for line in (await do(workers, "environ")).splitlines()}
    assert names <= {
        "PYTHONPATH",
        "LANG",
        "LC_CTYPE",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TMPDIR",
        "LD_LIBRARY_PATH",
    }


async def test_a_process_is_used_again_and_then_replaced(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, documents=3, extractors=(OURS,)), tmp_path) as workers:
        pids = [await do(workers, "pid") for _ in range(6)]
        refusal = await refused(workers, b"refuse politely", "x.deed")
        assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4] == pids[5]
        assert (refusal.code, refusal.message) == ("unsupported_file", "politely")


async def test_a_process_that_idles_is_ended(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, idle=0.01, extractors=(OURS,)), tmp_path) as workers:
        pid = int(await do(workers, "pid"))

        async def gone() -> bool:
            return pid not in children()

        await eventually(gone)
        await well(workers)


async def test_no_more_processes_run_than_allowed(tmp_path: Path) -> None:
    async with opened(Limits(workers=2, extractors=(OURS,)), tmp_path) as workers:
        pids = await asyncio.gather(*(do(workers, "pid") for _ in range(20)))
        assert len(set(pids)) <= 2


async def test_plain_text_needs_no_process(workers: Workers) -> None:
    before = children()
    for filename in ("lights.txt", "lights.md", "lights.py"):
        assert MARK in (await workers.extract(pieces(WHOLE[filename]), filename, "")).text
    assert children() == before
    large = (MARK + "\n") * 10_000
    assert (await workers.extract(pieces(large.encode()), "x.txt", "")).text == large
    assert children() != before


async def test_a_text_has_at_most_so_many_characters(tmp_path: Path) -> None:
    async with opened(Limits(characters=1000, extractors=(OURS,)), tmp_path) as workers:
        assert await do(workers, "many 1000") == "é" * 1000
        assert "1000 characters" in (await refused(workers, b"many 1001", "x.deed")).message
        assert "1000 characters" in (await refused(workers, b"a" * 1001, "x.txt")).message


async def test_a_long_text_comes_whole(workers: Workers) -> None:
    assert await do(workers, "many 1500001") == "é" * 1_500_001


async def test_places_stay_where_a_text_cannot_be_told(workers: Workers) -> None:
    extracted = await workers.extract(pieces(b"odd"), "x.deed", "")
    assert extracted.text == "a?b"
    assert extracted.headings == tuple(range(100_000))


async def test_cancelling_kills_the_process(workers: Workers) -> None:
    for deed in ("hang", "spin"):
        before = children()
        reading = asyncio.create_task(do(workers, deed))

        async def begun(before: set[int] = before) -> bool:
            return children() > before

        await eventually(begun)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        async def gone(before: set[int] = before) -> bool:
            return children() <= before

        await eventually(gone)
    await well(workers)


async def test_an_error_of_the_source_passes_and_the_next_document_is_read(workers: Workers) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield WHOLE["lights.pdf"] + b"\0" * 500_000
        raise OSError(5, "the disk fails")

    with pytest.raises(OSError, match="the disk fails"):
        await workers.extract(broken(), "x.pdf", "")
    await well(workers)


async def test_the_event_loop_turns_while_documents_are_read(workers: Workers) -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    book = documents.pdf([f"Page {number}." for number in range(3000)])
    await asyncio.gather(workers.extract(pieces(book), "x.pdf", ""), refused(workers, HOSTILE["bomb.docx"], "x.docx"))
    ticking.cancel()
    assert turns > 20


async def test_closing_ends_what_is_being_read(tmp_path: Path) -> None:
    async with opened(Limits(workers=1, extractors=(OURS,)), tmp_path) as workers:
        before = children()
        reading = asyncio.create_task(refused(workers, b"hang", "x.deed"))
        waiting = asyncio.create_task(refused(workers, b"hang", "x.deed"))

        async def begun() -> bool:
            return children() > before

        await eventually(begun)
        await workers.close()
        assert (await reading).code == "server_error"
        assert (await waiting).code == "server_error"


_SERVER = f"""
import asyncio, sys
from pathlib import Path
from antiphon.adapters.extracting.extraction import Limits, Workers

async def piece():
    yield b"hang"

async def pid():
    yield b"pid"

async def main():
    workers = Workers(Limits(workers=1, extractors=({OURS!r},)), Path({{folder!r}}))
    print((await workers.extract(pid(), "x.deed", "")).text, flush=True)
    await workers.extract(piece(), "x.deed", "")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the alarm ends it, after its time")
async def test_a_server_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    here = str(Path(__file__).resolve().parents[2])
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVER.format(folder=str(tmp_path))),
        env={**environ(tmp_path), "PYTHONPATH": here},
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    async with asyncio.timeout(DEADLINE):
        pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()

    async def gone() -> bool:
        return not alive(pid)

    await eventually(gone)


def test_another_event_loop_does_as_well(tmp_path: Path) -> None:
    """The loop that the server runs on where it can."""
    uvloop = pytest.importorskip("uvloop")

    async def all_of_it() -> None:
        async with opened(Limits(workers=1, seconds=1, extractors=(OURS,)), tmp_path) as workers:
            for deed, code in (("die SIGSEGV", "invalid_file"), ("leave 3", "server_error"), ("hang", "invalid_file")):
                assert (await refused(workers, deed.encode(), "x.deed")).code == code
            assert await do(workers, "many 1500001") == "é" * 1_500_001
            reading = asyncio.create_task(do(workers, "hang"))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await well(workers)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_it())


async def test_one_reader_gives_the_same_as_another(workers: Workers) -> None:
    found = [await workers.extract(pieces(WHOLE["lights.docx"], size), "x.docx", "") for size in (100, 100_000)]
    assert found[0] == found[1]
    assert isinstance(found[0], Extracted)
