"""Composing: settings choose adapters, whoever wrote them; what is wrong is told by its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.adapters.models.scripted import Scripted
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.adapters.stores.memory import MemoryStore
from antiphon.compose import Choices, Composition, choose, compose
from antiphon.replay.model import ReplayModel
from antiphon.settings import Settings, SettingsError
from tests.test_discovery import listing, server

DEADLINE = 10.0


class Outside(msgspec.Struct, frozen=True):
    """This module is somebody else's adapter: it has a config and a factory, and nothing else is asked of it."""

    motto: str
    weight: float = 1.0


def make(config: Outside, parts: Parts) -> Scripted:
    return Scripted(name=f"{parts.name}/{config.motto}/{config.weight:g}", clock=parts.clock)


def settings(folder: Path, **sections: Any) -> Settings:
    """Nothing is looked for and nothing built in, unless a test says so."""
    quiet = {"enabled": False, "builtin": False}
    return Settings.model_validate(
        {"data": {"dir": folder}, "store": {"kind": "memory"}, "discovery": quiet, **sections}
    )


def chosen(folder: Path, environ: Mapping[str, str] | None = None, **sections: Any) -> Choices:
    return choose(settings(folder, **sections), environ or {})


def problems(folder: Path, environ: Mapping[str, str] | None = None, **sections: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        chosen(folder, environ, **sections)
    return [str(problem) for problem in caught.value.problems]


@asynccontextmanager
async def composed(folder: Path, *, port: int = 0, **sections: Any) -> AsyncGenerator[Composition]:
    wanted = settings(folder, **sections)
    async with compose(wanted, choose(wanted, {}), port=port) as composition:
        async with asyncio.timeout(DEADLINE):
            await composition.discovered
        yield composition


def endpoint(**options: Any) -> dict[str, Any]:
    return {"models": [{"name": "mine", **options}]}


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"store": {"kind": "paper"}}, "store.kind: must be one of memory, sqlite, or the dotted name of a module"),
        (
            {"store": {"kind": "sqlite", "cash_mb": 1}},
            "store.cash_mb: unknown name `cash_mb`; did you mean `cache_mb`?",
        ),
        ({"store": {"kind": "sqlite", "cache_mb": "x"}}, "store.cache_mb: "),
        ({"store": {"kind": "no.such.module"}}, "store.kind: the module no.such.module cannot be imported"),
        ({"store": {"kind": "antiphon.wire.items"}}, "store.kind: the module antiphon.wire.items has no function make"),
        (endpoint(), "models[0].base_url: is required"),
        (endpoint(base_url="http://h/v1", dialect={"plain_text": 3}), "models[0].dialect.plain_text: "),
        (
            endpoint(base_url="http://h/v1", api_key_env="NO_KEY"),
            "models[0].api_key_env: the environment variable NO_KEY",
        ),
        (endpoint(base_url="http://h/v1", api_kee_env="X"), "models[0].api_kee_env: unknown name"),
        ({"web_search": {"kind": "paper"}}, "web_search.kind: must be one of brave, searxng, tavily"),
        ({"recordings": {"dir": "nowhere"}}, "recordings.dir: there is no folder nowhere"),
    ],
)
def test_a_wrong_choice_is_told_by_its_key(tmp_path: Path, sections: dict[str, Any], problem: str) -> None:
    assert problems(tmp_path, **sections)[0].startswith(problem)


def test_all_wrong_choices_are_told_at_once(tmp_path: Path) -> None:
    wrong = [{"name": "a"}, {"name": "b", "kind": "paper"}]
    assert len(problems(tmp_path, models=wrong, store={"kind": "paper"})) == 3


def test_a_key_can_be_the_name_of_a_variable(tmp_path: Path) -> None:
    options = endpoint(base_url="http://h/v1", api_key_env="MY_KEY")
    choices = chosen(tmp_path, {"MY_KEY": "k"}, **options)
    assert choices.models[0].config.api_key == "k"


def test_options_from_variables_are_read_as_what_they_are_for(tmp_path: Path) -> None:
    choices = chosen(tmp_path, store={"kind": "sqlite", "cache_mb": "8", "patience": "0.5"})
    assert (choices.store.config.cache_mb, choices.store.config.patience) == (8, 0.5)


def test_every_adapter_here_keeps_to_the_convention() -> None:
    for room in ("models", "stores", "search", "tools", "blobs", "indexes", "rerankers"):
        assert kinds(room)
        for kind in kinds(room):
            assert issubclass(adapter(room, kind).config, msgspec.Struct)


async def test_the_adapter_may_be_somebody_elses_module(tmp_path: Path) -> None:
    async with composed(tmp_path, **endpoint(kind=__name__, motto="hi", weight="2.5")) as composition:
        model = composition.catalog.endpoints["mine"]
        assert isinstance(model, Scripted)
        assert model.name == "mine/hi/2.5"


async def test_the_settings_choose_the_parts(tmp_path: Path) -> None:
    async with composed(tmp_path, **endpoint(kind="scripted", models=["m"])) as composition:
        assert isinstance(composition.store, MemoryStore)
        assert list(composition.catalog.endpoints) == ["mine"]
        assert [card.id for card in await composition.catalog.cards()] == ["m"]
        assert "function" in composition.tools
        assert "web_search" not in composition.tools


@pytest.mark.parametrize("section", [{"key": "k"}, {"url": "http://h"}, {"kind": "tavily"}])
async def test_web_search_is_served_once_it_is_set_up(tmp_path: Path, section: dict[str, str]) -> None:
    async with composed(tmp_path, web_search=section) as composition:
        assert "web_search" in composition.tools


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"blobs": {"kind": "attic"}}, "blobs.kind: must be one of folder, s3, or the dotted name of a module"),
        ({"index": {"kind": "cards"}}, "index.kind: must be one of embedded, memory, or the dotted name of a module"),
        ({"index": {"memory": 5}}, "index.memory: unknown name `memory`; did you mean `memory_mb`?"),
        ({"reranker": {"kind": "smtp"}}, "reranker.kind: must be one of http, or the dotted name of a module"),
        ({"reranker": {"model": "a"}}, "reranker.base_url: is required"),
        ({"reranker": {"base_url": "http://a", "scores": "some"}}, "reranker.scores: Invalid enum value 'some'"),
    ],
)
def test_a_wrong_choice_for_retrieval_is_told_by_its_key(
    tmp_path: Path, sections: dict[str, Any], problem: str
) -> None:
    (told,) = problems(tmp_path, **sections)
    assert told.startswith(problem)


async def test_recordings_are_an_endpoint_and_the_web_search(tmp_path: Path) -> None:
    async with composed(tmp_path, recordings={"dir": tmp_path}, **endpoint(kind="scripted")) as composition:
        assert isinstance(composition.catalog.endpoints["recorded"], ReplayModel)
        assert set(composition.catalog.endpoints) == {"recorded", "mine"}
        assert "web_search" in composition.tools


def test_the_variables_of_the_openai_client_are_an_endpoint_unless_it_has_settings(tmp_path: Path) -> None:
    found = {"discovery": {"enabled": True, "builtin": False}}
    environ = {"OPENAI_API_KEY": "k"}
    assert [choice.name for choice in chosen(tmp_path, environ, **found).models] == ["openai"]
    own = {"models": [{"name": "openai", "base_url": "http://h/v1"}]}
    assert [choice.config.base_url for choice in chosen(tmp_path, environ, **found, **own).models] == ["http://h/v1"]
    assert chosen(tmp_path, environ).models == ()


def test_the_built_in_model_is_served_unless_it_is_switched_off(tmp_path: Path) -> None:
    assert [choice.name for choice in chosen(tmp_path, discovery={"enabled": False}).models] == ["builtin"]


async def test_local_servers_are_served_but_neither_this_one_nor_what_has_settings(tmp_path: Path) -> None:
    async with server(listing("a")) as one, server(listing("b")) as two, server(listing("c")) as own:
        discovery = {"builtin": False, "ports": {"one": one, "two": two, "own": own}}
        named = endpoint(base_url=f"http://localhost:{two}/v1/", models=["b"])
        async with composed(tmp_path, port=own, discovery=discovery, **named) as composition:
            assert set(composition.catalog.endpoints) == {"mine", "one"}
            assert {card.id for card in await composition.catalog.cards()} == {"a", "b"}


async def test_a_slow_local_server_does_not_hold_up_the_start(tmp_path: Path) -> None:
    async def silent(request: Any) -> Any:
        await asyncio.Event().wait()

    async with server(silent) as port:
        wanted = settings(tmp_path, discovery={"builtin": False, "ports": {"slow": port}})
        async with compose(wanted, choose(wanted, {})) as composition:
            assert not composition.discovered.done()
        assert composition.discovered.cancelled()


async def test_the_first_start_makes_the_key_that_seals(tmp_path: Path) -> None:
    async with composed(tmp_path):
        assert (tmp_path / "seal.keys").is_file()


async def test_keys_in_the_settings_leave_the_folder_alone(tmp_path: Path) -> None:
    async with composed(tmp_path, seal={"keys": ["a secret that is long enough to be one"]}):
        assert not (tmp_path / "seal.keys").exists()


async def test_keys_that_are_none_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"seal\.keys"):
        async with composed(tmp_path, seal={"keys": ["short"]}):
            pass
    (tmp_path / "seal.keys").write_text("short", encoding="ascii")
    with pytest.raises(SettingsError, match=r"data\.dir"):
        async with composed(tmp_path):
            pass
