"""JSON in and out, objects we have no type for, and unions that stay open to them.

Absent and null differ on this wire: a field that may be absent is `UNSET` by default, a field that may be null is None.

msgspec decodes and describes unions of tagged structs, but not unions that also hold `Unknown`. Such a union
(`Item`, `Tool`, `ToolChoice`) is therefore two things: for the type checker the true union, and at run time, where
msgspec reads annotations, a subclass of `Open`. `decode` fills it by way of a `dec_hook`, `components` describes it by
way of a `schema_hook`; encoding needs neither, it looks at values. `isinstance(value, Item)` works as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, ClassVar, TypeAlias, TypeVar, cast, get_args, overload

import msgspec

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]


class Unknown:
    """A JSON object of a type we do not know, kept whole so that it goes out as it came in."""

    __slots__ = ("fields",)

    def __init__(self, fields: JsonObject) -> None:
        self.fields = fields

    @property
    def type(self) -> str:
        """Its own name of its type."""
        return str(self.fields.get("type", ""))

    @property
    def id(self) -> str | None:
        """Its id, where it has one."""
        found = self.fields.get("id")
        return found if isinstance(found, str) else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Unknown({self.fields!r})"


class _Membership(type):
    """Makes `isinstance(value, SomeOpen)` ask whether the value is of the union; msgspec asks so after a `dec_hook`."""

    members: frozenset[type] = frozenset()

    def __instancecheck__(cls, instance: object) -> bool:
        return type(instance) in cls.members


class Open(metaclass=_Membership):
    """A union of tagged structs and `Unknown`, as msgspec sees it. A subclass gives the name of its schema, and as
    `parts` types that msgspec knows how to describe and that together are all the union but `Unknown`."""

    name: ClassVar[str]
    parts: ClassVar[tuple[Any, ...]]
    tags: ClassVar[JsonObject]
    """The structs by the value of `type`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        alternatives = [member for part in cls.parts for member in get_args(part) or (part,)]
        cls.members = frozenset({Unknown, *(m if isinstance(m, type) else type(m) for m in alternatives)})
        structs = [member for member in cls.members if issubclass(member, msgspec.Struct)]
        cls.tags = {tag: member for member in structs if isinstance(tag := member.__struct_config__.tag, str)}
        _OPEN.append(cls)

    @classmethod
    def read(cls, value: object) -> object:
        """The member that this JSON value is. Raises msgspec.ValidationError."""
        if not isinstance(value, dict):
            raise msgspec.ValidationError(f"Expected `object`, got `{type(value).__name__}`")
        fields = cast("JsonObject", value)
        found = cls.tags.get(str(fields.get("type", "")))
        return Unknown(fields) if found is None else msgspec.convert(fields, _learnt(found), dec_hook=_open)

    @classmethod
    def describe(cls, parts: Sequence[JsonObject]) -> JsonObject:
        """The JSON schema of the union, given those of its parts."""
        known = [each for part in parts for each in part.get("anyOf", [part])]
        other = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
        return {"anyOf": [*known, other]}


_OPEN: list[type[Open]] = []


def _plain(value: object) -> object:
    if isinstance(value, Unknown):
        return value.fields
    raise TypeError(f"not JSON: {type(value).__name__}")


def _open(wanted: type, value: object) -> object:
    if issubclass(wanted, Open):
        return wanted.read(value)
    raise TypeError(f"no way to read {wanted.__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: object) -> bytes:
    """The value as compact JSON."""
    return _ENCODER.encode(value)


def builtins(value: object) -> Any:
    """The value as dicts, lists and scalars, exactly as it would be encoded."""
    return msgspec.json.decode(encode(value))


_LEARNING = Lock()
"""msgspec learns a type at its first use, step by step; a thread that meets it half learnt ends the process."""


@lru_cache(maxsize=256)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    with _LEARNING:
        return msgspec.json.Decoder(wanted, dec_hook=_open)


@lru_cache(maxsize=1024)
def _learnt(wanted: type[T]) -> type[T]:
    with _LEARNING:
        msgspec.json.Decoder(wanted, dec_hook=_open)
    return wanted


def learn() -> None:
    """Learn every type of the wire that is loaded. Called once, before there are threads that could meet one."""
    for union in _OPEN:
        for member in union.tags.values():
            _learnt(member)
    waiting = list(msgspec.Struct.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith(__package__ or "") and not getattr(kind, "__parameters__", ()):
            _learnt(kind)


@overload
def decode(content: bytes | str | msgspec.Raw, wanted: type[T]) -> T: ...
@overload
def decode(content: bytes | str | msgspec.Raw, wanted: object) -> Any: ...
def decode(content: bytes | str | msgspec.Raw, wanted: object) -> Any:
    """Read what `encode` wrote (for what clients send see `parsing`). Raises msgspec.DecodeError, and its kind
    msgspec.ValidationError when it is JSON of another type."""
    return _decoder(wanted).decode(content)


def components(
    types: Sequence[Any], ref_template: str = "#/components/schemas/{name}"
) -> tuple[tuple[JsonObject, ...], dict[str, JsonObject]]:
    """JSON schemas of the types, in order, and all components they refer to, as `msgspec.json.schema_components`
    gives them. Every open union is a component of its own name (`Item`, `Tool`, `ToolChoice`)."""

    def describe(wanted: type) -> JsonObject:
        if issubclass(wanted, Open):
            return {"$ref": ref_template.format(name=wanted.name)}
        raise NotImplementedError(wanted.__name__)

    parts = [part for union in _OPEN for part in union.parts]
    schemas, found = msgspec.json.schema_components([*types, *parts], schema_hook=describe, ref_template=ref_template)
    rest = iter(schemas[len(types) :])
    unions = {union.name: union.describe([next(rest) for _ in union.parts]) for union in _OPEN}
    return schemas[: len(types)], {**found, **unions}
