"""The requirements manifest and what it speaks of do not drift apart.

`tests/requirements.toml` holds what clients expect, one requirement each, in our words. A requirement has tests, or a
gap with its reason, or both. A line of the wire checklist is known by its place only: its section and its number there.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec
import pytest

from scripts import docs
from tests.shared import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))

HEADING = re.compile(r"#{2,3} (?P<section>[0A-F](?:\.\d)?)\b")
PARENTHESIS = re.compile(r"\([^)]*\)")
WHOLE = {"D.3": 1, "E.3": 1}
"""Sections of the checklist whose only line is their heading."""
SOURCES = {
    "clients.events": ("client_needs.md", r"^- ", "## Events", "## Input"),
    "clients.input": ("client_needs.md", r"^\d+\. ", "## Input", "## The codex"),
    "clients.codex": ("client_needs.md", r"^## The codex", "## The codex", "$"),
    "pitfalls.stream": ("pitfalls.md", r";|\.\s*\Z", "**Stream.**", "**State.**"),
    "pitfalls.state": ("pitfalls.md", r";|\.\s*\Z", "**State.**", "**Crash"),
    "pitfalls.crash": ("pitfalls.md", r";|\.\s*\Z", "**Crash", "**Errors.**"),
    "pitfalls.errors": ("pitfalls.md", r";|\.\s*\Z", "**Errors.**", "**Tools.**"),
    "pitfalls.tools": ("pitfalls.md", r";|\.\s*\Z", "**Tools.**", "**Retrieval.**"),
    "pitfalls.retrieval": ("pitfalls.md", r";|\.\s*\Z", "**Retrieval.**", "**Security.**"),
    "pitfalls.security": ("pitfalls.md", r";|\.\s*\Z", "**Security.**", "**Operation.**"),
}
"""Our own sections over the other lists: the file, what ends or begins a line there, where the list begins and ends."""


MANIFEST = msgspec.toml.decode(docs.MANIFEST.read_bytes(), type=docs.Manifest)
REQUIREMENTS = MANIFEST.requirement


@cache
def functions(module: str) -> frozenset[str]:
    """The names of the tests in a module."""
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def exists(test: str) -> bool:
    module, _, function = test.partition("::")
    return module in MODULES and (not function or function in functions(module))


def checklist() -> dict[str, int]:
    """How many lines each section of the wire checklist has."""
    text = (SHARED / "spec" / "wire_checklist.md").read_text("utf-8")
    counts: Counter[str] = Counter(WHOLE)
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            found = HEADING.match(line)
            section = found["section"] if found else ""
        counts[section] += bool(section) and line.lstrip().startswith("- [ ] ")
        counts[section] += section == "B.2" and line.startswith("- ")
    suite = text.partition("\n## F.")[2].partition("\n")[2].partition(". Gates")[0]
    counts["F"] = len(suite.split(","))
    return {section: count for section, count in counts.items() if count}


def listed(name: str, line: str, begin: str, end: str) -> int:
    """How many lines one of the other lists has."""
    text = (SHARED / "spec" / name).read_text("utf-8")
    text = text[text.index(begin) :]
    text = text if end == "$" else text[: text.index(end)]
    return len(re.findall(line, PARENTHESIS.sub("", text).rstrip(), re.MULTILINE))


def covered(section: str) -> set[int]:
    return {found.line for found in REQUIREMENTS if found.section == section}


def test_ids_are_unique_and_dotted() -> None:
    ids = Counter(found.id for found in REQUIREMENTS)
    assert [name for name, count in ids.items() if count > 1] == []
    assert [name for name in ids if not re.fullmatch(r"[A-Za-z0-9]+(\.[a-z0-9_]+)+", name)] == []


def test_every_requirement_stands_in_a_section() -> None:
    assert {found.section for found in REQUIREMENTS} == set(MANIFEST.sections)
    assert [found.id for found in REQUIREMENTS if found.line < 1 or not found.text] == []


def test_every_requirement_has_a_test_or_a_reason() -> None:
    assert [found.id for found in REQUIREMENTS if not (found.tests or found.gap)] == []
    assert [found.id for found in REQUIREMENTS if len(set(found.tests)) != len(found.tests)] == []


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{found.id}: {test}" for found in REQUIREMENTS for test in found.tests if not exists(test)]
    assert missing == []


def test_every_test_module_has_a_requirement_or_keeps_the_house() -> None:
    named = {test.partition("::")[0] for found in REQUIREMENTS for test in found.tests}
    strays = [module for module in MODULES if module not in named and module not in MANIFEST.house]
    assert strays == [], "name them in tests/requirements.toml, then run make docs"
    assert [module for module in MANIFEST.house if module not in MODULES] == []
    assert [module for module, reason in MANIFEST.house.items() if not reason or module in named] == []


@needs_shared
def test_every_line_of_the_checklist_is_covered() -> None:
    for section, count in checklist().items():
        assert covered(section) == set(range(1, count + 1)), section


@needs_shared
@pytest.mark.parametrize("section", SOURCES)
def test_every_line_of_the_other_lists_is_covered(section: str) -> None:
    assert covered(section) == set(range(1, listed(*SOURCES[section]) + 1))


def test_the_page_is_up_to_date() -> None:
    assert (docs.DOCS / "compatibility.md").read_text("utf-8") == docs.compatibility(), "run make docs"
