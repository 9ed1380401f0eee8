"""The house's sizes and names, held for every file: there are no lists of exceptions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "antiphon"
MODULES = sorted(PACKAGE.rglob("*.py"))
OTHERS = ("bench", "examples", "scripts", "tests")
FILES = [*MODULES, *sorted(path for folder in OTHERS for path in (ROOT / folder).rglob("*.py"))]

LINES = 500
WIRE_LINES = 700
MEDIAN_LINES = 150
FUNCTION_LINES = 50
PARAMETERS = 6

BANNED_WORDS = {"manager", "handler", "helper", "util", "orchestrator", "impl"}
BANNED_NAMES = {"base", "common", "data", "info", "ctx"}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A file with its syntax tree."""

    path: Path
    lines: int
    tree: ast.Module

    def place(self, node: Function | ast.ClassDef) -> str:
        return f"{self.path.relative_to(ROOT)}:{node.lineno} {node.name}"


def parse(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path, len(text.splitlines()), ast.parse(text))


SOURCES = [parse(path) for path in FILES]
PACKAGE_SOURCES = [source for source in SOURCES if source.path.is_relative_to(PACKAGE)]


def functions(source: Source) -> Iterator[Function]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def classes(source: Source) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))


def parameters(function: Function) -> int:
    """How many a caller sees: `self` and `cls` are not counted."""
    wanted = function.args
    names = [argument.arg for argument in (*wanted.posonlyargs, *wanted.args, *wanted.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) + bool(wanted.vararg) + bool(wanted.kwarg)


def words(name: str) -> list[str]:
    """The words of a snake_case or CamelCase name, in lower case, plurals as singulars."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    return [piece.lower().removesuffix("s") for piece in pieces]


def banned(name: str) -> bool:
    return bool(BANNED_WORDS.intersection(words(name))) or name.lower() in BANNED_NAMES


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.path.relative_to(ROOT)))
def test_a_file_stays_below_the_hard_limit(source: Source) -> None:
    limit = WIRE_LINES if PACKAGE / "wire" in source.path.parents else LINES
    assert source.lines <= limit


def test_half_of_the_files_are_short() -> None:
    lengths = [source.lines for source in PACKAGE_SOURCES if source.tree.body]
    assert median(lengths) <= MEDIAN_LINES


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{source.place(function)}: {length} lines"
        for source in SOURCES
        for function in functions(source)
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES
    ]
    assert not long


def test_no_function_takes_more_than_six_parameters() -> None:
    product = [source for source in SOURCES if ROOT / "tests" not in source.path.parents]  # fixtures are no parameters
    many = [
        source.place(function)
        for source in product
        for function in functions(source)
        if parameters(function) > PARAMETERS
    ]
    assert not many


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(source.path.relative_to(ROOT))
        for source in SOURCES
        if source.tree.body and not ast.get_docstring(source.tree)
    ]
    assert not silent


def test_a_package_file_only_re_exports() -> None:
    logic = [
        f"{source.path.relative_to(ROOT)}:{node.lineno}"
        for source in PACKAGE_SOURCES
        if source.path.name == "__init__.py"
        for node in source.tree.body
        if not re_exports(node)
    ]
    assert not logic


def re_exports(node: ast.stmt) -> bool:
    """A docstring, an import from this package, or `__all__`."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.ImportFrom(module=str(module)):
            return module == "__future__" or module.split(".")[0] == "antiphon"
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in {"__all__", "__version__"}
        case _:
            return False


def test_modules_are_nouns_of_one_word() -> None:
    """Adapters, wire and http name files after kinds, types and resources, in OpenAI's words; what serves a resource
    may be called like it in every room."""
    borrowed = {PACKAGE / room for room in ("adapters", "wire", "http")}
    resources = {path.stem for path in (PACKAGE / "http").glob("*.py")}
    wrong = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if "_" in path.stem.strip("_") and not borrowed.intersection(path.parents) and path.stem not in resources
    ]
    assert not wrong


def test_names_do_not_use_words_that_say_nothing() -> None:
    modules = [str(path.relative_to(ROOT)) for path in FILES if banned(path.stem)]
    inside = [
        source.place(node) for source in SOURCES for node in (*classes(source), *functions(source)) if banned(node.name)
    ]
    vague = {"base", "common"}
    parts = [source.place(node) for source in SOURCES for node in classes(source) if vague & set(words(node.name))]
    assert not [*modules, *inside, *parts]


def test_errors_end_in_error() -> None:
    wrong = [
        source.place(node)
        for source in PACKAGE_SOURCES
        for node in classes(source)
        if any(ast.unparse(parent).endswith(("Error", "Exception")) for parent in node.bases)
        and not node.name.endswith("Error")
    ]
    assert not wrong
