"""`multipart/form-data` as it arrives: fields are read, the file is passed on piece by piece.

Law: nothing is held but one piece and the fields, whose number and sizes are bounded; the order of the parts does not
matter. Parts are found by `python-multipart`; what the parts say of themselves is read here (RFC 7578).
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Generic, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.types import Message, Scope

from antiphon.http.bodies import too_large
from antiphon.http.errors import named
from antiphon.http.limits import UnsupportedMediaError
from antiphon.http.presence import GoneError
from antiphon.http.request import Request
from antiphon.wire.errors import InvalidRequestError
from antiphon.wire.invalid import invalid_type, missing_parameter, quoted

T = TypeVar("T")

SPARE: Final = 1024 * 1024
"""Bytes of a body besides its file."""
MOST_FIELDS: Final = 64
FIELD: Final = 64 * 1024
"""Bytes of a field."""
_HEADER: Final = 8192
_HEADERS: Final = 16
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_OPTION: Final = re.compile(r""";[ \t]*([\w!#$&+.^`|~*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))""", re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_BROWSER: Final = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""What browsers escape in names, and nothing else."""
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})
_CHARSET: Final = "_charset_"
_ENCODINGS: Final = frozenset({"", "7bit", "8bit", "binary"})

# what it warns of is told to the client
_QUIET: Final = logging.getLogger("antiphon.multipart")
_QUIET.disabled = True


class Head(Struct, frozen=True, kw_only=True):
    """What a part says of itself. `filename` None: a field; `media`: its content type, "" when it does not say."""

    name: str
    filename: str | None = None
    media: str = ""
    charset: str = ""


Event: TypeAlias = Head | bytes | None
"""A part begins, has more bytes, is over."""
Keep: TypeAlias = Callable[[Head, dict[str, str], AsyncGenerator[bytes]], Awaitable[T]]
"""Takes the file and the fields that came before it."""


class Form(Struct, Generic[T], frozen=True):
    """The fields, and what became of the file."""

    fields: dict[str, str]
    file: T


class Splitter:
    """Finds the parts in a body that is fed to it. `param`: what the request calls the file, for errors."""

    def __init__(self, boundary: str, param: str) -> None:
        self.param = param
        self._events: list[Event] = []
        self._name = b""
        self._value = b""
        self._headers: dict[str, bytes] = {}
        self.ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._head,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._over,
            },
            max_header_count=_HEADERS,
            max_header_size=_HEADER,
        )
        self._parser.logger = _QUIET

    def feed(self, piece: bytes) -> list[Event]:
        """What these bytes complete. Raises InvalidRequestError for what is no form."""
        self._events = []
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise malformed(str(error), self.param) from None
        return self._events

    def _begin(self) -> None:
        self._headers = {}

    def _header_name(self, content: bytes, start: int, end: int) -> None:
        self._name += content[start:end]

    def _header_value(self, content: bytes, start: int, end: int) -> None:
        self._value += content[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").strip().lower()] = self._value
        self._name = self._value = b""

    def _head(self) -> None:
        self._events.append(head_of(self._headers, self.param))

    def _data(self, content: bytes, start: int, end: int) -> None:
        self._events.append(content[start:end])

    def _end(self) -> None:
        self._events.append(None)

    def _over(self) -> None:
        self.ended = True


async def received(request: Request, param: str, keep: Keep[T], most: int) -> Form[T]:
    """Read a form with one file, called `param`, of at most `most` bytes; `keep` is given the file while it arrives and
    may refuse it. Raises TooLargeError, InvalidRequestError, UnsupportedMediaError, GoneError, and what `keep` raises:
    what is behind that is not read."""
    boundary = _admit(request.scope, param, most + SPARE)
    fields: dict[str, str] = {}
    kept: list[T] = []
    async with aclosing(_events(request, Splitter(boundary, param), most)) as events:
        async for event in events:
            if not isinstance(event, Head):
                continue
            if event.name != param:
                await _field(event, events, fields)
            elif kept:
                raise InvalidRequestError(
                    f"Invalid '{param}': expected one file, but got more.", param=param, code="invalid_value"
                )
            elif event.filename is None:
                raise invalid_type(param, "a file", "")
            else:
                async with aclosing(_content(events)) as pieces:
                    kept.append(await keep(event, fields, pieces))
    if not kept:
        raise missing_parameter(param)
    fields.pop(_CHARSET, None)
    return Form(fields, kept[0])


async def _field(head: Head, events: AsyncIterator[Event], fields: dict[str, str]) -> None:
    """Read a field."""
    if head.filename is not None:
        raise InvalidRequestError(
            f"Invalid type for {quoted(head.name)}: expected a field, but got a file instead.",
            param=quoted(head.name)[1:-1],
            code="invalid_type",
        )
    if len(fields) >= MOST_FIELDS:
        raise InvalidRequestError(f"The form has too many fields: at most {MOST_FIELDS} are read.")
    content = b""
    async for piece in _content(events):
        content += piece
        if len(content) > FIELD:
            raise too_large(FIELD)
    charset = head.charset or fields.get(_CHARSET, "") or "utf-8"
    try:
        text = content.decode(charset if charset.lower() in _CHARSETS else "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f"Invalid {quoted(head.name)}: it is not text in {charset}.",
            param=quoted(head.name)[1:-1],
            code="invalid_value",
        ) from None
    fields[head.name] = text


async def _content(events: AsyncIterator[Event]) -> AsyncGenerator[bytes]:
    """The bytes of the part that has begun, to its end."""
    async for event in events:
        if not isinstance(event, bytes):
            return
        yield event


async def _events(request: Request, splitter: Splitter, most: int) -> AsyncGenerator[Event]:
    """The parts of the body; bounded by what the file may have, and a little."""
    size, more = 0, True
    while more:
        message: Message = await request.receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(piece)
        for event in splitter.feed(piece):
            yield event
        if size > most + SPARE:
            raise too_large(most + SPARE)
    if not splitter.ended:
        raise malformed("it ends early", splitter.param)


def _admit(scope: Scope, param: str, most: int) -> str:
    """The boundary; refuse by the headers what need not be read for that."""
    if named(scope, b"content-encoding").lower() not in {"", "identity"}:
        raise UnsupportedMediaError("Forms are read as they are, not compressed.", code="unsupported_content_encoding")
    declared = named(scope, b"content-type")
    kind, options = _options(declared)
    if kind != "multipart/form-data":
        raise InvalidRequestError(
            f"The body is declared as '{declared[:100]}'; send a form with the file as '{param}': "
            "'Content-Type: multipart/form-data; boundary=...'.",
            param=param,
            code="unsupported_content_type",
        )
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise malformed("the header Content-Type names no boundary that can be one", param)
    length = named(scope, b"content-length")
    if length.isdigit() and int(length) > most:
        raise too_large(most)
    return boundary


def head_of(headers: dict[str, bytes], param: str) -> Head:
    """What these headers say of their part."""
    disposition = _text(headers.get("content-disposition", b""))
    kind, options = _options(disposition)
    if kind != "form-data" or not options.get("name"):
        raise malformed("a part does not say which field it is", param)
    if (encoding := _text(headers.get("content-transfer-encoding", b"")).strip().lower()) not in _ENCODINGS:
        raise malformed(f"a part is encoded as {quoted(encoding)}, which is not read", param)
    media = _text(headers.get("content-type", b"")).strip()
    filename = options.get("filename")
    if extended := _extended(options.get("filename*", "")):
        filename = extended
    return Head(
        name=_plain(options["name"]),
        filename=None if filename is None else _plain(filename),
        media=media[:255] if media.isprintable() else "",
        charset=_options(media)[1].get("charset", ""),
    )


def _options(value: str) -> tuple[str, dict[str, str]]:
    """The value of a header in front of its options, in lower case, and the options; the first of a name counts."""
    kind, mark, rest = value.partition(";")
    found: dict[str, str] = {}
    for option in _OPTION.finditer(mark + rest):
        inside = option[3] if option[2] is None else _ESCAPED.sub(r"\1", option[2])
        found.setdefault(option[1].lower(), inside)
    return kind.strip().lower(), found


def _text(value: bytes) -> str:
    """UTF-8 as clients send it, or else Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _extended(value: str) -> str:
    """`charset'language'percent-encoded`; "" for what is not of this form."""
    charset, _, rest = value.partition("'")
    _, mark, encoded = rest.partition("'")
    if not mark or charset.lower() not in _CHARSETS:
        return ""
    try:
        return unquote_to_bytes(encoded).decode(charset)
    except UnicodeDecodeError:
        return ""


def _plain(name: str) -> str:
    for escaped, letter in _BROWSER.items():
        name = name.replace(escaped, letter)
    return name


def malformed(why: str, param: str) -> InvalidRequestError:
    """The body is no form."""
    return InvalidRequestError(
        f"The body of the request is no form that can be read: {why}.", param=param, code="invalid_multipart"
    )
