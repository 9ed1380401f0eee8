"""Prompts, through the whole server: our extension for keeping them, OpenAI's parameter for using them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError
from openai import NotFoundError as OpenAINotFoundError

from tests.shared import SHARED, needs_shared
from tests.upstream import Upstream, running, speech
from tests.whole.house import Json, Whole, fast, text_of, whole

IMAGE = {"type": "input_image", "image_url": "https://example.org/cat.png"}


@asynccontextmanager
async def served(data: Path) -> AsyncGenerator[tuple[Whole, Upstream]]:
    async with running() as upstream:
        upstream.default = speech("Hello.")
        async with whole(data, models=[fast(upstream)]) as house:
            yield house, upstream


async def prompt(house: Whole, **body: Any) -> Json:
    status, made = await house.ask("POST", "/prompts", body)
    assert status == 200, made
    return made


async def test_the_life_of_a_prompt(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        made = await prompt(house, prompt="You are {{ who }}.", name="persona", metadata={"a": "b"})
        assert made["id"].startswith("pmpt_")
        assert made == {
            "id": made["id"],
            "object": "prompt",
            "created_at": made["created_at"],
            "name": "persona",
            "version": "1",
            "is_default": True,
            "prompt": "You are {{ who }}.",
            "variables": ["who"],
            "model": None,
            "metadata": {"a": "b"},
        }
        at = f"/prompts/{made['id']}"
        assert await house.ask("GET", at) == (200, made)
        _, second = await house.ask("POST", at, {"prompt": "Be {{ who }}."})
        assert (second["version"], second["is_default"]) == ("2", True)
        assert (await house.ask("GET", at))[1] == second
        assert (await house.ask("GET", f"{at}?version=1"))[1] == {**made, "is_default": False}
        _, chosen = await house.ask("POST", f"{at}/default", {"version": "1"})
        assert chosen == made
        _, versions = await house.ask("GET", f"{at}/versions")
        assert [(one["version"], one["is_default"]) for one in versions["data"]] == [("1", True), ("2", False)]
        others = [(await prompt(house, prompt=f"text {n}"))["id"] for n in range(3)]
        _, page = await house.ask("GET", "/prompts?limit=2&order=asc")
        assert [one["id"] for one in page["data"]] == [made["id"], others[0]]
        assert page["has_more"] is True
        _, page = await house.ask("GET", f"/prompts?order=asc&after={page['last_id']}")
        assert [one["id"] for one in page["data"]] == others[1:]
        assert await house.ask("DELETE", at) == (
            200,
            {"id": made["id"], "object": "prompt.deleted", "deleted": True},
        )
        for method, path, body in (
            ("GET", at, None),
            ("GET", f"{at}/versions", None),
            ("POST", at, {"prompt": "x"}),
            ("POST", f"{at}/default", {"version": "1"}),
            ("DELETE", at, None),
        ):
            status, answer = await house.ask(method, path, body)
            assert (status, answer["error"]["param"]) == (404, "prompt_id")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "prompt"),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"prompt": 5}, "invalid_type", "prompt"),
        ({"prompt": "x", "variables": ["a b"]}, "invalid_value", "variables[0]"),
        ({"prompt": "{{ a }}", "variables": []}, "invalid_value", "variables"),
        ({"prompt": "x", "metadata": {"a": 5}}, "invalid_type", "metadata.a"),
        ({"prompt": "x", "text": "y"}, "unknown_parameter", "text"),
    ],
)
async def test_what_is_wrong_with_a_prompt_is_named(tmp_path: Path, body: Json, code: str, param: str) -> None:
    async with served(tmp_path) as (house, _):
        status, answer = await house.ask("POST", "/prompts", body)
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, param)


async def test_a_response_by_a_prompt_has_its_text_as_instructions(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, upstream):
        made = await prompt(house, prompt="You are {{ who }}.")
        wanted = {"id": made["id"], "variables": {"who": "Ada"}}
        response = await house.create(model="m", input="Hi", prompt=wanted)
        assert response["instructions"] == "You are Ada."
        assert response["prompt"] == {**wanted, "version": "1"}
        assert upstream.exchanges[0].json["messages"] == [
            {"role": "system", "content": "You are Ada."},
            {"role": "user", "content": "Hi"},
        ]
        assert (await house.client.responses.retrieve(response["id"])).instructions == "You are Ada."
        events = await house.stream(model="m", prompt=wanted, previous_response_id=response["id"], input="And?")
        assert events[0]["response"]["instructions"] == "You are Ada."
        assert [one["role"] for one in upstream.exchanges[1].json["messages"]] == [
            "system",
            "user",
            "assistant",
            "user",
        ]


async def test_an_image_of_a_prompt_opens_the_turn_and_is_part_of_its_input(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, upstream):
        made = await prompt(house, prompt="Describe {{ picture }}.", model="m")
        variables: Any = {"picture": IMAGE}
        response = await house.client.responses.create(prompt={"id": made["id"], "variables": variables}, input="Go.")
        assert response.model == "m"
        system, shown, said = upstream.exchanges[0].json["messages"]
        assert system == {"role": "system", "content": "Describe [image: picture]."}
        assert shown["content"][0]["image_url"]["url"] == IMAGE["image_url"]
        assert said == {"role": "user", "content": "Go."}
        items = await house.client.responses.input_items.list(response.id, order="asc")
        assert len(items.data) == 2


async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, upstream):
        made = await prompt(house, prompt="You are {{ who }}.")
        create = house.client.responses.create
        with pytest.raises(OpenAINotFoundError) as unknown:
            await create(model="m", input="Hi", prompt={"id": "pmpt_unknown"})
        assert unknown.value.param == "prompt.id"
        with pytest.raises(OpenAINotFoundError) as version:
            await create(model="m", input="Hi", prompt={"id": made["id"], "version": "7"})
        assert version.value.param == "prompt.version"
        with pytest.raises(BadRequestError) as variable:
            await create(model="m", input="Hi", prompt={"id": made["id"]})
        assert variable.value.param == "prompt.variables.who"
        with pytest.raises(BadRequestError) as model:
            await create(input="Hi", prompt={"id": made["id"], "variables": {"who": "Ada"}})
        assert (model.value.param, model.value.code) == ("model", "missing_required_parameter")
        assert upstream.exchanges == []


async def test_prompts_survive_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, _):
        made = await prompt(house, prompt="one")
        await house.ask("POST", f"/prompts/{made['id']}", {"prompt": "two", "set_as_default": False})
    async with served(tmp_path) as (house, _):
        assert await house.ask("GET", f"/prompts/{made['id']}") == (200, made)
        response = await house.create(model="m", input="Hi", prompt={"id": made["id"], "version": "2"})
        assert response["instructions"] == "two"


# recorded cases

SUPPORT = (
    "You are a {{ area }} assistant specializing in {{ company }}.  Your responsibilities include {{ duties }}.  "
    "Always maintain a {{ tone }} tone."
)
VALUES = {
    "area": "technical support",
    "company": "software engineering",
    "duties": "debugging code and answering questions",
    "tone": "professional",
}
MODELS = ["gpt-4o", "meta-llama/llama-3-3-70b-instruct", "openai.gpt-oss-20b-1:0"]


@needs_shared
@pytest.mark.parametrize("model", MODELS)
async def test_multi_variable_prompt_template(tmp_path: Path, model: str) -> None:
    recordings = {"dir": SHARED / "recordings", "case": "test_multi_variable_prompt_template"}
    async with whole(tmp_path, recordings=recordings) as house:
        made = await prompt(house, prompt=SUPPORT)
        wanted = {"id": made["id"], "variables": VALUES}
        response = await house.create(model=model, input="What do you do?", prompt=wanted)
        assert text_of(response)
        assert response["instructions"].startswith("You are a technical support assistant")


@needs_shared
@pytest.mark.parametrize("model", MODELS)
async def test_prompt_template_with_streaming(tmp_path: Path, model: str) -> None:
    recordings = {"dir": SHARED / "recordings", "case": "test_prompt_template_with_streaming"}
    async with whole(tmp_path, recordings=recordings) as house:
        made = await prompt(house, prompt="You are a {{ style }} assistant.")
        wanted = {"id": made["id"], "variables": {"style": {"type": "input_text", "text": "friendly"}}}
        events = await house.stream(model=model, input="Hello", prompt=wanted)
        assert text_of(events[-1]["response"])
