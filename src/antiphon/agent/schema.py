"""JSON schemas of Python types, and what is wrong with a text that does not fit.

Law: what cannot be said in a schema is a ConfigurationError when it is declared, never a surprise of the API.
The strict form follows the rules of structured outputs: https://platform.openai.com/docs/guides/structured-outputs
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from antiphon.agent.dictionaries import modern
from antiphon.agent.errors import ConfigurationError

Schema: TypeAlias = dict[str, Any]

KEPT: Final = frozenset(
    "type properties required additionalProperties items anyOf $ref $defs enum const description pattern format "
    "multipleOf minimum maximum exclusiveMinimum exclusiveMaximum minItems maxItems".split()
)
"""What the strict form may hold; other keywords are dropped, for the arguments are checked here anyway."""
FORMATS: Final = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())
REFUSED: Final = {
    "prefixItems": "a tuple of different types",
    "patternProperties": "an object with free keys",
    "allOf": "an intersection of schemas",
    "not": "a negated schema",
    "if": "a conditional schema",
}
"""Shapes that the strict form cannot hold, in words."""
ERRORS_TOLD = 10
INPUT_TOLD = 80


class Generation(GenerateJsonSchema):
    """Defaults that are no JSON are left out without a warning: the code has them."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """What checks and converts values of this type. Raises ConfigurationError for a type that has no schema."""
    try:
        made: TypeAdapter[Any] = TypeAdapter(modern(annotation))
        made.json_schema(schema_generator=Generation)
    except (PydanticUserError, PydanticUndefinedAnnotation, TypeError, NameError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise ConfigurationError(f"{annotation!r} has no JSON schema: {reason}") from error
    return made


def plain(adapter: TypeAdapter[Any]) -> Schema:
    """The schema of what is accepted: its root is no reference, and there are no titles (they only repeat names)."""
    schema = _untitled(adapter.json_schema(schema_generator=Generation))
    reference = schema.get("$ref")
    if isinstance(reference, str):
        definitions = cast("dict[str, Schema]", schema["$defs"])
        return {**definitions[reference.removeprefix("#/$defs/")], "$defs": definitions}
    return schema


def strict(schema: Schema) -> Schema:
    """The same in the strict form. Raises ConfigurationError that names the place of what it cannot hold."""
    return _strict(schema, "")


def explain(error: ValidationError) -> str:
    """What is wrong, for the one who wrote the text: `city: Field required; days: Input should be ... (got 'x')`."""
    wrong = error.errors(include_url=False, include_context=False)
    told = [_told(".".join(map(str, one["loc"])), one["msg"], one) for one in wrong[:ERRORS_TOLD]]
    more = [f"and {len(wrong) - ERRORS_TOLD} more"] if len(wrong) > ERRORS_TOLD else []
    return "; ".join(told + more)


def _told(place: str, message: str, one: Any) -> str:
    words = f"{place}: {message}" if place else message
    if one["type"] in {"missing", "json_invalid", "extra_forbidden"}:
        return words
    got = repr(one["input"])
    return f"{words} (got {got if len(got) <= INPUT_TOLD else got[:INPUT_TOLD] + '...'})"


def _inside(schema: Schema, change: Callable[[Schema, str], Schema]) -> Schema:
    """A copy in which every schema directly inside is changed; `change` is also told where it is."""
    made = dict(schema)
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            made[key] = change(schema[key], "[]" if key == "items" else "")
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if key in schema:
            made[key] = [change(one, "") for one in schema[key]]
    for key in ("properties", "patternProperties", "$defs"):
        if key in schema:
            made[key] = {name: change(one, f".{name}") for name, one in schema[key].items()}
    return made


def _untitled(schema: Schema, _: str = "") -> Schema:
    made = _inside(schema, _untitled)
    made.pop("title", None)
    return made


def _strict(schema: Schema, place: str) -> Schema:
    schema = _uniform(schema)
    for key, words in REFUSED.items():
        if key in schema:
            raise _unstrict(place, words)
    if "oneOf" in schema:  # of a discriminated union: the members tell themselves apart
        schema = {**schema, "anyOf": schema["oneOf"]}
    if not schema.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
        raise _unstrict(place, "any value")
    if schema.get("type") == "object":
        schema = _closed(schema, place)
    if schema.get("type") == "array" and "items" not in schema:
        raise _unstrict(place, "a list of anything")
    made = _inside(_described(schema), lambda inner, where: _strict(inner, place + where))
    made = {key: value for key, value in made.items() if key in KEPT and _supported(key, value)}
    if "$ref" in made and made.keys() - {"$ref", "$defs"}:  # a reference stands alone
        made = {"anyOf": [{"$ref": made.pop("$ref")}], **made}
    return made


def _unstrict(place: str, words: str) -> ConfigurationError:
    where = f"{place.removeprefix('.')}: " if place else ""
    return ConfigurationError(f"{where}{words} cannot be strict")


def _uniform(schema: Schema) -> Schema:
    """A tuple of one type is a list of that length."""
    inside = schema.get("prefixItems")
    if not inside or any(one != inside[0] for one in inside):
        return schema
    return {**{key: value for key, value in schema.items() if key != "prefixItems"}, "items": inside[0]}


def _closed(schema: Schema, place: str) -> Schema:
    """An object of exactly its properties, all of them required."""
    if "properties" not in schema or schema.get("additionalProperties", False) is not False:
        raise _unstrict(place, "an object with free keys")
    return {**schema, "required": list(schema["properties"]), "additionalProperties": False}


def _described(schema: Schema) -> Schema:
    """With the default in its words: the strict form has no place for it, and the model has to write something."""
    if schema.get("default") is None:
        return schema
    default = f"Default: {json.dumps(schema['default'], ensure_ascii=False)}"
    return {**schema, "description": f"{schema['description']} {default}" if "description" in schema else default}


def _supported(key: str, value: Any) -> bool:
    match key:
        case "format":
            return value in FORMATS
        case "pattern":
            return not any(look in value for look in ("(?=", "(?!", "(?<"))
        case _:
            return True
