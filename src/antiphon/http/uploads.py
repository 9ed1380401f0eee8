"""`/v1/uploads`: files that come in parts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from antiphon.engine.uploads import PART_BYTES
from antiphon.http.files import Taken, standing, take
from antiphon.http.idempotency import once_whole
from antiphon.http.multipart import Head, received
from antiphon.http.operation import Operation
from antiphon.http.reply import Body, Reply, json
from antiphon.http.request import Request
from antiphon.wire.files import CompleteUpload, CreateUpload, Upload, UploadPart
from antiphon.wire.forms import parse_upload, parse_upload_end
from antiphon.wire.invalid import unknown_parameter

ID: Final = "upload_id"
DATA: Final = "data"


async def create(request: Request) -> Reply:
    """Begin an upload."""
    wanted = parse_upload(await request.body(), strict=request.strict)
    return json(await request.services.uploads.create(request.project, wanted))


async def add(request: Request) -> Reply:
    """Store a part."""
    uploads, upload_id = request.services.uploads, request.named(ID)
    async with await uploads.incoming(request.project, upload_id) as incoming:

        async def keep(head: Head, _before: dict[str, str], pieces: AsyncGenerator[bytes]) -> Taken:
            return await take(request, incoming, Taken("", head.media, ""), pieces)

        form = await received(request, DATA, keep, PART_BYTES)
        if request.strict and form.fields:
            raise unknown_parameter(next(iter(form.fields)))

        async def make() -> Body:
            return json(await uploads.add(request.project, upload_id, incoming))

        return await once_whole(request, standing(form), make)


async def complete(request: Request) -> Reply:
    """Make a file of the parts."""
    wanted = parse_upload_end(await request.body(), strict=request.strict)
    return json(await request.services.uploads.complete(request.project, request.named(ID), wanted))


async def cancel(request: Request) -> Reply:
    """End an upload without a file."""
    return json(await request.services.uploads.cancel(request.project, request.named(ID)))


OPERATIONS: Final = (
    Operation(
        id="createUpload",
        method="POST",
        path="/uploads",
        about="Begin to upload a file in parts",
        answer=create,
        body=CreateUpload,
        result=Upload,
    ),
    Operation(
        id="addUploadPart",
        method="POST",
        path="/uploads/{upload_id}/parts",
        about="Upload a part of at most 64 MB",
        answer=add,
        file=DATA,
        result=UploadPart,
    ),
    Operation(
        id="completeUpload",
        method="POST",
        path="/uploads/{upload_id}/complete",
        about="Make a file of the parts, in the given order",
        answer=complete,
        body=CompleteUpload,
        result=Upload,
    ),
    Operation(
        id="cancelUpload",
        method="POST",
        path="/uploads/{upload_id}/cancel",
        about="End an upload without a file",
        answer=cancel,
        result=Upload,
    ),
)
