"""Forms: whatever the splits, orders and sizes, fields are read and the file is passed on; what is no form is refused
in words, before it is read to its end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from antiphon.http.multipart import FIELD, MOST_FIELDS, Form, Head, head_of, received
from antiphon.http.presence import GoneError
from antiphon.http.request import Request
from antiphon.http.services import Services
from antiphon.wire.errors import AntiphonError, InvalidRequestError, TooLargeError
from tests.blobs import MemoryBlobs
from tests.http.forms import BOUNDARY, Part, declared, form
from tests.http.server import Answer, Server, serving
from tests.long import amount

MB = 1024 * 1024
FILE = Part("file", b"hello", "a.txt", "text/plain")
PURPOSE = Part("purpose", b"user_data")


class Kept:
    """What was passed on: the file's bytes, and the fields that were known before them."""

    def __init__(self) -> None:
        self.content = b""
        self.before: dict[str, str] = {}
        self.head: Head | None = None
        self.received = 0

    async def keep(self, head: Head, before: dict[str, str], pieces: AsyncGenerator[bytes]) -> str:
        self.head, self.before = head, dict(before)
        async for piece in pieces:
            assert piece
            self.content += piece
        return "kept"


async def read(
    pieces: Sequence[bytes], kept: Kept, *, most: int = MB, headers: dict[str, str] | None = None
) -> Form[str]:
    """As a server reads it that gets these pieces; afterwards the client is gone."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": count < len(pieces)}
        for count, piece in enumerate(pieces, 1)
    ]

    async def receive() -> Message:
        kept.received += 1
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    listed = [(name.encode(), value.encode()) for name, value in (headers or declared()).items()]
    request = Request(cast("Services", None), "p", {"type": "http", "headers": listed}, receive)
    return await received(request, "file", kept.keep, most)


def split(content: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(places)]


TRICKY = st.sampled_from(
    [b"\r\n", b"\r", b"--", f"\r\n--{BOUNDARY[:-1]}".encode(), f"--{BOUNDARY}x".encode(), b"\0", b"a"]
)
CONTENT = st.lists(st.one_of(TRICKY, st.binary(max_size=40)), max_size=20).map(b"".join)
NAME = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\%;'), min_size=1, max_size=20)
VALUE = st.text(max_size=60)


@settings(max_examples=amount(150, 5000), deadline=None)
@given(
    fields=st.dictionaries(NAME.filter(lambda name: name not in {"file", "_charset_"}), VALUE, max_size=5),
    content=CONTENT,
    place=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_any_split_and_order_gives_the_same(
    fields: dict[str, str], content: bytes, place: int, cuts: list[int]
) -> None:
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + content:
        return  # no client would have chosen this boundary
    parts = [Part(name, value.encode()) for name, value in fields.items()]
    parts.insert(place, Part("file", content, "a.bin"))
    kept = Kept()
    found = asyncio.run(read(split(form(*parts), cuts), kept))
    assert found.fields == fields
    assert kept.content == content
    assert list(kept.before) == list(fields)[: min(place, len(fields))]


async def test_a_form_may_come_byte_by_byte() -> None:
    body = form(PURPOSE, FILE, Part("expires_after[anchor]", b"created_at"))
    kept = Kept()
    found = await read([bytes([byte]) for byte in body], kept)
    assert found.fields == {"purpose": "user_data", "expires_after[anchor]": "created_at"}
    assert kept.content == b"hello"


@settings(max_examples=amount(300, 20_000), deadline=None)
@given(noise=st.binary(max_size=400), cuts=st.lists(st.integers(0, 500), max_size=8), at=st.integers(0, 400))
def test_noise_is_refused_in_words_or_read(noise: bytes, cuts: list[int], at: int) -> None:
    body = form(PURPOSE, FILE)
    for spoilt in (noise, body[:at] + noise + body[at:], body[:at]):
        try:
            asyncio.run(read(split(spoilt, cuts), Kept()))
        except AntiphonError as error:
            assert error.http_status in {400, 413}
            assert error.param


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ('form-data; name="file"; filename="a.txt"', "a.txt"),
        ("form-data; name=file; filename=a.txt", "a.txt"),
        ('form-data; filename="a;b=\\"c\\".txt"; name="file"', 'a;b="c".txt'),
        ('form-data; name="file"; filename="%22quoted%22%0D%0A 50%.txt"', '"quoted"\r\n 50%.txt'),
        ('form-data; name="file"; filename="Grüße.txt"', "Grüße.txt"),
        ('form-data; name="file"; filename="x"; filename*=UTF-8\'\'Gr%C3%BC%C3%9Fe%20%22.txt', 'Grüße ".txt'),
        ("form-data; name=\"file\"; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ("form-data; name=\"file\"; filename*=utf-9''%A3.txt; filename=plain", "plain"),
        ("form-data; name=\"file\"; filename*=UTF-8''%FF%FE; filename=plain", "plain"),
        ('FORM-DATA; NAME="file"; FILENAME="C:\\dir\\a.txt"', "C:\\dir\\a.txt"),
        ('form-data; name="file"; filename=""', ""),
        ('form-data; name="file"', None),
    ],
)
def test_the_name_of_a_file_is_read_in_all_its_spellings(value: str, wanted: str | None) -> None:
    found = head_of({"content-disposition": value.encode()}, "file")
    assert (found.name, found.filename) == ("file", wanted)


def test_a_name_that_is_not_utf_8_is_read_as_latin_1() -> None:
    assert head_of({"content-disposition": b'form-data; name="file"; filename="\xe9.txt"'}, "file").filename == "é.txt"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\dir\\\\a.txt", "a.txt"),
        ("/abs/a.txt", "a.txt"),
        ("a%0D%0Ab.txt", "ab.txt"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 400 + ".pdf", "x" * 251 + ".pdf"),
        ("Grüße \N{SNOWMAN}.txt", "Grüße \N{SNOWMAN}.txt"),
    ],
)
async def test_of_a_name_the_last_component_is_kept(name: str, kept: str) -> None:
    async with serving() as server:
        answer = await post(server, form(PURPOSE, Part("file", b"x", name)))
        assert answer.json["filename"] == kept


@pytest.mark.parametrize("name", ["", "..", "/", "a/", ".", "%0A"])
async def test_a_name_that_names_nothing_is_refused(name: str) -> None:
    async with serving() as server:
        answer = await post(server, form(PURPOSE, Part("file", b"x", name)))
        assert answer.status == 400
        assert answer.error["param"] == "file"


async def post(server: Server, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return await server.ask("POST", "/v1/files", body, headers or declared())


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
async def test_the_parts_may_come_in_any_order(order: tuple[int, ...]) -> None:
    parts = (
        FILE,
        PURPOSE,
        Part("expires_after[anchor]", b"created_at"),
        Part("expires_after[seconds]", b"3600"),
    )
    async with serving() as server:
        answer = await post(server, form(*[parts[at] for at in order]))
        assert answer.status == 200, answer.body
        assert answer.json["purpose"] == "user_data"
        assert answer.json["expires_at"] == answer.json["created_at"] + 3600


async def test_the_fields_have_charsets() -> None:
    latin = [
        Part("a", "é".encode("latin-1"), media="text/plain; charset=iso-8859-1"),
        Part("_charset_", b"iso-8859-1"),
        Part("b", "é".encode("latin-1")),
    ]
    assert (await read([form(*latin, FILE)], Kept())).fields == {"a": "é", "b": "é"}
    with pytest.raises(InvalidRequestError, match="not text in utf-8") as raised:
        await read([form(Part("a", b"\xff"), FILE)], Kept())
    assert raised.value.param == "a"


REFUSED = {
    "no file": (form(PURPOSE), declared(), "file", "missing_required_parameter"),
    "no purpose": (form(FILE), declared(), "purpose", "missing_required_parameter"),
    "an unknown purpose": (form(FILE, Part("purpose", b"x")), declared(), "purpose", "invalid_value"),
    "an unknown field": (form(FILE, PURPOSE, Part("x", b"y")), declared(), "x", "unknown_parameter"),
    "a file that is none": (form(PURPOSE, Part("file", b"x")), declared(), "file", "invalid_type"),
    "two files": (form(PURPOSE, FILE, FILE), declared(), "file", "invalid_value"),
    "a field that is a file": (form(FILE, Part("purpose", b"x", "a")), declared(), "purpose", "invalid_type"),
    "an anchor that is none": (
        form(FILE, PURPOSE, Part("expires_after[anchor]", b"x"), Part("expires_after[seconds]", b"3600")),
        declared(),
        "expires_after.anchor",
        "invalid_value",
    ),
    "seconds that are none": (
        form(FILE, PURPOSE, Part("expires_after[anchor]", b"created_at"), Part("expires_after[seconds]", b"x")),
        declared(),
        "expires_after.seconds",
        "invalid_type",
    ),
    "too few seconds": (
        form(FILE, PURPOSE, Part("expires_after[anchor]", b"created_at"), Part("expires_after[seconds]", b"60")),
        declared(),
        "expires_after.seconds",
        "integer_below_min_value",
    ),
    "a field twice in two forms": (
        form(FILE, PURPOSE, Part("expires_after", b"1"), Part("expires_after[seconds]", b"60")),
        declared(),
        "expires_after",
        "invalid_type",
    ),
    "JSON": (b"{}", {"content-type": "application/json"}, "file", "unsupported_content_type"),
    "no type": (b"x", {"content-type": ""}, "file", "unsupported_content_type"),
    "no boundary": (form(FILE), {"content-type": "multipart/form-data"}, "file", "invalid_multipart"),
    "a long boundary": (form(FILE), declared("x" * 71), "file", "invalid_multipart"),
    "another boundary": (form(FILE), declared("other"), "file", "invalid_multipart"),
    "an early end": (form(PURPOSE, FILE)[:-4], declared(), "file", "invalid_multipart"),
    "an empty body": (b"", declared(), "file", "invalid_multipart"),
    "a part without a name": (
        b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--",
        declared("x"),
        "file",
        "invalid_multipart",
    ),
    "a part in base64": (
        form(Part("file", b"eA==", "a", more="Content-Transfer-Encoding: base64\r\n")),
        declared(),
        "file",
        "invalid_multipart",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_named(case: str) -> None:
    body, headers, param, code = REFUSED[case]
    async with serving() as server:
        answer = await post(server, body, headers)
        assert answer.status == 400, answer.body
        assert (answer.error["param"], answer.error["code"]) == (param, code), answer.error
        assert not blobs(server).held


def blobs(server: Server) -> MemoryBlobs:
    """Where the server keeps its files."""
    assert isinstance(server.parts.blobs, MemoryBlobs)
    return server.parts.blobs


async def test_a_compressed_form_is_refused() -> None:
    async with serving() as server:
        answer = await post(server, form(FILE, PURPOSE), {**declared(), "content-encoding": "gzip"})
        assert (answer.status, answer.error["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize(
    "parts",
    [
        [Part(f"f{count}", b"x") for count in range(MOST_FIELDS + 1)],
        [Part("f", b"x" * (FIELD + 1))],
        [Part("f", b"x", more=f"X-Long: {'x' * 9000}\r\n")],
        [Part("f", b"x", more="".join(f"X-{count}: x\r\n" for count in range(20)))],
    ],
    ids=["fields", "bytes", "a header", "headers"],
)
async def test_fields_and_headers_are_bounded(parts: list[Part]) -> None:
    with pytest.raises((InvalidRequestError, TooLargeError)):
        await read([form(*parts, FILE)], Kept())


async def test_what_is_around_the_parts_is_bounded() -> None:
    kept = Kept()
    endless = [form(PURPOSE, FILE), *[b"x" * MB] * 50]
    with pytest.raises(TooLargeError):
        await read(endless, kept)
    assert kept.received < 10


async def test_a_client_that_leaves_is_noticed() -> None:
    pieces = split(form(FILE, PURPOSE), [60])

    async def gone() -> None:
        messages: list[Message] = [{"type": "http.request", "body": pieces[0], "more_body": True}]

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        listed = [(name.encode(), value.encode()) for name, value in declared().items()]
        request = Request(cast("Services", None), "p", {"type": "http", "headers": listed}, receive)
        await received(request, "file", Kept().keep, MB)

    with pytest.raises(GoneError):
        await gone()


async def test_what_is_refused_is_not_read_to_its_end() -> None:
    """A file that is larger than allowed is refused while it comes, and by its announced length before that."""
    async with serving() as server:
        most = 512 * MB
        head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        for rest in (
            f"Content-Length: {most + 2 * MB}\r\n\r\n".encode(),
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk(Part("purpose", b"nothing").encoded() + FILE.encoded()[:-2]),
        ):
            reader, writer = await server.connect()
            writer.write(head.encode() + rest)
            async with asyncio.timeout(10):
                status = (await reader.readline()).decode()
                assert status.split()[1] in {"413", "400"}, status
                if "413" in status:
                    answer = await reader.readuntil(b"}}")
                    assert json.loads(answer[answer.index(b'{"error') :])["error"]["code"] == "request_too_large"
            writer.close()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


async def test_a_key_is_honoured_whatever_the_boundary() -> None:
    async with serving() as server:
        key = {"idempotency-key": "k1"}
        first = await post(server, form(FILE, PURPOSE), {**declared(), **key})
        other = form(PURPOSE, FILE, boundary="another")
        again = await post(server, other, {**declared("another"), **key})
        assert (again.status, again.json) == (200, first.json)
        assert again.headers["idempotent-replayed"] == "true"
        assert len(blobs(server).held) == 1
        changed = await post(server, form(Part("file", b"other", "a.txt"), PURPOSE), {**declared(), **key})
        assert (changed.status, changed.error["code"]) == (400, "idempotency_key_reused")
        assert len(blobs(server).held) == 1


async def test_a_key_whose_file_was_not_stored_is_free_again() -> None:
    async with serving() as server:
        blobs(server).broken = True
        headers = {**declared(), "idempotency-key": "k1"}
        assert (await post(server, form(FILE, PURPOSE), headers)).status == 503
        blobs(server).broken = False
        assert (await post(server, form(FILE, PURPOSE), headers)).status == 200


async def test_readiness_asks_for_the_files() -> None:
    async with serving() as server:
        assert (await server.ask("GET", "/v1/ready")).status == 200
        blobs(server).broken = True
        answer: Any = await server.ask("GET", "/v1/ready")
        assert answer.status == 503
        assert "files" in answer.error["message"]
