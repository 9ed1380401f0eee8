"""Which model a name stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.scripted import Script, Scripted
from antiphon.engine.catalog import Catalog, UnknownModelError
from antiphon.wire.errors import ModelError
from antiphon.wire.models import Model as ModelCard


class Away(Scripted):
    """An endpoint that does not answer until the test lets it."""

    def __init__(self) -> None:
        super().__init__(Script(models=("far",)))
        self.back = asyncio.Event()

    async def models(self) -> Sequence[ModelCard]:
        await self.back.wait()
        return await super().models()


class Broken(Scripted):
    """An endpoint that can be broken."""

    def __init__(self) -> None:
        super().__init__(Script(models=("m",)))
        self.broken = False

    async def models(self) -> Sequence[ModelCard]:
        if self.broken:
            raise ModelError("gone")
        return await super().models()


def scripted(*models: str) -> Scripted:
    return Scripted(Script(models=models))


async def test_a_unique_name_is_enough_and_the_full_name_always_works() -> None:
    one, other = scripted("a", "both"), scripted("b", "both")
    catalog = Catalog({"one": one, "other": other}, SeededClock())
    assert (await catalog.resolve("a")).model is one
    assert (await catalog.resolve("other/both")).model is other
    assert sorted(card.id for card in await catalog.cards()) == ["a", "b", "one/both", "other/both"]


async def test_an_ambiguous_name_says_which_names_there_are() -> None:
    catalog = Catalog({"one": scripted("m"), "other": scripted("m")}, SeededClock())
    with pytest.raises(UnknownModelError, match="one/m, other/m"):
        await catalog.resolve("m")


async def test_a_slow_endpoint_holds_up_only_those_who_ask_for_it() -> None:
    away = Away()
    catalog = Catalog({"away": away, "here": scripted("near")}, SeededClock())
    async with asyncio.timeout(5):
        assert (await catalog.resolve("here/near")).name == "near"
    away.back.set()
    assert (await catalog.resolve("far")).name == "far"


async def test_an_endpoint_that_goes_away_keeps_its_models() -> None:
    clock, endpoint = SeededClock(), Broken()
    catalog = Catalog({"e": endpoint}, clock)
    assert (await catalog.resolve("m")).name == "m"
    endpoint.broken = True
    clock.advance(1000)
    assert [card.id for card in await catalog.cards()] == ["m"]
    assert (await catalog.resolve("m")).name == "m"


async def test_an_endpoint_added_later_is_found() -> None:
    catalog = Catalog({"one": scripted("a")}, SeededClock())
    await catalog.resolve("a")
    catalog.add("late", scripted("z"))
    assert (await catalog.resolve("z")).card.id == "z"
