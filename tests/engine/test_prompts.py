"""Prompts: their versions, and what a request that names one becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.engine.prompts import MOST_TEXT, Prompts
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.wire.content import InputFile, InputImage, InputText
from antiphon.wire.errors import AntiphonError, InvalidRequestError, NotFoundError
from antiphon.wire.items import Message
from antiphon.wire.prompts import CreatePrompt, UpdatePrompt
from antiphon.wire.responses import CreateResponse, Prompt

PROJECT = "default"
IMAGE = {"type": "input_image", "image_url": "https://example.org/cat.png", "detail": None}
FILE = {"type": "input_file", "file_id": "file-1"}


@pytest.fixture(params=kinds("stores"))
async def prompts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Prompts]:
    clock = SeededClock()
    chosen = adapter("stores", str(request.param))
    store: Storage = chosen.make(chosen.config(), Parts(name="store", clock=clock, folder=tmp_path))
    await store.open()
    yield Prompts(store, clock)
    await store.close()


async def resolved(prompts: Prompts, prompt: Prompt, model: str = "m", **fields: Any) -> CreateResponse:
    return await prompts.resolved(PROJECT, CreateResponse(model=model, prompt=prompt, **fields))


async def refused(prompts: Prompts, prompt: Prompt, model: str = "m") -> AntiphonError:
    with pytest.raises(AntiphonError) as caught:
        await resolved(prompts, prompt, model)
    return caught.value


# versions


async def test_variables_are_those_of_the_text_unless_they_are_declared(prompts: Prompts) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="{{ a }} {{ b }} {{ a }}"))
    assert (made.version, made.is_default, made.variables) == ("1", True, ("a", "b"))
    made = await prompts.create(PROJECT, CreatePrompt(prompt="{{ a }}", variables=("picture", "a", "a")))
    assert made.variables == ("picture", "a")
    with pytest.raises(InvalidRequestError) as caught:
        await prompts.create(PROJECT, CreatePrompt(prompt="{{ a }} {{ b }}", variables=("a",)))
    assert (caught.value.param, caught.value.code) == ("variables", "invalid_value")


async def test_an_update_is_a_new_version_that_inherits_what_it_does_not_say(prompts: Prompts) -> None:
    first = await prompts.create(
        PROJECT, CreatePrompt(prompt="{{ a }}", name="n", model="m", metadata={"k": "v"}, variables=("a", "picture"))
    )
    second = await prompts.update(PROJECT, first.id, UpdatePrompt(metadata={}))
    assert (second.version, second.is_default, second.name, second.model) == ("2", True, "n", "m")
    assert (second.prompt, second.variables, second.metadata) == ("{{ a }}", ("a", "picture"), {})
    third = await prompts.update(PROJECT, first.id, UpdatePrompt(prompt="{{ b }}"))
    assert third.variables == ("b",)
    found = await prompts.retrieve(PROJECT, first.id, "1")
    assert (found.prompt, found.is_default) == ("{{ a }}", False)
    assert [one.version for one in (await prompts.versions(PROJECT, first.id)).data] == ["1", "2", "3"]


async def test_a_version_need_not_become_the_default(prompts: Prompts) -> None:
    first = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    second = await prompts.update(PROJECT, first.id, UpdatePrompt(prompt="two", set_as_default=False))
    assert (second.version, second.is_default) == ("2", False)
    assert (await prompts.retrieve(PROJECT, first.id, None)).prompt == "one"
    assert (await prompts.set_default(PROJECT, first.id, "2")).is_default
    assert (await prompts.retrieve(PROJECT, first.id, None)).prompt == "two"
    assert (await prompts.set_default(PROJECT, first.id, "1")).prompt == "one"
    third = await prompts.update(PROJECT, first.id, UpdatePrompt(prompt="three"))
    assert (third.version, third.is_default) == ("3", True)
    assert (await prompts.retrieve(PROJECT, first.id, None)).prompt == "three"


async def test_updates_at_once_are_versions_of_their_own(prompts: Prompts) -> None:
    first = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    made = await asyncio.gather(
        *(prompts.update(PROJECT, first.id, UpdatePrompt(prompt=f"text {n}")) for n in range(5))
    )
    assert sorted(one.version for one in made) == ["2", "3", "4", "5", "6"]
    texts = {one.version: one.prompt for one in (await prompts.versions(PROJECT, first.id)).data}
    assert all(texts[one.version] == one.prompt for one in made)


async def test_a_prompt_of_another_project_does_not_exist(prompts: Prompts) -> None:
    first = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    other = "another project"
    unknown = "pmpt_unknown"

    async def words(project: str, prompt_id: str) -> list[str]:
        said: list[str] = []
        for ask in (
            prompts.retrieve(project, prompt_id, None),
            prompts.retrieve(project, prompt_id, "1"),
            prompts.versions(project, prompt_id),
            prompts.update(project, prompt_id, UpdatePrompt(prompt="x")),
            prompts.set_default(project, prompt_id, "1"),
            prompts.delete(project, prompt_id),
            prompts.resolved(project, CreateResponse(model="m", prompt=Prompt(id=prompt_id))),
        ):
            with pytest.raises(NotFoundError) as caught:
                await ask
            said.append(f"{caught.value.message} {caught.value.param}".replace(prompt_id, "ID"))
        return said

    assert await words(other, first.id) == await words(PROJECT, unknown)
    assert (await prompts.list(other, PageQuery())).data == ()
    assert (await prompts.retrieve(PROJECT, first.id, None)) == first


async def test_a_deleted_prompt_is_gone_with_its_versions(prompts: Prompts) -> None:
    first = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    assert (await prompts.delete(PROJECT, first.id)).deleted
    with pytest.raises(NotFoundError):
        await prompts.retrieve(PROJECT, first.id, "1")
    with pytest.raises(NotFoundError):
        await prompts.delete(PROJECT, first.id)


# in a request


async def test_a_request_without_a_prompt_stays_as_it_is(prompts: Prompts) -> None:
    request = CreateResponse(model="m")
    assert await prompts.resolved(PROJECT, request) is request


async def test_texts_stand_in_their_places_before_the_requests_own_instructions(prompts: Prompts) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="You are {{ who }}. {{ how }}"))
    variables = {"who": "Ada", "how": {"type": "input_text", "text": "{{ who }}"}}
    found = await resolved(prompts, Prompt(id=made.id, variables=variables))
    assert found.instructions == "You are Ada. {{ who }}"
    assert found.prompt == Prompt(id=made.id, version="1", variables=variables)
    assert found.input == ()
    found = await resolved(prompts, Prompt(id=made.id, variables=variables), instructions="Be brief.")
    assert found.instructions == "You are Ada. {{ who }}\n\nBe brief."


async def test_images_and_files_open_the_turn_as_a_message_of_the_user(prompts: Prompts) -> None:
    made = await prompts.create(
        PROJECT, CreatePrompt(prompt="Look at {{ picture }} for {{ who }}.", variables=("who", "picture", "paper"))
    )
    said = Message(role="user", content=(InputText(text="What is it?"),))
    variables = {"picture": IMAGE, "paper": FILE, "who": "Ada"}
    found = await resolved(prompts, Prompt(id=made.id, variables=variables), input=(said,))
    assert found.instructions == "Look at [image: picture] for Ada."
    image, file = InputImage(image_url="https://example.org/cat.png"), InputFile(file_id="file-1")
    assert found.input == (Message(role="user", content=(image, file)), said)


async def test_the_version_that_is_asked_for_is_used(prompts: Prompts) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    await prompts.update(PROJECT, made.id, UpdatePrompt(prompt="two"))
    assert (await resolved(prompts, Prompt(id=made.id))).instructions == "two"
    assert (await resolved(prompts, Prompt(id=made.id, version="1"))).instructions == "one"


async def test_a_prompt_may_name_the_model(prompts: Prompts) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="one", model="its own"))
    assert (await resolved(prompts, Prompt(id=made.id), model="")).model == "its own"
    assert (await resolved(prompts, Prompt(id=made.id), model="asked")).model == "asked"
    made = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    error = await refused(prompts, Prompt(id=made.id), model="")
    assert (error.http_status, error.param, error.code) == (400, "model", "missing_required_parameter")


@pytest.mark.parametrize(
    ("variables", "code", "param"),
    [
        (None, "missing_required_parameter", "prompt.variables.a"),
        ({"a": None}, "missing_required_parameter", "prompt.variables.a"),
        ({"a": "x", "b": "y"}, "unknown_parameter", "prompt.variables.b"),
        ({"a": 5}, "invalid_type", "prompt.variables.a"),
        ({"a": {"text": "x"}}, "missing_required_parameter", "prompt.variables.a.type"),
        ({"a": {"type": "input_text"}}, "missing_required_parameter", "prompt.variables.a.text"),
        ({"a": {"type": "input_text", "text": 5}}, "invalid_type", "prompt.variables.a.text"),
        ({"a": {"type": "output_text", "text": "x"}}, "invalid_value", "prompt.variables.a.type"),
        ({"a": "x" * (MOST_TEXT // 2 + 1)}, "string_above_max_length", "prompt.variables"),
    ],
)
async def test_what_is_wrong_with_a_variable_is_named(
    prompts: Prompts, variables: dict[str, Any] | None, code: str, param: str
) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="{{ a }}{{ a }}"))
    error = await refused(prompts, Prompt(id=made.id, variables=variables))
    assert (error.http_status, error.code, error.param) == (400, code, param)


@pytest.mark.parametrize("version", ["2", "0", "-1", "x", "", "9" * 30])
async def test_an_unknown_version_is_told_from_an_unknown_prompt(prompts: Prompts, version: str) -> None:
    made = await prompts.create(PROJECT, CreatePrompt(prompt="one"))
    error = await refused(prompts, Prompt(id=made.id, version=version))
    assert (error.http_status, error.param) == (404, "prompt.version")
    error = await refused(prompts, Prompt(id="pmpt_unknown", version=version))
    assert (error.http_status, error.param) == (404, "prompt.id")
