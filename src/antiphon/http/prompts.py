"""`/v1/prompts`, our extension: templates in versions, which requests name by `prompt`."""

from __future__ import annotations

from typing import Final

from antiphon.http.operation import Operation, Parameter
from antiphon.http.pages import PAGE, page_wanted
from antiphon.http.reply import Reply, json
from antiphon.http.request import Request
from antiphon.wire.bodies import parse_prompt, parse_prompt_default, parse_prompt_update
from antiphon.wire.pages import text
from antiphon.wire.prompts import CreatePrompt, DefaultPrompt, PromptDeleted, PromptList, PromptVersion, UpdatePrompt

ID: Final = "prompt_id"

_VERSION: Final = Parameter("version", {"type": "string"}, "Another version than the default one")


async def create(request: Request) -> Reply:
    """Create a prompt."""
    wanted = parse_prompt(await request.body(), strict=request.strict)
    return json(await request.services.prompts.create(request.project, wanted))


async def list_prompts(request: Request) -> Reply:
    """A page of the prompts."""
    return json(await request.services.prompts.list(request.project, page_wanted(request.query)))


async def retrieve(request: Request) -> Reply:
    """One version."""
    version = text(request.query, "version") or None
    return json(await request.services.prompts.retrieve(request.project, request.named(ID), version))


async def update(request: Request) -> Reply:
    """Add a version."""
    wanted = parse_prompt_update(await request.body(), strict=request.strict)
    return json(await request.services.prompts.update(request.project, request.named(ID), wanted))


async def delete(request: Request) -> Reply:
    """Delete all versions."""
    return json(await request.services.prompts.delete(request.project, request.named(ID)))


async def versions(request: Request) -> Reply:
    """All versions."""
    return json(await request.services.prompts.versions(request.project, request.named(ID)))


async def set_default(request: Request) -> Reply:
    """Make a version the default."""
    wanted = parse_prompt_default(await request.body(), strict=request.strict)
    return json(await request.services.prompts.set_default(request.project, request.named(ID), wanted.version))


OPERATIONS: Final = (
    Operation(
        id="createPrompt",
        method="POST",
        path="/prompts",
        about="Create a prompt",
        answer=create,
        body=CreatePrompt,
        result=PromptVersion,
    ),
    Operation(
        id="listPrompts",
        method="GET",
        path="/prompts",
        about="List the prompts in their default versions",
        answer=list_prompts,
        result=PromptList,
        query=PAGE,
    ),
    Operation(
        id="getPrompt",
        method="GET",
        path="/prompts/{prompt_id}",
        about="Get a prompt",
        answer=retrieve,
        result=PromptVersion,
        query=(_VERSION,),
    ),
    Operation(
        id="updatePrompt",
        method="POST",
        path="/prompts/{prompt_id}",
        about="Add a version to a prompt",
        answer=update,
        body=UpdatePrompt,
        result=PromptVersion,
    ),
    Operation(
        id="deletePrompt",
        method="DELETE",
        path="/prompts/{prompt_id}",
        about="Delete a prompt with all its versions",
        answer=delete,
        result=PromptDeleted,
    ),
    Operation(
        id="listPromptVersions",
        method="GET",
        path="/prompts/{prompt_id}/versions",
        about="List the versions of a prompt, oldest first",
        answer=versions,
        result=PromptList,
    ),
    Operation(
        id="setDefaultPrompt",
        method="POST",
        path="/prompts/{prompt_id}/default",
        about="Make a version the default of its prompt",
        answer=set_default,
        body=DefaultPrompt,
        result=PromptVersion,
    ),
)
