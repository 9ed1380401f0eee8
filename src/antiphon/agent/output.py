"""Output of a type: the model is given its schema, and the text is made a value of it.

Law: what a model has to write is an object, so anything else is wrapped as `{"value": ...}` and unwrapped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, ValidationError

from antiphon.agent import schema
from antiphon.agent.dictionaries import modern
from antiphon.agent.errors import AgentError, ConfigurationError

UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")
NAME_LENGTH = 64


class OutputError(AgentError):
    """The final text is no value of the output type. `text` is what the model wrote."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


@dataclass(frozen=True, slots=True)
class Output:
    """An output type. `format` is what a request holds as `text.format`."""

    name: str
    format: dict[str, Any]
    adapter: TypeAdapter[Any]
    is_wrapped: bool

    @classmethod
    def of(cls, output_type: Any) -> Output:
        """A dataclass, pydantic model or TypedDict, or anything that fits in an object: lists, Literal, enums, numbers.

        Raises ConfigurationError for a type that the strict form of schemas cannot hold (dicts with free keys, say).
        """
        try:
            return cls._of(output_type)
        except ConfigurationError as error:
            raise ConfigurationError(f"output_type: {error}") from error

    @classmethod
    def _of(cls, output_type: Any) -> Output:
        if output_type is None or isinstance(output_type, dict | str):
            raise ConfigurationError(f"a type is wanted, not {output_type!r}; a schema is sent as text.format")
        adapter = schema.adapter(output_type)
        said = schema.plain(adapter)
        is_wrapped = not (said.get("type") == "object" and "properties" in said)
        if is_wrapped:
            adapter = schema.adapter(_wrapping(modern(output_type)))
            said = schema.plain(adapter)
        name = UNFIT.sub("_", output_type.__name__)[:NAME_LENGTH] if isinstance(output_type, type) else "output"
        fitted = schema.strict(said)
        return cls(name, {"type": "json_schema", "name": name, "schema": fitted, "strict": True}, adapter, is_wrapped)

    def parse(self, text: str) -> Any:
        """The value. Raises OutputError."""
        try:
            value = self.adapter.validate_json(text)
        except ValidationError as error:
            raise OutputError(f"the output is no {self.name}: {schema.explain(error)}", text) from error
        return value["value"] if self.is_wrapped else value


def _wrapping(inside: Any) -> Any:
    make: Any = typing_extensions.TypedDict
    made = make("Wrapping", {"value": inside})
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made
