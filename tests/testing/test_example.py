"""The example of an application's CI: its cassettes are replayed without its model, and can be recorded again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.testing.project import Project

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ci_project"
TIMING = re.compile(r"\[[\d.]+,(?=\[\{)")


@pytest.fixture
def example(tmp_path: Path) -> Project:
    shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return Project(tmp_path / "project")


def exchanges(folder: Path) -> dict[str, str]:
    """The files of all cassettes, without the times of chunks."""
    return {
        str(path.relative_to(folder)): TIMING.sub("[0,", path.read_text("utf-8"))
        for path in sorted(folder.rglob("cassettes/**/*.json"))
    }


def test_it_passes_in_ci_without_a_key_and_without_its_model(example: Project) -> None:
    before = exchanges(example.folder)
    found = example.run("-W", "ignore::pytest.PytestDeprecationWarning", "--antiphon-unused=error", ci=True)
    assert found.last.startswith("7 passed"), found.text
    assert exchanges(example.folder) == before
    assert len(before) == 8


def test_its_cassettes_are_those_of_its_stand_in(example: Project) -> None:
    before = exchanges(example.folder)
    found = example.run(
        "-W", "ignore::pytest.PytestDeprecationWarning", "--antiphon-record=all", "-o", "antiphon_config=stand_in.toml"
    )
    assert found.last.startswith("7 passed"), found.text
    assert exchanges(example.folder) == before
