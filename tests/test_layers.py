"""The import contracts hold, and each of them is seen to fail: every forbidden arrow is drawn once in a copy of the
package, and import-linter has to name it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]


class Trespass(NamedTuple):
    """An import that a contract forbids: a module in room `source` imports `target`."""

    contract: str
    source: str
    target: str

    def module(self) -> str:
        """The name of the module that is added for it."""
        return "trespass_" + re.sub(r"\W", "_", self.target)

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


def stack() -> list[list[str]]:
    """The rooms from the top down; siblings share a floor."""
    (layers,) = [contract for contract in CONTRACTS if contract["type"] == "layers"]
    return [[room.strip() for room in re.split(r"[|:]", floor)] for floor in layers["layers"]]


def trespasses() -> list[Trespass]:
    """Every arrow up the stack and between siblings, and every forbidden module of every forbidding room."""
    floors = stack()
    (name,) = [contract["name"] for contract in CONTRACTS if contract["type"] == "layers"]
    arrows = [
        Trespass(name, source, target)
        for height, floor in enumerate(floors)
        for source in floor
        for target in (room for above in floors[: height + 1] for room in above)
        if target != source
    ]
    for contract in CONTRACTS:
        if contract["type"] == "forbidden":
            arrows += [
                Trespass(contract["name"], source, target)
                for source in contract["source_modules"]
                for target in contract["forbidden_modules"]
            ]
    return arrows


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on the package below `folder/src`, with the contracts of this repository."""
    shutil.copy(ROOT / "pyproject.toml", folder / "pyproject.toml")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def copy(folder: Path) -> Path:
    """A copy of the package; rooms that are a single module become packages, so that a module can be added to them."""
    package = folder / "src" / "antiphon"
    shutil.copytree(ROOT / "src" / "antiphon", package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def intrude(package: Path, trespass: Trespass) -> None:
    """Add the forbidden import to the room: as a module of its own where the room is a package."""
    room = package.joinpath(*trespass.source.split(".")[1:])
    line = f"import {trespass.target}\n"
    if room.is_dir():
        (room / f"{trespass.module()}.py").write_text(line)
    else:
        module = room.with_suffix(".py")
        module.write_text(module.read_text() + line)


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy in which every forbidden arrow is drawn."""
    folder = tmp_path_factory.mktemp("trespass")
    package = copy(folder)
    for trespass in trespasses():
        intrude(package, trespass)
    found = lint(folder)
    assert found.returncode == 1, found.stdout + found.stderr
    return found.stdout


def test_the_contracts_hold(tmp_path: Path) -> None:
    copy(tmp_path)
    found = lint(tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in found.stdout


@pytest.mark.parametrize("trespass", trespasses(), ids=str)
def test_a_forbidden_import_breaks_its_contract(verdict: str, trespass: Trespass) -> None:
    assert f"{trespass.contract} BROKEN" in verdict
    _, _, details = verdict.partition("Broken contracts")
    sections = re.split(r"^(.+)\n-+\n", details, flags=re.MULTILINE)
    (section,) = [
        body for title, body in zip(sections[1::2], sections[2::2], strict=True) if title == trespass.contract
    ]
    arrow = rf"{re.escape(trespass.source)}(\.{trespass.module()})? -> {re.escape(trespass.target)} \("
    assert re.search(arrow, section), section
