"""Which embedder the settings choose, and what `auto` finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.embedders.openai import EmbeddingsEndpoint
from antiphon.adapters.registry import adapter, kinds
from tests.test_compose import chosen, composed, problems

PROGRAM = """
import json, sys
sys.modules["tokenizers"] = None  # as if it were not installed
from pathlib import Path
from antiphon.compose import choose
from antiphon.settings import Settings, SettingsError
settings, environ = json.loads(sys.argv[1])
try:
    choice = choose(Settings.model_validate({"data": {"dir": Path(".")}, **settings}), environ).rooms.embedder
    print(choice.name, getattr(choice.config, "base_url", ""), getattr(choice.config, "api_key", ""))
except SettingsError as error:
    print(*error.problems)
"""


def without_libraries(settings: dict[str, Any], **environ: str) -> str:
    """What is chosen where the libraries of the local model are not installed."""
    given = json.dumps([settings, environ])
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, timeout=60, check=True
    )
    return found.stdout.strip()


def test_auto_is_the_local_model_where_it_is_installed(tmp_path: Path) -> None:
    choice = chosen(tmp_path, {"OPENAI_API_KEY": "k"}, discovery={"enabled": True}).rooms.embedder
    assert choice is not None
    assert choice.name == "local"


def test_auto_is_openai_with_its_key_and_else_nothing() -> None:
    assert without_libraries({}, OPENAI_API_KEY="k") == "openai https://api.openai.com/v1 k"
    assert without_libraries({}) == "none"
    assert without_libraries({}, OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:1/v1") == "none"
    assert without_libraries({"discovery": {"enabled": False}}, OPENAI_API_KEY="k") == "none"


def test_a_local_model_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    assert without_libraries({"embedder": {"kind": "local"}}).startswith("embedder.kind: tokenizers is not installed")
    (problem,) = problems(tmp_path, embedder={"kind": "local", "folder": str(tmp_path)})
    assert problem.startswith("embedder.kind: There is no model.onnx")


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"kind": "paper"}, "embedder.kind: must be one of local, none, openai"),
        ({"kind": "openai", "base_url": "nonsense"}, "embedder.base_url: "),
        ({"kind": "openai", "modell": "x"}, "embedder.modell: unknown name"),
        ({"kind": "local", "threads": 0}, "embedder.threads: "),
        ({"model": "x"}, "embedder.model: belongs to a kind of embedder"),
    ],
)
def test_a_wrong_choice_is_told_by_its_key(tmp_path: Path, section: dict[str, Any], problem: str) -> None:
    assert problems(tmp_path, embedder=section)[0].startswith(problem)


def test_the_endpoint_may_be_any_other(tmp_path: Path) -> None:
    section = {"kind": "openai", "base_url": "http://h/v1", "api_key_env": "KEY", "model": "m", "dimensions": "64"}
    choice = chosen(tmp_path, {"KEY": "k"}, embedder=section).rooms.embedder
    assert choice is not None
    assert choice.config == EmbeddingsEndpoint(base_url="http://h/v1", api_key="k", model="m", dimensions=64)


def test_every_embedder_keeps_to_the_convention() -> None:
    assert [adapter("embedders", kind).kind for kind in kinds("embedders")] == ["local", "none", "openai"]


async def test_the_server_starts_with_each_of_them(tmp_path: Path) -> None:
    for kind in ("none", "local", "openai"):
        async with composed(tmp_path, embedder={"kind": kind}) as composition:
            assert composition.app is not None
    assert not (tmp_path / "models").exists()
