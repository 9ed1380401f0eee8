"""The door out, against listeners on this machine: what may not be reached sees no connection.

All spellings of what may not be reached stand in tests/egress/corpus.py.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from antiphon.adapters.egress.addresses import Listed, Rules, listed, public
from antiphon.adapters.egress.door import HttpDoor
from antiphon.adapters.egress.packing import PIECE
from antiphon.ports.door import Ask, DoorError, DoorLimits

DEADLINE = 10.0
LIMITS = DoorLimits(size=100_000, seconds=5.0, first=2.0)
HERE = Rules(allow=listed(["127.0.0.1"]))


class Listener:
    """Counts connections, keeps the requests, and answers each path with the bytes that a test set."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.answers: dict[str, bytes] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, path: str, body: bytes = b"", *headers: str, status: str = "200 OK") -> str:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        self.answers[path] = "\r\n".join([*head, "", ""]).encode() + body
        return f"{self.url}{path}"

    def move(self, path: str, target: str, status: str = "302 Found") -> str:
        return self.say(path, b"", f"Location: {target}", status=status)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode())
            path = head.split(b" ")[1].decode()
            answer = self.answers.get(path)
            if answer is None:
                await asyncio.Event().wait()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, host, port)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


@pytest.fixture
async def listener() -> AsyncGenerator[Listener]:
    async with listening() as found:
        yield found


@asynccontextmanager
async def door(rules: Rules | None = None, **names: Sequence[str]) -> AsyncGenerator[HttpDoor]:
    """A door that knows these names (dots as underscores), each with its addresses in turn; others as the system."""
    known = {name.replace("_", "."): list(addresses) for name, addresses in names.items()}

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host not in known:
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
            return [str(target[0]) for *_, target in found]
        return [known[host].pop(0) if len(known[host]) > 1 else known[host][0]]

    made = HttpDoor(rules, resolve if known else None)
    try:
        yield made
    finally:
        await made.close()


async def refused(url: str, rules: Rules | None = None, **names: Sequence[str]) -> DoorError:
    async with door(rules, **names) as made:
        with pytest.raises(DoorError) as caught:
            async with asyncio.timeout(DEADLINE):
                await made.fetch(url, LIMITS)
    return caught.value


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fe80::1", "ff02::1"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1", "224.0.0.1"),
        *("255.255.255.255", "240.0.0.1", "0.0.0.0", "127.8.8.8", "192.0.2.1", "203.0.113.9", "fc00::1", "2001:db8::1"),
        *("::", "::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "100::1"),
        *("2001:0:a00:1::", "192.88.99.1", "3fff::1", "fec0::1", "fd20:ce::254"),
    ],
)
async def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not public(ip_address(address))
    assert not Rules().permit(address, (address,))
    shown = f"[{address}]" if ":" in address else address
    assert (await refused(f"http://{shown}/latest/meta-data/")).refused
    assert (await refused("http://metadata.example/", metadata_example=[address])).refused


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_let_out(address: str) -> None:
    assert Rules().permit("example.com", (address,))


def test_a_host_with_one_bad_address_is_refused_whole() -> None:
    assert not Rules().permit("example.com", ("1.1.1.1", "10.0.0.1"))
    assert not Rules().permit("example.com", ())
    assert not Rules().permit("example.com", ("nonsense",))


def test_what_the_operator_lists_decides() -> None:
    rules = Rules(allow=listed(["10.0.0.0/8", "wiki.lan", "*.corp.example", "fd00::/8"]))
    assert rules.permit("x", ("10.1.2.3",))
    assert rules.permit("x", ("::ffff:10.1.2.3",))
    assert rules.permit("x", ("64:ff9b::a01:203",))
    assert not rules.permit("x", ("2001:0:a01:203::80ff:fffe",))  # a tunnel of a listed server to this machine
    assert not rules.permit("x", ("::10.1.2.3",))
    assert rules.permit("WIKI.lan.", ("192.168.0.5",))
    assert rules.permit("a.b.corp.example", ("192.168.0.5",))
    assert not rules.permit("corp.example", ("192.168.0.5",))
    assert not rules.permit("x", ("192.168.0.5",))
    denied = Rules(allow=listed(["10.0.0.0/8"]), deny=listed(["10.9.0.0/16", "evil.example", "1.1.1.1"]))
    assert not denied.permit("x", ("10.9.0.1",))
    assert not denied.permit("evil.example", ("8.8.8.8",))
    assert not denied.permit("x", ("1.1.1.1",))
    assert denied.permit("x", ("10.8.0.1",))
    assert listed([]) == Listed()


@pytest.mark.parametrize("entry", ["", "a b", "http://x", "10.0.0.0/33", "x/8", "*"])
def test_a_list_names_the_entry_that_cannot_be_read(entry: str) -> None:
    with pytest.raises(ValueError, match="host name"):
        listed([entry])


async def test_a_document_comes_with_its_type_and_name(listener: Listener) -> None:
    listener.say("/a/b%20c.pdf?q", b"%PDF", "Content-Type: Application/PDF; charset=x")
    named = listener.say("/d", b"text", 'Content-Disposition: attachment; filename="../../e\\"f.txt"')
    async with door(HERE) as made:
        first = await made.fetch(f"{listener.url}/a/b%20c.pdf?q#part", LIMITS)
        second = await made.fetch(named, LIMITS)
    assert (first.content, first.media, first.filename) == (b"%PDF", "application/pdf", "b c.pdf")
    assert second.media == "application/octet-stream"
    assert second.content == b"text"
    assert "/" not in second.filename
    assert second.filename.endswith("f.txt")


async def test_nothing_of_ours_goes_along(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    listener.say("/x", b"x", "Set-Cookie: a=b; Path=/")
    async with door(HERE) as made:
        await made.fetch(f"{listener.url}/x", LIMITS)
        await made.fetch(f"{listener.url}/x", LIMITS)
    sent = listener.requests[1].lower()
    assert "cookie" not in sent
    assert "authorization" not in sent
    assert "user-agent: antiphon\r\n" in sent


@pytest.mark.parametrize(
    "target",
    [
        *(
            "http://127.0.0.2:{port}/x",
            "http://169.254.169.254/latest",
            "//127.0.0.2:{port}/x",
            "http://[::1]:{port}/x",
        ),
        *(
            "file:///etc/passwd",
            "http://127.0.0.1@127.0.0.2:{port}/x",
            "http:\\\\127.0.0.2:{port}\\x",
            "http://2130706434/",
        ),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(listener: Listener, target: str) -> None:
    async with listening("127.0.0.2", listener.port) as inner:
        inner.say("/x", b"secret")
        url = listener.move("/go", target.replace("{port}", str(listener.port)))
        error = await refused(url, HERE)
        assert error.refused
        assert inner.connections == 0
        assert listener.connections == 1


async def test_redirects_are_followed_so_many_times(listener: Listener) -> None:
    for step in range(7):
        listener.move(f"/{step}", f"/{step + 1}")
    listener.say("/5", b"there")
    async with door(HERE) as made:
        assert (await made.fetch(f"{listener.url}/0", LIMITS)).content == b"there"
    listener.move("/5", "/6")
    assert "too often" in (await refused(f"{listener.url}/0", HERE)).message


async def test_a_name_is_resolved_once_and_what_it_becomes_later_does_not_count(listener: Listener) -> None:
    async with listening("127.0.0.2", listener.port) as inner:
        listener.say("/x", b"public")
        inner.say("/x", b"secret")
        async with door(HERE, rebind_example=["127.0.0.1", "127.0.0.2"]) as made:
            url = f"http://rebind.example:{listener.port}/x"
            assert (await made.fetch(url, LIMITS)).content == b"public"
            with pytest.raises(DoorError, match="not an address"):
                await made.fetch(url, LIMITS)
        assert inner.connections == 0
        assert listener.connections == 1


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 404])
async def test_only_redirects_redirect(listener: Listener, status: int) -> None:
    async with listening("127.0.0.2", listener.port) as inner:
        target = f"http://127.0.0.2:{listener.port}/x"
        head = [f"Location: {target}", f"Refresh: 0; url={target}", f"Content-Location: {target}", f"Link: <{target}>"]
        page = f'<meta http-equiv="refresh" content="0; url={target}"><img src="{target}">'.encode()
        url = listener.say("/x", b"" if status == 304 else page, *head, status=f"{status} Odd")
        async with door(HERE) as made, made.open(Ask(url=url), LIMITS) as got:
            assert got.status == status
        assert (listener.connections, inner.connections) == (1, 0)


async def test_redirects_that_circle_end(listener: Listener) -> None:
    listener.move("/a", "/b")
    listener.move("/b", f"{listener.url}/a#part")
    assert "too often" in (await refused(f"{listener.url}/a", HERE)).message
    assert len(listener.requests) == LIMITS.redirects + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirects_can_be_kept_within_the_origin(listener: Listener, method: str) -> None:
    limits = DoorLimits(within=True, redirects=3)
    body = b"{}" if method == "POST" else None

    async def asked(path: str) -> str:
        async with door(HERE) as made, made.open(Ask(url=f"{listener.url}{path}", method=method, body=body), limits):
            return listener.requests[-1].partition(" HTTP")[0]

    async with listening() as other:
        listener.say("/x", b"x")
        listener.move("/same", "/x", "307 Temporary Redirect")
        assert await asked("/same") == f"{method} /x"
        listener.move("/other", f"{other.url}/x", "308 Permanent Redirect")
        with pytest.raises(DoorError, match=r"^127\.0\.0\.1 redirects to another place, which is not followed"):
            await asked("/other")
        assert other.connections == 0
        listener.move("/less", "/x", "303 See Other")
        if method == "GET":
            assert await asked("/less") == "GET /x"
            return
        with pytest.raises(DoorError, match="another place"):
            await asked("/less")


async def test_headers_that_tell_who_asks_stay_with_the_origin(listener: Listener) -> None:
    async with listening() as other:
        other.say("/x", b"x")
        moved = listener.move("/go", f"{other.url}/x", "307 Temporary Redirect")
        headers = {"Authorization": "Bearer k", "X-Key": "k", "Cookie": "k", "Accept": "text/plain"}
        async with (
            door(HERE) as made,
            made.open(Ask(url=moved, method="POST", headers=headers, body=b"{}"), LIMITS) as got,
        ):
            assert got.status == 200
        assert "Bearer k" in listener.requests[0]
        assert other.requests[0].startswith("POST /x")
        assert "k\r\n" not in other.requests[0]
        assert "text/plain" in other.requests[0]


async def test_after_a_post_that_was_answered_elsewhere_the_answer_is_got(listener: Listener) -> None:
    listener.say("/x", b"x")
    moved = listener.move("/go", "/x", "303 See Other")
    async with door(HERE) as made, made.open(Ask(url=moved, method="POST", body=b"{}"), LIMITS) as got:
        assert got.status == 200
        assert b"".join([piece async for piece in got.pieces()]) == b"x"
    assert listener.requests[1].startswith("GET /x")


async def test_a_status_is_the_openers_to_judge_and_an_error_for_a_fetch(listener: Listener) -> None:
    url = listener.say("/x", b"gone", status="410 Gone")
    async with door(HERE) as made, made.open(Ask(url=url), LIMITS) as got:
        assert got.status == 410
    error = await refused(url, HERE)
    assert (error.message, error.refused) == ("127.0.0.1 answered with HTTP 410.", False)


@pytest.mark.parametrize("compressed", [False, True])
async def test_more_than_the_limit_is_refused(listener: Listener, compressed: bool) -> None:
    body = b"\0" * 50_000_000 if compressed else b"x" * 100_001
    headers = ["Content-Encoding: gzip"] if compressed else []
    url = listener.say("/x", gzip.compress(body) if compressed else body, *headers)
    assert "larger than 100000 bytes" in (await refused(url, HERE)).message


async def test_compression_is_taken_off(listener: Listener) -> None:
    body = bytes(range(256)) * 300
    async with door(HERE) as made:
        url = listener.say("/x", gzip.compress(body), "Content-Encoding: gzip")
        assert (await made.fetch(url, LIMITS)).content == body
    cut = listener.say("/y", gzip.compress(body)[:-9], "Content-Encoding: gzip")
    assert "broke off" in (await refused(cut, HERE)).message


async def test_streams_behind_one_another_are_one_and_what_is_none_is_an_error(listener: Listener) -> None:
    async with door(HERE) as made:
        packed = gzip.compress(b"one, ") + gzip.compress(b"two")
        assert (await made.fetch(listener.say("/x", packed, "Content-Encoding: gzip"), LIMITS)).content == b"one, two"
        packed = zlib.compress(b"y" * PIECE)
        got = await made.fetch(listener.say("/y", packed, "Content-Encoding: deflate"), LIMITS)
        assert got.content == b"y" * PIECE
        assert (await made.fetch(listener.say("/e", b"", "Content-Encoding: gzip"), LIMITS)).content == b""
    behind = listener.say("/z", gzip.compress(b"one") + b"\xff" * 60_000, "Content-Encoding: gzip")
    assert "broke off" in (await refused(behind, HERE)).message


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip,identity"])
async def test_compression_that_was_not_asked_for_is_refused(listener: Listener, encoding: str) -> None:
    url = listener.say("/x", gzip.compress(gzip.compress(b"x")), f"Content-Encoding: {encoding}")
    assert "compression that was not asked for" in (await refused(url, HERE)).message
    assert "accept-encoding: gzip\r\n" in listener.requests[0].lower()


async def test_bytes_that_unpack_to_nothing_are_counted_too(listener: Listener) -> None:
    empty = zlib.compressobj(wbits=31)
    packed = empty.compress(b"") + empty.flush(zlib.Z_SYNC_FLUSH) + b"\x00\x00\x00\xff\xff" * 30_000
    listener.answers["/x"] = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + packed
    assert "larger than 100000 bytes" in (await refused(f"{listener.url}/x", HERE)).message


async def test_a_size_can_be_left_to_the_opener(listener: Listener) -> None:
    url = listener.say("/x", gzip.compress(b"x" * 1_000_000), "Content-Encoding: gzip")
    async with door(HERE) as made, made.open(Ask(url=url), DoorLimits(size=None)) as got:
        assert sum([len(piece) async for piece in got.pieces()]) == 1_000_000


async def test_only_the_types_that_are_wanted_are_taken(listener: Listener) -> None:
    url = listener.say("/x", b"x", "Content-Type: text/html")
    wanted = DoorLimits(media=("image/", "application/pdf"))
    async with door(HERE) as made:
        with pytest.raises(DoorError, match="text/html"):
            await made.fetch(url, wanted)
        listener.say("/x", b"x", "Content-Type: image/png")
        assert (await made.fetch(url, wanted)).media == "image/png"


async def test_silence_ends(listener: Listener) -> None:
    async with door(HERE) as made:
        for limits in (DoorLimits(first=0.1), DoorLimits(seconds=0.1)):
            with pytest.raises(DoorError, match="did not answer in time"):
                async with asyncio.timeout(DEADLINE):
                    await made.fetch(f"{listener.url}/never", limits)
        listener.answers["/half"] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
        with pytest.raises(DoorError, match="broke off"):
            await made.fetch(f"{listener.url}/half", LIMITS)
        listener.answers["/junk"] = b"220 ready\r\n"
        with pytest.raises(DoorError, match="as a web server does"):
            await made.fetch(f"{listener.url}/junk", LIMITS)


async def test_what_is_not_there_is_said() -> None:
    async with listening() as gone:
        url = f"{gone.url}/x"
    error = await refused(url, HERE)
    assert (error.message, error.refused) == ("127.0.0.1 could not be reached.", False)
    assert "could not be reached" in (await refused("http://nowhere.invalid/x")).message


async def test_the_callers_own_timeout_is_its_own(listener: Listener) -> None:
    url = listener.say("/x", b"x")
    async with door(HERE) as made:
        with pytest.raises(TimeoutError):
            async with made.open(Ask(url=url), LIMITS):
                raise TimeoutError
