"""The pytest plugin: the fixture `antiphon`, the mark of the same name, and what is said of cassettes.

Loaded by every pytest run of an environment that has Antiphon: so the server's parts are imported by the first test
that wants one, and not here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from antiphon.testing.marks import MARK, MarkError, Recording
from antiphon.testing.outline import differences, is_response

if TYPE_CHECKING:
    from antiphon.testing.server import Antiphon

UNUSED: Final = "antiphon_unused"
"""The property of a test's report that names recordings which nothing was answered from."""
LISTS: Final = "model.list"
"""Lists of models are asked when the server likes: they are never called unused, and a test that passed without one is
no failure."""

RUNNING: Final = pytest.StashKey["Antiphon"]()
EMPTY: Final = pytest.StashKey[bool]()
"""Set for a test that replays a cassette which is not there."""
PASSED: Final = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("antiphon", "Antiphon: recorded models")
    group.addoption(
        "--antiphon-record",
        choices=[mode.value for mode in Recording if mode is not Recording.OFF],
        default=None,
        help="none: a request without a recording fails the test (what CI=true makes the default); once: record tests "
        "that have no cassette (the default); new: add what is missing; all: record everything again",
    )
    group.addoption(
        "--antiphon-unused",
        choices=["error", "warn", "ignore"],
        default="warn",
        help="what happens to a passing test that left recordings of its cassette unused (default: warn)",
    )
    parser.addini("antiphon_config", "settings file of the servers of all tests, relative to the root", default="")


def pytest_configure(config: pytest.Config) -> None:
    """The mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(cassette, mode, models, settings, script, seed, environ): a server of its own for this test "
        "(fixture `antiphon`)",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with the mark has the fixture, whether it names it or not."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(MARK) and MARK not in item.fixturenames:
        item.fixturenames.append(MARK)


@pytest.fixture(scope="session")
def antiphon_settings(pytestconfig: pytest.Config) -> Mapping[str, Any]:
    """Settings of the servers of all tests, as the sections of a settings file. Tests override this fixture."""
    named = str(pytestconfig.getini("antiphon_config"))
    if not named:
        return {}
    from antiphon.testing.stage import tree_of  # noqa: PLC0415  # see the module

    try:
        return tree_of(pytestconfig.rootpath / named)
    except MarkError as error:
        raise pytest.UsageError(f"antiphon_config: {error}") from None


@pytest.fixture
def antiphon(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    antiphon_settings: Mapping[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Generator[Antiphon]:
    """A server in this process: `base_url`, `api_key`, `client`, `async_client`, `asked`. What its models answer comes
    from the test's cassette or script, as the mark says."""
    from antiphon.testing.server import Hosting  # noqa: PLC0415  # see the module
    from antiphon.testing.stage import staged  # noqa: PLC0415  # likewise

    item: pytest.Item = request.node
    try:
        stage = staged(item, antiphon_settings, tmp_path_factory.mktemp(MARK))
        hosting = Hosting(stage.plan)
        running = hosting.start()
    except MarkError as error:
        raise pytest.fail.Exception(f"antiphon: {error}", pytrace=False) from None
    if stage.wishes.environ:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
    item.stash[RUNNING] = running
    item.stash[EMPTY] = stage.empty
    try:
        yield running
    finally:
        running.close()
        hosting.stop()
        del item.stash[RUNNING]
    if stage.folders is not None and item.stash.get(PASSED, False):
        stage.folders.keep()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Say what was missed beside the failure of a test; without one, a miss is the failure. A test that passed names
    its recordings that were not used."""
    try:
        result = yield
    except Exception:
        if words := _missed(item) or _absent(item):
            item.add_report_section("call", "antiphon", words)
        raise
    if words := _missed(item, lists=False):
        pytest.fail(words, pytrace=False)
    if unused := _unused(item):
        if item.config.getoption("--antiphon-unused") == "error":
            pytest.fail(f"antiphon: recordings that this test does not use: {', '.join(unused)}", pytrace=False)
        item.user_properties.append((UNUSED, unused))
    item.stash[PASSED] = True
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not used."""
    if config.getoption("--antiphon-unused") == "ignore":
        return
    found = [
        f"{report.nodeid}: {', '.join(value)}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", ())
        if name == UNUSED and report.when == "call"
    ]
    if found:
        terminalreporter.section("antiphon: unused recordings", yellow=True)
        for line in found:
            terminalreporter.write_line(line)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """How two responses differ, or a response and the outline that was expected."""
    if op != "==" or not (is_response(left) or is_response(right)):
        return None
    try:
        lines = differences(left, right)
    except TypeError:  # the other side is no response and no list of items
        return None
    if not lines:
        return ["the responses say the same; only ids, times or usage differ: compare antiphon.testing.outline(...)"]
    return ["the responses differ (- left, + right):", *lines]


def _missed(item: pytest.Item, *, lists: bool = True) -> str:
    """What nothing recorded fitted, in words; "" where there is nothing, or nothing but `lists` of models."""
    running = item.stash.get(RUNNING, None)
    report = None if running is None else running.report()
    if running is None or report is None or not report.missed:
        return ""
    if not lists and all(LISTS in words for words in report.misses):
        return ""
    cassette = running.cassette
    lines = [f"antiphon: {report.missed} requests without a recording in {_shown(item, cassette)}:"]
    lines += [f"  {number}. {words}" for number, words in enumerate(report.misses, 1)]
    lines.append(f'Record them: pytest "{item.nodeid}" --antiphon-record=new (or =all, to begin anew)')
    return "\n".join(lines)


def _absent(item: pytest.Item) -> str:
    """That there is no cassette, for a test that failed where one was to be replayed."""
    running = item.stash.get(RUNNING, None)
    if running is None or not item.stash.get(EMPTY, False):
        return ""
    return (
        f"antiphon: there is no cassette {_shown(item, running.cassette)}, and nothing is recorded in this run.\n"
        f'Record it: pytest "{item.nodeid}" --antiphon-record=once'
    )


def _unused(item: pytest.Item) -> Sequence[str]:
    running = item.stash.get(RUNNING, None)
    report = None if running is None else running.report()
    return [] if report is None else [name for name in report.unused if not name.startswith(LISTS)]


def _shown(item: pytest.Item, path: Path | None) -> str:
    if path is None:
        return "no cassette"
    return str(path.relative_to(item.config.rootpath)) if path.is_relative_to(item.config.rootpath) else str(path)
