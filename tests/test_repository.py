"""What a clone holds: nothing of the machine that it was written on, and dependencies that are pinned and agree."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETS = ("base", "demo", "dev")

# Written in pieces, so that this file does not hold what it looks for.
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/\w")
REGISTRY = re.compile(
    r"py" r"pi\.org|python" r"hosted\.org|registry\.npm" r"js|index" r"-url|find" r"-links",
    re.IGNORECASE,
)
LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
SECRET = re.compile(r"\bsk-[A-Za-z0-9_-]{20,}|BEGIN [A-Z ]*PRIVATE" r" KEY|\bgh[pousr]_[A-Za-z0-9]{30,}")


@cache
def files() -> tuple[Path, ...]:
    """Everything that is in the repository or would be added to it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.decode().split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


def lines(pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern stands."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def pins(name: str) -> dict[str, Requirement]:
    """What a requirement file pins, by canonical name."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [Requirement(line.partition(" --hash")[0]) for line in text.splitlines() if line.strip()]
    return {canonicalize_name(entry.name): entry for entry in entries}


def declared(name: str) -> list[Requirement]:
    """What pyproject asks for in the set of that name."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    wanted: list[str] = list(project["dependencies"])
    extras = project["optional-dependencies"]
    for extra in {"base": (), "demo": ("agent", "local"), "dev": tuple(extras)}[name]:
        wanted += extras[extra]
    if name != "base":
        wanted += groups["build"]
    if name == "dev":
        wanted += [entry for entry in groups["dev"] if isinstance(entry, str)]
    return [Requirement(line) for line in wanted]


def applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def closure(wanted: list[Requirement]) -> Iterator[str]:
    """The names of everything that these need on this machine, by the metadata of what is installed."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [requirement for requirement in wanted if applies(requirement, set())]
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        yield key[0]
        try:
            below = requires(requirement.name) or []
        except PackageNotFoundError:
            pytest.fail(f"{requirement.name} is needed and not installed: make setup")
        waiting += [entry for line in below if applies(entry := Requirement(line), requirement.extras)]


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY, LATER, SECRET], ids=["machine", "registry", "later", "secret"])
def test_no_file_holds_what_belongs_elsewhere(pattern: re.Pattern[str]) -> None:
    assert not lines(pattern)


def test_every_file_is_text_of_a_reasonable_size() -> None:
    large = [str(path.relative_to(ROOT)) for path in files() if path.stat().st_size > 400_000]
    assert not large


@pytest.mark.parametrize("name", [*SETS, "weights"])
def test_every_requirement_is_pinned_by_hash_and_names_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entry = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+(?: ; [^\\]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+")
    assert entry.sub("", text) == ""


@pytest.mark.parametrize("name", SETS)
def test_the_requirement_files_hold_what_pyproject_asks_for(name: str) -> None:
    pinned = pins(name)
    missing = [
        str(requirement)
        for requirement in declared(name)
        if (pin := pinned.get(canonicalize_name(requirement.name))) is None
        or not requirement.specifier.contains(str(pin.specifier).removeprefix("=="))
    ]
    assert not missing, "run make lock"


@pytest.mark.parametrize("name", SETS)
def test_the_requirement_files_hold_all_that_is_needed_and_nothing_else(name: str) -> None:
    needed = set(closure(declared(name)))
    pinned = pins(name)
    here = {found for found, pin in pinned.items() if pin.marker is None}
    assert needed <= set(pinned), "run make lock"
    assert here <= needed, "run make lock"


def test_the_requirement_files_agree_with_each_other() -> None:
    base, demo, dev = (pins(name) for name in SETS)
    assert all(str(demo[name]) == str(pin) for name, pin in base.items())
    assert all(dev[name].specifier == pin.specifier for name, pin in demo.items())


def test_a_base_installation_has_no_heavy_dependency() -> None:
    heavy = {"torch", "transformers", "tiktoken", "onnxruntime", "pandas", "scipy", "sqlalchemy", "fastapi", "litellm"}
    assert not heavy & set(pins("base"))
