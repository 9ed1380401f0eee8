"""What creates files: the fields of a form, and the bodies of uploads.

Law: as in `requests`. A form has no types: its values are strings, and `a[b]` is the field `b` of the object `a`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from antiphon.wire.bodies import parse_object
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.files import CompleteUpload, CreateFile, CreateUpload
from antiphon.wire.invalid import invalid, invalid_type, unknown_parameter

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\]){0,4})")
_STEP: Final = re.compile(r"\[([^\[\]]+)\]")
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")


def parse_file_fields(fields: Mapping[str, str], *, strict: bool = True) -> CreateFile:
    """The fields of the form of POST /v1/files. Raises InvalidRequestError."""
    given = _nested(fields)
    known = {field.name for field in msgspec.structs.fields(CreateFile)}
    if strict and (strange := [name for name in given if name not in known]):
        raise unknown_parameter(strange[0])
    try:
        return msgspec.convert(given, CreateFile, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, given, "", CreateFile) from None


def parse_upload(body: bytes, *, strict: bool = True) -> CreateUpload:
    """The body of POST /v1/uploads. Raises InvalidRequestError."""
    return parse_object(body, CreateUpload, strict=strict)


def parse_upload_end(body: bytes, *, strict: bool = True) -> CompleteUpload:
    """The body of POST /v1/uploads/{id}/complete. Raises InvalidRequestError."""
    wanted = parse_object(body, CompleteUpload, strict=strict)
    if wanted.md5 and not _MD5.fullmatch(wanted.md5):
        raise InvalidRequestError(
            "Invalid 'md5': expected the MD5 of the whole file as 32 hexadecimal digits.",
            param="md5",
            code="invalid_value",
        )
    return wanted


def _nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """`a[b]=c` as {"a": {"b": "c"}}."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise unknown_parameter(name)
        path = [parts[1], *_STEP.findall(parts[2])]
        inside = found
        for depth, step in enumerate(path[:-1], 1):
            held = inside.setdefault(step, {})
            if not isinstance(held, dict):
                raise invalid_type(".".join(path[:depth]), "an object", held)
            inside = cast("dict[str, Any]", held)
        if isinstance(inside.get(path[-1]), dict):
            raise invalid_type(".".join(path), "an object", value)
        inside[path[-1]] = value
    return found
