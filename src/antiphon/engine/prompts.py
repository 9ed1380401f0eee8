"""Prompts: templates in versions, and how a request that names one is read.

The text of the template, with the variables in their places, comes first in the instructions of the turn. Images and
files cannot stand in a text: they open the turn as a message of the user, and their places hold their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from antiphon.core.templates import filled, length, names
from antiphon.ports.clock import Clock
from antiphon.ports.prompts import Prompts as Store
from antiphon.ports.store import PageQuery
from antiphon.wire.bodies import VariablePart, parse_variable
from antiphon.wire.content import InputFile, InputImage, InputText
from antiphon.wire.errors import InvalidRequestError, NotFoundError
from antiphon.wire.invalid import missing_parameter, quoted, unknown_parameter
from antiphon.wire.items import Message
from antiphon.wire.prompts import CreatePrompt, PromptDeleted, PromptList, PromptVersion, UpdatePrompt
from antiphon.wire.responses import CreateResponse, Prompt

PREFIX: Final = "pmpt_"
MOST_TEXT: Final = 10_485_760
"""How many characters the instructions may have."""


class Prompts:
    """The prompts of a project."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, project: str, wanted: CreatePrompt, /) -> PromptVersion:
        """A new prompt in its first version."""
        prompt = PromptVersion(
            id=self._clock.id(PREFIX),
            created_at=int(self._clock.now()),
            name=wanted.name,
            version="1",
            prompt=wanted.prompt,
            variables=_declared(wanted.prompt, wanted.variables),
            model=wanted.model,
            metadata=wanted.metadata,
        )
        return _present(await self._store.save_prompt(project, prompt), prompt.id)

    async def retrieve(self, project: str, prompt_id: str, version: str | None, /) -> PromptVersion:
        """That version, or the default one; NotFoundError for either."""
        return await self._version(project, prompt_id, version, "")

    async def list(self, project: str, page: PageQuery, /) -> PromptList:
        """A page of the prompts in their default versions."""
        found, more = await self._store.prompts(project, page)
        return _listed(found, more=more)

    async def versions(self, project: str, prompt_id: str, /) -> PromptList:
        """All versions, oldest first; NotFoundError."""
        found = await self._store.prompt_versions(project, prompt_id)
        if not found:
            raise missing(prompt_id)
        return _listed(found, more=False)

    async def update(self, project: str, prompt_id: str, wanted: UpdatePrompt, /) -> PromptVersion:
        """A new version; NotFoundError."""
        known = await self.retrieve(project, prompt_id, None)
        if wanted.prompt is None and wanted.variables is None:
            variables = known.variables
        else:
            variables = _declared(wanted.prompt or known.prompt, wanted.variables)
        prompt = PromptVersion(
            id=prompt_id,
            created_at=int(self._clock.now()),
            name=known.name if wanted.name is None else wanted.name,
            version=str(int(known.version) + 1),
            is_default=wanted.set_as_default,
            prompt=wanted.prompt or known.prompt,
            variables=variables,
            model=known.model if wanted.model is None else wanted.model,
            metadata=known.metadata if wanted.metadata is None else wanted.metadata,
        )
        if not wanted.set_as_default:  # without one that was set, the newest would be the default
            await self._store.set_default_prompt(project, prompt_id, known.version)
        stored = _present(await self._store.save_prompt(project, prompt), prompt_id)
        if wanted.set_as_default:
            return await self.set_default(project, prompt_id, stored.version)
        return stored

    async def set_default(self, project: str, prompt_id: str, version: str, /) -> PromptVersion:
        """Make this version the default; NotFoundError."""
        found = await self._store.set_default_prompt(project, prompt_id, version)
        return found or await self._version(project, prompt_id, version, "version")

    async def delete(self, project: str, prompt_id: str, /) -> PromptDeleted:
        """Delete all versions; NotFoundError."""
        if not await self._store.delete_prompt(project, prompt_id):
            raise missing(prompt_id)
        return PromptDeleted(id=prompt_id)

    async def resolved(self, project: str, request: CreateResponse, /) -> CreateResponse:
        """The request with what its prompt stands for, and the version that was used. Raises NotFoundError for the
        prompt, InvalidRequestError for its variables and for a model that nobody names."""
        wanted = request.prompt
        if wanted is None:
            return request
        found = await self._version(project, wanted.id, wanted.version, "prompt")
        model = request.model or found.model
        if model is None:
            raise missing_parameter("model")
        variables = _variables(wanted, found)
        texts = {name: _text(name, value) for name, value in variables.items()}
        instructions = "\n\n".join(part for part in (_filled(found.prompt, texts), request.instructions) if part)
        parts = tuple(value for value in variables.values() if isinstance(value, InputImage | InputFile))
        front = (Message(role="user", content=parts),) if parts else ()
        return replace(
            request,
            model=model,
            instructions=instructions,
            input=(*front, *request.input),
            prompt=replace(wanted, version=found.version),
        )

    async def _version(self, project: str, prompt_id: str, version: str | None, param: str) -> PromptVersion:
        """`param` names what the request calls the prompt by; its id and version are inside where it is `prompt`."""
        found = await self._store.prompt(project, prompt_id, version)
        if found is not None:
            return found
        inside = param == "prompt"
        if version is None or await self._store.prompt(project, prompt_id, None) is None:
            raise missing(prompt_id, "prompt.id" if inside else "prompt_id")
        words = f"Version {quoted(version)} of the prompt with id '{prompt_id}' not found."
        raise NotFoundError(words, param="prompt.version" if inside else "version")


def missing(prompt_id: str, param: str = "prompt_id") -> NotFoundError:
    """No such prompt in this project."""
    return NotFoundError(f"Prompt with id {quoted(prompt_id)} not found.", param=param)


def _present(found: PromptVersion | None, prompt_id: str) -> PromptVersion:
    if found is None:
        raise missing(prompt_id)
    return found


def _listed(found: Sequence[PromptVersion], *, more: bool) -> PromptList:
    return PromptList(
        data=tuple(found),
        first_id=found[0].id if found else None,
        last_id=found[-1].id if found else None,
        has_more=more,
    )


def _declared(template: str, given: Sequence[str] | None) -> tuple[str, ...]:
    """The variables of the template, which the given ones must contain."""
    placed = names(template)
    if given is None:
        return placed
    for name in placed:
        if name not in given:
            raise InvalidRequestError(
                f"Invalid 'variables': the prompt has a place for '{name}', which is not among them.",
                param="variables",
                code="invalid_value",
            )
    return tuple(dict.fromkeys(given))


def _variables(wanted: Prompt, found: PromptVersion) -> dict[str, str | VariablePart]:
    """The variables of the request, exactly those that the prompt declares, in its order."""
    given = wanted.variables or {}
    for name in given:
        if name not in found.variables:
            raise unknown_parameter(f"prompt.variables.{name}")
    for name in found.variables:
        if given.get(name) is None:
            raise missing_parameter(f"prompt.variables.{name}")
    return {name: parse_variable(given[name], f"prompt.variables.{name}") for name in found.variables}


def _text(name: str, value: str | VariablePart) -> str:
    """What stands in the variable's place."""
    match value:
        case str():
            return value
        case InputText():
            return value.text
        case InputImage():
            return f"[image: {name}]"
        case InputFile():
            return f"[file: {name}]"


def _filled(template: str, texts: dict[str, str]) -> str:
    if length(template, texts) > MOST_TEXT:
        raise InvalidRequestError(
            f"Invalid 'prompt.variables': the prompt would have more than {MOST_TEXT} characters with them.",
            param="prompt.variables",
            code="string_above_max_length",
        )
    return filled(template, texts)
