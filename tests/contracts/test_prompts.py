"""The contract of the port `Prompts`, kept by every kind of store."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.prompts import PromptVersion
from tests.contracts.turns import DEFAULT, OTHER


def prompt(name: str, version: int = 1, text: str = "Be {{ mood }}.") -> PromptVersion:
    return PromptVersion(
        id=f"pmpt_{name}",
        created_at=1_700_000_000,
        name=name,
        version=str(version),
        prompt=text,
        variables=("mood",),
        metadata={"name": name},
    )


async def test_a_prompt_is_read_back_equal(store: Storage) -> None:
    assert await store.save_prompt(DEFAULT, prompt("a")) == prompt("a")
    assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")
    assert await store.prompt(DEFAULT, "pmpt_a", "1") == prompt("a")
    assert list(await store.prompt_versions(DEFAULT, "pmpt_a")) == [prompt("a")]


async def test_the_newest_version_is_the_default_until_one_is_set(store: Storage) -> None:
    await store.save_prompt(DEFAULT, prompt("a"))
    second = await store.save_prompt(DEFAULT, prompt("a", 2, "Be kind."))
    assert second == prompt("a", 2, "Be kind.")
    assert await store.prompt(DEFAULT, "pmpt_a", None) == second
    first = structs.replace(prompt("a"), is_default=False)
    assert list(await store.prompt_versions(DEFAULT, "pmpt_a")) == [first, second]

    assert await store.set_default_prompt(DEFAULT, "pmpt_a", "1") == prompt("a")
    assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")
    third = await store.save_prompt(DEFAULT, prompt("a", 3, "Be brief."))
    assert third is not None
    assert (third.version, third.is_default) == ("3", False)
    assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")
    shown = [(one.version, one.is_default) for one in await store.prompt_versions(DEFAULT, "pmpt_a")]
    assert shown == [("1", True), ("2", False), ("3", False)]


async def test_versions_are_numbered_by_the_store(store: Storage) -> None:
    await store.save_prompt(DEFAULT, prompt("a"))
    saved = await asyncio.gather(*(store.save_prompt(DEFAULT, prompt("a", 2, str(at))) for at in range(10)))
    assert sorted(int(one.version) for one in saved if one is not None) == list(range(2, 12))
    found = await store.prompt_versions(DEFAULT, "pmpt_a")
    assert [one.version for one in found] == [str(at) for at in range(1, 12)]


async def test_there_is_no_next_version_of_what_does_not_exist(store: Storage) -> None:
    assert await store.save_prompt(DEFAULT, prompt("a", 2)) is None
    assert await store.prompt(DEFAULT, "pmpt_a", None) is None
    assert list(await store.prompt_versions(DEFAULT, "pmpt_a")) == []
    assert await store.set_default_prompt(DEFAULT, "pmpt_a", "1") is None
    assert await store.delete_prompt(DEFAULT, "pmpt_a") is False


@pytest.mark.parametrize("version", ["2", "0", "-1", "", "one", "1.0", "01", "٢", "9" * 40])
async def test_an_unknown_version_is_none(store: Storage, version: str) -> None:
    await store.save_prompt(DEFAULT, prompt("a"))
    assert await store.prompt(DEFAULT, "pmpt_a", version) is None
    assert await store.set_default_prompt(DEFAULT, "pmpt_a", version) is None
    assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")


async def test_a_deleted_prompt_takes_all_its_versions_along(store: Storage) -> None:
    await store.save_prompt(DEFAULT, prompt("a"))
    await store.save_prompt(DEFAULT, prompt("a", 2))
    await store.set_default_prompt(DEFAULT, "pmpt_a", "1")
    assert await store.delete_prompt(DEFAULT, "pmpt_a") is True
    assert await store.delete_prompt(DEFAULT, "pmpt_a") is False
    assert await store.prompt(DEFAULT, "pmpt_a", "1") is None
    again = await store.save_prompt(DEFAULT, prompt("a"))
    assert again == prompt("a")
    assert len(await store.prompt_versions(DEFAULT, "pmpt_a")) == 1


async def test_prompts_are_listed_by_creation(store: Storage) -> None:
    for name in ("c", "a", "b"):
        await store.save_prompt(DEFAULT, prompt(name))
    await store.save_prompt(DEFAULT, prompt("a", 2, "Be kind."))
    found, more = await store.prompts(DEFAULT, PageQuery(order="asc"))
    assert ([one.id for one in found], more) == (["pmpt_c", "pmpt_a", "pmpt_b"], False)
    assert found[1].prompt == "Be kind."
    found, more = await store.prompts(DEFAULT, PageQuery(limit=1))
    assert ([one.id for one in found], more) == (["pmpt_b"], True)
    found, more = await store.prompts(DEFAULT, PageQuery(after="pmpt_b"))
    assert ([one.id for one in found], more) == (["pmpt_a", "pmpt_c"], False)
    with pytest.raises(InvalidRequestError) as refused:
        await store.prompts(DEFAULT, PageQuery(after="pmpt_x"))
    assert (refused.value.code, refused.value.param) == ("invalid_value", "after")


async def test_a_prompt_of_another_project_is_like_one_that_does_not_exist(store: Storage) -> None:
    await store.save_prompt(DEFAULT, prompt("a"))
    for _ in range(2):
        assert await store.prompt(OTHER, "pmpt_a", None) is None
        assert list(await store.prompt_versions(OTHER, "pmpt_a")) == []
        assert await store.prompts(OTHER, PageQuery()) == ((), False)
        with pytest.raises(InvalidRequestError):
            await store.prompts(OTHER, PageQuery(after="pmpt_a"))
        assert await store.save_prompt(OTHER, prompt("a", 2)) is None
        assert await store.set_default_prompt(OTHER, "pmpt_a", "1") is None
        assert await store.delete_prompt(OTHER, "pmpt_a") is False
    assert await store.save_prompt(OTHER, prompt("a", 1, "Mine.")) == prompt("a", 1, "Mine.")
    assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")
