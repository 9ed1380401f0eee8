"""Sealed text: what opens it, and what does not."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.adapters.seal import FILE, Keys, secrets_in
from antiphon.ports.seal import SealError

ONE = "the first secret of this server, kept well"
TWO = "the second secret of this server, kept well"


@given(st.text(), st.text(max_size=20))
def test_what_was_sealed_opens_again(text: str, project: str) -> None:
    keys = Keys([ONE])
    sealed = keys.seal(project, "reasoning", text)
    assert sealed.isascii()
    assert keys.open(project, "reasoning", sealed) == text


def test_sealing_twice_gives_different_texts() -> None:
    keys = Keys([ONE])
    assert keys.seal("p", "reasoning", "thought") != keys.seal("p", "reasoning", "thought")


@pytest.mark.parametrize(
    ("project", "purpose"), [("other", "reasoning"), ("p", "compaction"), ("", "reasoning"), ("p\0", "reasoning")]
)
def test_another_project_or_purpose_does_not_open_it(project: str, purpose: str) -> None:
    sealed = Keys([ONE]).seal("p", "reasoning", "thought")
    with pytest.raises(SealError):
        Keys([ONE]).open(project, purpose, sealed)


def test_another_server_does_not_open_it() -> None:
    with pytest.raises(SealError):
        Keys([TWO]).open("p", "reasoning", Keys([ONE]).seal("p", "reasoning", "thought"))


def test_every_changed_byte_is_noticed() -> None:
    keys = Keys([ONE])
    raw = base64.b64decode(keys.seal("p", "reasoning", "thought"))
    for place in range(len(raw)):
        forged = bytearray(raw)
        forged[place] ^= 1
        with pytest.raises(SealError):
            keys.open("p", "reasoning", base64.b64encode(forged).decode())


@given(st.text(max_size=200))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        Keys([ONE]).open("p", "reasoning", text)


@pytest.mark.parametrize("cut", [1, 4, 20, 40])
def test_a_cut_text_is_refused(cut: int) -> None:
    keys = Keys([ONE])
    sealed = keys.seal("p", "reasoning", "thought")
    with pytest.raises(SealError):
        keys.open("p", "reasoning", sealed[:-cut])


def test_the_first_key_seals_and_all_keys_open() -> None:
    old = Keys([ONE]).seal("p", "reasoning", "old")
    rotated = Keys([TWO, ONE])
    new = rotated.seal("p", "reasoning", "new")
    assert rotated.open("p", "reasoning", old) == "old"
    assert Keys([TWO]).open("p", "reasoning", new) == "new"
    with pytest.raises(SealError):
        Keys([TWO]).open("p", "reasoning", old)


def test_a_short_secret_is_no_secret() -> None:
    for secrets in ([], [ONE, "short"]):
        with pytest.raises(ValueError, match="at least 32"):
            Keys(secrets)


def test_the_first_start_makes_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    made = secrets_in(tmp_path)
    assert len(made) == 1
    assert secrets_in(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    if os.name == "posix":
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_line_in_front_of_the_file_is_the_key_that_seals(tmp_path: Path) -> None:
    old = Keys(secrets_in(tmp_path)).seal("p", "reasoning", "old")
    path = tmp_path / FILE
    path.write_text(f"{ONE}\n\n{path.read_text(encoding='ascii')}", encoding="ascii")
    keys = Keys(secrets_in(tmp_path))
    assert keys.open("p", "reasoning", old) == "old"
    assert Keys([ONE]).open("p", "reasoning", keys.seal("p", "reasoning", "new")) == "new"


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe"])
def test_a_file_without_secrets_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SealError, match=FILE):
        secrets_in(tmp_path)
