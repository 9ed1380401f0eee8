"""A project with tests of its own, run by a pytest of its own: what users of the plugin see."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import antiphon

SOURCES = Path(antiphon.__file__).parents[1]
DEADLINE = 120
PLUGINS = ("-p", "antiphon.testing.plugin", "-p", "pytest_asyncio.plugin", "-p", "xdist.plugin")
INI = """
[pytest]
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
antiphon_config = live.toml
"""


@dataclass(frozen=True)
class Run:
    """How a pytest ended."""

    code: int
    text: str

    @property
    def last(self) -> str:
        """Its closing line."""
        lines = (line.rstrip("= ") for line in reversed(self.text.splitlines()))
        return next(line for line in lines if " in " in line and line.endswith("s"))


@dataclass(frozen=True)
class Project:
    """A folder with tests."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """A file in it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        return path

    def run(self, *arguments: str, ci: bool = False) -> Run:
        """Run its tests; nothing of this machine's settings reaches them."""
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR", "LANG"}}
        path = os.pathsep.join(map(str, (SOURCES, self.folder)))
        environ = {**kept, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **({"CI": "true"} if ci else {})}
        program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PLUGINS]
        found = subprocess.run(
            [*program, *arguments],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return Run(found.returncode, found.stdout + found.stderr)

    def cassettes(self) -> list[str]:
        """The exchanges that are recorded, without lists of models."""
        folder = self.folder / "cassettes"
        return sorted(
            str(path.relative_to(folder)) for path in folder.rglob("*.json") if not path.name.startswith("model.list")
        )


def project(folder: Path) -> Project:
    """One whose endpoint `live` is a script, in `live.toml`; in `gone.toml` nobody is there any more."""
    made = Project(folder)
    made.write("pytest.ini", INI)
    made.write(
        "live.toml",
        """
        [[models]]
        name = "live"
        kind = "scripted"
        models = ["m"]
        steps = [{ repeat = true, acts = [{ act = "says", text = ["You said ", "${text}."] }] }]
        """,
    )
    made.write(
        "gone.toml",
        """
        [[models]]
        name = "live"
        base_url = "http://127.0.0.1:9/v1"
        api_key_env = "NOWHERE_SET"
        models = ["m"]
        """,
    )
    return made
