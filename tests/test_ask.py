"""`antiphon ask` as a real process over real folders: what it prints, what it keeps, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai import OpenAI

from tests.process import ROOT, antiphon, serving

KEYWORDS = {"ANTIPHON_EMBEDDER_KIND": "none"}  # the words are enough here, and need no model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "secret.md").write_text("The keeper of the light is nobody.")
    (folder / "deep" / "harbour.md").write_text("The harbour of Orrin has 12 berths. The pilot lives in Reith.")
    (folder / "mill.pdf").write_bytes((ROOT / "examples" / "tide-mill.pdf").read_bytes())
    return folder


async def test_an_answer_comes_with_its_source(tmp_path: Path, folder: Path) -> None:
    answer = await antiphon(tmp_path, "ask", "How many berths has the harbour?", str(folder), **KEYWORDS)
    assert answer.code == 0, answer.err
    assert "12 berths [1]." in answer.out
    assert "[1] harbour.md" in answer.out
    assert "<|" not in answer.out
    assert "secret.md" not in answer.out


async def test_only_what_has_changed_is_read_again(tmp_path: Path, folder: Path) -> None:
    first = await antiphon(tmp_path, "ask", "How wide across is the wheel?", str(folder), **KEYWORDS)
    assert "5.2 metres" in first.out
    assert "uploading" in first.out
    again = await antiphon(tmp_path, "ask", "How wide across is the wheel?", str(folder), **KEYWORDS)
    assert "5.2 metres" in again.out
    assert "uploading" not in again.out
    (folder / "deep" / "harbour.md").write_text("The harbour of Orrin has 14 berths since the spring.")
    changed = await antiphon(tmp_path, "ask", "How many berths has the harbour?", str(folder), **KEYWORDS)
    assert "14 berths" in changed.out
    assert "12 berths" not in changed.out


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    answer = await antiphon(tmp_path, "ask", "How many berths has the harbour?", str(folder), **KEYWORDS)
    assert answer.code == 0
    assert "not read: photo.png" in answer.out
    assert "12 berths" in answer.out


async def test_a_running_server_can_be_asked(tmp_path: Path, folder: Path) -> None:
    variables = {**KEYWORDS, "ANTIPHON_SERVER_API_KEYS": "key-of-the-test"}
    async with serving(tmp_path, variables=variables) as server:
        asked = ("ask", "Where does the pilot live?", str(folder), "--url", server.url)
        answer = await antiphon(tmp_path, *asked, ANTIPHON_API_KEY="key-of-the-test")
        assert "Reith [1]" in answer.out, answer.err
        refused = await antiphon(tmp_path, *asked, ANTIPHON_API_KEY="another")
        assert refused.code == 1
        assert "no setting" not in refused.err
        assert "The API key is not valid" in refused.err
        with OpenAI(base_url=f"{server.url}/v1", api_key="key-of-the-test") as client:
            assert {file.filename for file in client.files.list()} == {"harbour.md", "mill.pdf"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "there are no files at missing"),
        (["papers", "--url", "http://127.0.0.1:9"], "does not answer"),
        (["papers", "--model", "nobody"], "does not exist"),
    ],
)
async def test_what_cannot_be_asked_is_said(tmp_path: Path, folder: Path, arguments: list[str], words: str) -> None:
    assert folder.is_dir()
    answer = await antiphon(tmp_path, "ask", "Why?", *arguments, **KEYWORDS)
    assert answer.code == 1
    assert words in answer.err
    assert "Traceback" not in answer.err
