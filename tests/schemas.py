"""Whether a JSON value is what OpenAI's own OpenAPI document says: `validate("ResponseStreamEvent", event)`.

The document is read from the shared folder at first use. Three things are ours, because it means more than JSON Schema
says: `nullable` allows null, `oneOf` asks for one branch that fits (its branches overlap), and in a union of objects
only those branches are tried whose `type` fits, which makes errors readable and validation fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final, Protocol, TypeAlias, cast

from jsonschema import Draft202012Validator, ValidationError, exceptions, validators

from tests.shared import SHARED

Json: TypeAlias = dict[str, Any]

_PREFIX: Final = "#/components/schemas/"
_FAULTS: Final = {"MCPApprovalResponse": "request_id", "MCPApprovalResponseResource": "request_id"}
"""Names that the document requires but nowhere defines: left over from older versions of it."""

_LATE: Final = {"WebSearchToolCall": "action"}
"""Names that the document requires always, but recorded traffic sends only when the item is done."""

_NULLS: Final = {
    "OpenAIFile": ("expires_at", "status_details"),
    "ModelResponseProperties": ("user",),
    "Response": ("usage",),
    "VectorStoreObject": ("expires_after",),
}
"""Properties of which the document does not say that they may be null, but recorded traffic does."""


class _Error(Protocol):
    json_path: str
    message: str


class _Validator(Protocol):
    def descend(self, instance: object, schema: Json) -> Iterator[ValidationError]: ...
    def iter_errors(self, instance: object) -> Iterator[ValidationError]: ...


def validate(schema_name: str, value: object) -> None:
    """Raise AssertionError, with place and reason, unless `value` (dicts, lists and scalars) fits the schema."""
    error = _best(_validator(schema_name).iter_errors(value))
    if error is not None:
        raise AssertionError(f"not a {schema_name}: {error.json_path}: {error.message[:500]}")


@cache
def schemas() -> dict[str, Json]:
    """The component schemas of the document, by name, with `nullable` and recursion as JSON Schema writes them."""
    document = json.loads((SHARED / "spec" / "openai-openapi.json").read_bytes())
    found: dict[str, Json] = {name: _plain(each, name) for name, each in document["components"]["schemas"].items()}
    for name, fault in (*_FAULTS.items(), *_LATE.items()):
        found[name]["required"].remove(fault)
    for name, nulls in _NULLS.items():
        for part in (found[name], *found[name].get("allOf", ())):
            properties = part.get("properties", {})
            properties.update(
                {key: {"anyOf": [properties[key], {"type": "null"}]} for key in nulls if key in properties}
            )
    return found


@cache
def _validator(schema_name: str) -> _Validator:
    return _Checked(schemas()[schema_name])


def _plain(node: Any, name: str) -> Any:
    if isinstance(node, list):
        return [_plain(each, name) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    plain: Json = {key: _plain(value, name) for key, value in cast("Json", node).items()}
    if plain.get("$recursiveRef") == "#":
        return {"$ref": _PREFIX + name}
    if plain.pop("nullable", None) is True:
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


_kinds: Final[dict[int, frozenset[str] | None]] = {}


def _kinds_of(schema: Json) -> frozenset[str] | None:
    """The values of `type` that objects of this schema may have; None where it does not say."""
    if id(schema) not in _kinds:
        _kinds[id(schema)] = None  # ends recursion
        _kinds[id(schema)] = _found_kinds(schema)
    return _kinds[id(schema)]


def _found_kinds(schema: Json) -> frozenset[str] | None:
    if "$ref" in schema:
        return _kinds_of(schemas()[schema["$ref"].removeprefix(_PREFIX)])
    if (tag := schema.get("properties", {}).get("type")) is not None and "type" in schema.get("required", ()):
        return frozenset(tag["enum"]) if "enum" in tag else None
    for part in cast("list[Json]", schema.get("allOf", [])):
        if (kinds := _kinds_of(part)) is not None:
            return kinds
    branches = [_kinds_of(branch) for branch in schema.get("anyOf", schema.get("oneOf", ()))]
    known = [kinds for kinds in branches if kinds is not None]
    return frozenset[str]().union(*known) if known and len(known) == len(branches) else None


def _ref(validator: _Validator, ref: str, instance: object, schema: Json) -> Iterator[ValidationError]:
    return validator.descend(instance, schemas()[ref.removeprefix(_PREFIX)])


def _union(
    validator: _Validator, branches: Sequence[Json], instance: object, schema: Json
) -> Iterator[ValidationError]:
    tried: Sequence[Json] = branches
    kind = cast("Json", instance).get("type") if isinstance(instance, dict) else None
    if isinstance(kind, str):
        tried = [branch for branch in branches if (kinds := _kinds_of(branch)) is None or kind in kinds]
        if not tried:
            yield ValidationError(f"no branch has the type {kind!r}")
            return
    if len(tried) == 1:
        yield from validator.descend(cast("object", instance), tried[0])
        return
    context: list[ValidationError] = []
    for branch in tried:
        errors = list(validator.descend(cast("object", instance), branch))
        if not errors:
            return
        context += errors
    yield ValidationError("fits no branch of the union", context=context)


# the library's types are partly unknown; this is what is used of them
_best = cast("Callable[[Iterable[ValidationError]], _Error | None]", exceptions.best_match)
_extend = cast("Callable[[object, Json], Callable[[Json], _Validator]]", validators.extend)
_Checked: Final = _extend(Draft202012Validator, {"$ref": _ref, "anyOf": _union, "oneOf": _union})
