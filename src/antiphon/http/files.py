"""`/v1/files`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256
from typing import Final

import msgspec

from antiphon.engine.files import Described, Incoming, base_name
from antiphon.http.downloads import download
from antiphon.http.idempotency import given_key, once_whole
from antiphon.http.multipart import Form, Head, received
from antiphon.http.operation import Operation, Parameter
from antiphon.http.pages import PAGE
from antiphon.http.reply import Body, Reply, json
from antiphon.http.request import Request
from antiphon.ports.store import PageQuery
from antiphon.wire.codec import encode
from antiphon.wire.files import OUTPUT_PURPOSES, PURPOSES, CreateFile, File, FileDeleted, FilePage
from antiphon.wire.forms import parse_file_fields
from antiphon.wire.invalid import invalid_value, missing_parameter
from antiphon.wire.pages import PageParams, parse_page, text

ID: Final = "file_id"
FILE: Final = "file"
MOST: Final = 10_000
"""Files of one page."""

_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}
_ALL: Final = (*PURPOSES, *OUTPUT_PURPOSES)
_PURPOSE: Final = Parameter("purpose", {"type": "string", "enum": list(_ALL)}, "Only files of this purpose")


class Taken(msgspec.Struct, frozen=True):
    """A file that has arrived: what was said of it, and what stands for its bytes where the request has a key."""

    name: str
    media: str
    digest: str


async def create(request: Request) -> Reply:
    """Store a file."""
    files = request.services.files
    async with files.incoming(request.project) as incoming:

        async def keep(head: Head, before: dict[str, str], pieces: AsyncGenerator[bytes]) -> Taken:
            taken = Taken(_named(head), head.media, "")
            if "purpose" in before:  # it need not be read when it is refused by what came before it
                files.admit(_described(request, taken, {"purpose": before["purpose"]}))
            return await take(request, incoming, taken, pieces)

        form = await received(request, FILE, keep, files.rules.most)
        described = _described(request, form.file, form.fields)
        files.admit(described, incoming.size)

        async def make() -> Body:
            return json(await files.create(request.project, described, incoming))

        return await once_whole(request, standing(form), make)


async def take(request: Request, incoming: Incoming, taken: Taken, pieces: AsyncGenerator[bytes]) -> Taken:
    """Store the bytes, and know them again where the request has a key."""
    if given_key(request.scope) is None:
        await incoming.take(pieces)
        return taken
    digest = sha256()

    async def known() -> AsyncGenerator[bytes]:
        async for piece in pieces:
            digest.update(piece)
            yield piece

    async with aclosing(known()) as given:
        await incoming.take(given)
    return msgspec.structs.replace(taken, digest=digest.hexdigest())


def standing(form: Form[Taken]) -> bytes:
    """What stands for the form: the same for all that say the same."""
    return encode([sorted(form.fields.items()), form.file])


async def list_files(request: Request) -> Reply:
    """A page of the files."""
    query = request.query
    purpose = text(query, "purpose") or None
    if purpose is not None and purpose not in _ALL:
        raise invalid_value("purpose", purpose, _ALL)
    wanted = parse_page(query, default=PageParams(limit=MOST), most=MOST)
    page = PageQuery(limit=wanted.limit, order=wanted.order, after=wanted.after, before=wanted.before)
    return json(await request.services.files.list(request.project, page, purpose))


async def retrieve(request: Request) -> Reply:
    """One file."""
    return json(await request.services.files.retrieve(request.project, request.named(ID)))


async def delete(request: Request) -> Reply:
    """Delete a file."""
    return json(await request.services.files.delete(request.project, request.named(ID)))


async def content(request: Request) -> Reply:
    """The bytes."""
    files = request.services.files
    stored = await files.content(request.project, request.named(ID))
    return download(request.scope, stored, lambda start: files.read(request.project, stored, start))


def _named(head: Head) -> str:
    name = base_name(head.filename or "")
    if not name:
        raise missing_parameter(FILE)
    return name


def _described(request: Request, taken: Taken, fields: dict[str, str]) -> Described:
    wanted = parse_file_fields(fields, strict=request.strict)
    return Described(name=taken.name, media=taken.media, wanted=wanted)


OPERATIONS: Final = (
    Operation(
        id="createFile",
        method="POST",
        path="/files",
        about="Upload a file",
        answer=create,
        form=CreateFile,
        file=FILE,
        result=File,
    ),
    Operation(
        id="listFiles",
        method="GET",
        path="/files",
        about="List files",
        answer=list_files,
        result=FilePage,
        query=(_PURPOSE, Parameter("limit", _LIMIT, "How many files at the most"), *PAGE[1:]),
    ),
    Operation(
        id="retrieveFile",
        method="GET",
        path="/files/{file_id}",
        about="Get a file without its content",
        answer=retrieve,
        result=File,
    ),
    Operation(
        id="deleteFile",
        method="DELETE",
        path="/files/{file_id}",
        about="Delete a file, also from every vector store",
        answer=delete,
        result=FileDeleted,
    ),
    Operation(
        id="downloadFile",
        method="GET",
        path="/files/{file_id}/content",
        about="Get the content of a file",
        answer=content,
        media="*/*",
    ),
)
