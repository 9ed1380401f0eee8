"""What `import antiphon.agent` costs: nothing that `import openai` has not brought already, and little time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

DEADLINE: Final = 60.0
SECONDS: Final = 0.5
"""What the import may take beyond that of openai."""
PROGRAM: Final = """
import json, sys, time
import openai
before = set(sys.modules)
begun = time.perf_counter()
import antiphon.agent
from antiphon.agent import *
took = time.perf_counter() - begun
print(json.dumps({"took": took, "new": sorted(set(sys.modules) - before)}))
"""


def imported() -> dict[str, Any]:
    """The modules that came, and the seconds, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_agent_library_brings_nothing_that_openai_has_not() -> None:
    strangers = [
        name
        for name in imported()["new"]
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith("antiphon")
    ]
    assert [name for name in strangers if name.partition(".")[0] not in {"openai", "pydantic", "pydantic_core"}] == []


def test_it_brings_nothing_else_of_ours() -> None:
    ours = [name for name in imported()["new"] if name.startswith("antiphon")]
    assert [name for name in ours if name != "antiphon" and not name.startswith("antiphon.agent")] == []


def test_the_import_takes_half_a_second_at_most() -> None:
    assert min(imported()["took"] for _ in range(3)) <= SECONDS
