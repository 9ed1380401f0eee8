"""`/v1/files` and `/v1/uploads`: the objects, and what creates them (checklist A.3)."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

Purpose: TypeAlias = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
"""What a client may upload a file for. Our own outputs have `batch_output` and the like."""

PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
OUTPUT_PURPOSES: Final = ("assistants_output", "batch_output", "fine-tune-results")

Filename: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]


class File(Struct, frozen=True, kw_only=True):
    """A file. `bytes` is its size; times are epoch seconds; `expires_at` None: never."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None


class FileDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FilePage(Struct, frozen=True, kw_only=True):
    """A page of files."""

    object: Literal["list"] = "list"
    data: tuple[File, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileExpiry(Struct, frozen=True, kw_only=True):
    """When a file expires: so many seconds after its creation."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class CreateFile(Struct, frozen=True, kw_only=True):
    """The fields of POST /v1/files besides `file`."""

    purpose: Purpose
    expires_after: FileExpiry | None = None


class Upload(Struct, frozen=True, kw_only=True):
    """A file that comes in parts; `file` once it is completed."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"] = "pending"
    file: File | UnsetType | None = UNSET


class UploadPart(Struct, frozen=True, kw_only=True):
    """A part of an upload."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str


class CreateUpload(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/uploads."""

    bytes: Annotated[int, Meta(ge=0, le=8_589_934_592)]
    filename: Filename
    mime_type: Annotated[str, Meta(min_length=1, max_length=255)]
    purpose: Purpose
    expires_after: FileExpiry | None = None


class CompleteUpload(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/uploads/{id}/complete; `md5` is of the whole file, in hex."""

    part_ids: Annotated[tuple[str, ...], Meta(max_length=10_000)]
    md5: str | None = None
