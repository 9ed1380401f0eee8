"""`/openapi.json`, made from the table of operations and the wire types, and `/docs`, a page that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import metadata, resources
from types import UnionType
from typing import Any, Final, get_args

from msgspec import Struct

from antiphon.http.operation import Answer, Operation
from antiphon.http.reply import Body, Reply
from antiphon.http.request import Request
from antiphon.http.tapes import MODE, NAME, SEGMENT
from antiphon.replay.tape import Mode
from antiphon.wire.codec import JsonObject, components, encode

_CSP: Final = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_NAMED: Final = re.compile(r"\{(\w+)(?::\w+)?\}")

_HEADERS: Final[list[JsonObject]] = [
    {
        "name": NAME,
        "in": "header",
        "description": "Record what is asked for this request in this cassette, or answer from it (extension; only "
        "where the setting `cassette.root` names a folder)",
        "schema": {"type": "string", "pattern": f"^{SEGMENT}$"},
    },
    {
        "name": MODE,
        "in": "header",
        "description": "What is done with the cassette (extension)",
        "schema": {"type": "string", "enum": list(Mode), "default": Mode.REPLAY.value},
    },
]

_ITEMS: Final = {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}


class ErrorFields(Struct, frozen=True, kw_only=True):
    """What went wrong, in the words of the OpenAI API."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorFields


def document(operations: Iterable[Operation]) -> JsonObject:
    """The OpenAPI 3.1 document of exactly these operations."""
    listed = tuple(operations)
    schemas, shared = _schemas(listed)
    paths: JsonObject = {}
    for operation in listed:
        path = _NAMED.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Antiphon",
            "version": metadata.version("antiphon"),
            "description": "A self-hosted agent server that speaks the OpenAI API.",
        },
        "servers": [{"url": "/v1"}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _lenient(shared),
        },
    }


def _schemas(operations: tuple[Operation, ...]) -> tuple[dict[str, JsonObject], JsonObject]:
    """The schema of every type that the operations name, by its written form (types need not be hashable), and what
    these refer to."""
    kinds = [kind for one in operations for kind in (one.body, one.form, one.result, one.events, Error)]
    named = {repr(kind): kind for kind in kinds if kind}
    members = {name: get_args(kind) if isinstance(kind, UnionType) else (kind,) for name, kind in named.items()}
    schemas, shared = components([member for listed in members.values() for member in listed])
    rest = iter(schemas)
    found: dict[str, JsonObject] = {}
    for name, listed in members.items():
        alternatives = [next(rest) for _ in listed]
        found[name] = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
    return found, shared


def _operation(operation: Operation, schemas: dict[str, JsonObject]) -> JsonObject:
    described: JsonObject = {
        "operationId": operation.id,
        "summary": operation.about,
        "tags": ["server" if operation.open else operation.path.split("/")[1]],
        "parameters": [
            *_path_parameters(operation.path),
            *_query_parameters(operation),
            *(_HEADERS if operation.asks == "now" else ()),
        ],
        "responses": {
            str(operation.status): {"description": _outcome(operation), "content": _contents(operation, schemas)},
            "default": {
                "description": "An error",
                "content": {"application/json": {"schema": schemas[repr(Error)]}},
            },
        },
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[repr(operation.body)]}},
        }
    if operation.file:
        described["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form(operation, schemas)}},
        }
    if operation.open:
        described["security"] = []
    return described


def _form(operation: Operation, schemas: dict[str, JsonObject]) -> JsonObject:
    """The file, and the fields."""
    file: JsonObject = {
        "type": "object",
        "properties": {operation.file: {"type": "string", "format": "binary"}},
        "required": [operation.file],
    }
    return file if operation.form is None else {"allOf": [schemas[repr(operation.form)], file]}


def _outcome(operation: Operation) -> str:
    return "OK" if operation.status == 200 else "Refused"


def _contents(operation: Operation, schemas: dict[str, JsonObject]) -> JsonObject:
    if operation.result is None:
        return {operation.media: {"schema": {"type": "string"}}}
    contents: JsonObject = {"application/json": {"schema": schemas[repr(operation.result)]}}
    if operation.events is not None:
        contents["text/event-stream"] = {"schema": schemas[repr(operation.events)]}
    return contents


def _path_parameters(path: str) -> list[JsonObject]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _NAMED.findall(path)
    ]


def _query_parameters(operation: Operation) -> list[JsonObject]:
    return [
        {
            "name": one.name,
            "in": "query",
            "description": one.about,
            "schema": one.schema,
            **({"style": one.style} if one.style else {}),
        }
        for one in operation.query
    ]


def _lenient(schemas: JsonObject) -> JsonObject:
    """What requests may say besides: the types of the wire are what remains of them after parsing."""
    body = schemas["CreateResponse"]
    body["description"] = (
        "The body of POST /v1/responses. A null is as good as an absent parameter; messages may come without `type`, "
        "and with a string as their content."
    )
    for name in ("CreateResponse", "CompactRequest", "CountRequest"):
        taken = schemas[name]["properties"]
        taken["input"] = {"anyOf": [{"type": "string"}, _ITEMS, {"type": "null"}]}
        if "conversation" in taken:
            taken["conversation"] = {"anyOf": [{"type": "string"}, taken["conversation"]]}
    return schemas


def operations(served: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations that describe these ones and themselves."""
    listed: list[Operation] = list(served)
    shown = Operation(
        id="getDocument",
        method="GET",
        path="/openapi.json",
        about="This document",
        answer=_always(lambda: Body(encode(document(listed)))),
        result=dict[str, Any],
        open=True,
    )
    page = Operation(
        id="getDocs",
        method="GET",
        path="/docs",
        about="This document as a page",
        answer=_always(_page),
        media="text/html",
        open=True,
    )
    listed += (shown, page)
    return shown, page


def _page() -> Body:
    content = (resources.files("antiphon") / "ui" / "docs.html").read_bytes()
    return Body(content, 200, ((b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _CSP)))


def _always(make: Callable[[], Body]) -> Answer:
    """Answers what `make` gives; it is made when somebody asks for the first time."""
    made = lru_cache(maxsize=1)(make)

    async def answer(_request: Request) -> Reply:
        return made()

    return answer
