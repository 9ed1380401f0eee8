"""The egress door over aiohttp.

Law: a connection is made only to an address that was checked. Three places keep it: URLs are read once, by the parser
that also connects; the resolver gives out only addresses of a host that all pass; and the factory of sockets refuses
what was never given out.
"""

from __future__ import annotations

import asyncio
import re
import socket
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from antiphon.adapters.egress.addresses import Rules
from antiphon.ports.door import Ask, DoorError, DoorLimits, Fetched

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; OSError when it has none."""

PIECE: Final = 65_536
CONNECTIONS: Final = 64
HARMLESS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Headers that go along when another origin is asked."""
_ODD: Final = re.compile(r"[\x00-\x20\x7f\\]")
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]+")


class _RefusedError(OSError):
    """The address may not be connected to."""


class _Resolver(AbstractResolver):
    """Resolves a host and gives out its addresses when all of them pass."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self.given: set[str] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As aiohttp asks."""
        addresses = await self._resolve(host, port)
        if not self._rules.permit(host, addresses):
            raise _RefusedError(host)
        self.given.update(addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
            if family in {socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET}
        ]

    async def close(self) -> None:
        """Nothing is held."""

    def socket(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for an address that was given out, or that passes by itself."""
        family, kind, proto, _, target = info
        address = str(target[0])
        if address not in self.given and not self._rules.permit(address, (address,)):
            raise _RefusedError(address)
        return socket.socket(family, kind, proto)


class _Opened:
    """An answer; see the port."""

    def __init__(self, response: aiohttp.ClientResponse, limits: DoorLimits) -> None:
        self._response = response
        self._limits = limits
        self.url = str(response.url)
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def pieces(self) -> AsyncGenerator[bytes]:
        """As they come, decompressed, counted."""
        host = _host(self._response.url)
        packing = _packing(self.headers.get("content-encoding", ""), host)
        left = self._limits.size
        if (self._response.content_length or 0) > left:
            raise _too_large(host, self._limits.size)
        try:
            async for raw in self._response.content.iter_any():
                for piece in packing.open(raw):
                    left -= len(piece)
                    if left < 0:
                        raise _too_large(host, self._limits.size)
                    yield piece
            packing.end()
        except (aiohttp.ClientError, zlib.error, OSError) as error:
            raise DoorError(f"{host} broke off its answer.") from error


class HttpDoor:
    """The port over one pool of connections, made when it is first used."""

    def __init__(self, rules: Rules | None = None, resolve: Resolve | None = None) -> None:
        self._rules = rules or Rules()
        self._resolve = resolve or resolved
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self, ask: Ask, limits: DoorLimits, /) -> AsyncGenerator[_Opened]:
        """See the port."""
        url, method, headers, body = _read(ask.url), ask.method, dict(ask.headers), ask.body
        opened, clock = False, asyncio.timeout(limits.seconds)
        try:
            async with clock:
                for _ in range(limits.redirects + 1):
                    self._check(url)
                    response = await self._send(method, url, headers, body, limits)
                    try:
                        target = _target(response)
                        if target is None:
                            opened = True
                            yield _Opened(response, limits)
                            return
                    finally:
                        response.close()
                    if target.origin() != url.origin():
                        headers = {name: value for name, value in headers.items() if name.lower() in HARMLESS}
                    if response.status == 303 or (response.status in {301, 302} and method == "POST"):
                        method, body = "GET", None
                    url = target
        except TimeoutError:
            if opened and not clock.expired():
                raise  # the caller's own
            raise DoorError(f"{_host(url)} did not answer in time.") from None
        raise DoorError(f"{_host(url)} redirects too often.", refused=True)

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        """See the port."""
        async with self.open(Ask(url=url, headers={"Accept": "*/*"}), limits) as answer:
            host = _host(URL(answer.url))
            if answer.status != 200:
                raise DoorError(f"{host} answered with HTTP {answer.status}.")
            media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            media = media or "application/octet-stream"
            if limits.media and not any(_is(media, one) for one in limits.media):
                raise DoorError(f"{host} answered with {media[:100]}, which is not taken here.", refused=True)
            content = b"".join([piece async for piece in answer.pieces()])
            return Fetched(content=content, media=media, filename=_filename(answer))

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    def _check(self, url: URL) -> None:
        """Refuse an address that stands in the URL itself: no resolver is asked for it."""
        host = url.raw_host or ""
        try:
            ip_address(host.partition("%")[0])
        except ValueError:
            return
        if not self._rules.permit(host, (host,)):
            raise _refusal(url)

    async def _send(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, limits: DoorLimits
    ) -> aiohttp.ClientResponse:
        host = _host(url)
        try:
            async with asyncio.timeout(limits.first):
                return await self._pool().request(method, url, headers=headers, data=body, allow_redirects=False)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _RefusedError):
                raise _refusal(url) from None
            raise DoorError(f"{host} could not be reached.") from error
        except TimeoutError:
            raise
        except ValueError:
            raise DoorError("The URL cannot be read.", refused=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise DoorError(f"{host} did not answer as a web server does.") from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = _Resolver(self._rules, self._resolve)
            connector = aiohttp.TCPConnector(
                resolver=resolver, socket_factory=resolver.socket, use_dns_cache=False, limit=CONNECTIONS
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "gzip", "User-Agent": "antiphon"},
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(target[0]) for *_, target in found))


def _read(text: str) -> URL:
    """The URL; DoorError for one that different programs would read differently."""
    if _ODD.search(text):
        raise DoorError("The URL has spaces, control characters or backslashes in it.", refused=True)
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise DoorError("The URL cannot be read.", refused=True) from None
    if url.scheme not in {"http", "https"} or not host or not port:
        raise DoorError("Only URLs that begin with http:// or https:// and name a host are opened.", refused=True)
    if url.raw_user is not None or url.raw_password is not None or "@" in url.raw_authority:
        raise DoorError("URLs with a user or password in them are not opened.", refused=True)
    return url.with_fragment(None)


def _target(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; None: it is none."""
    place = response.headers.get("Location")
    if response.status not in _MOVED or place is None:
        return None
    try:
        joined = str(response.url.join(URL(place))) if not _ODD.search(place) else place
    except ValueError:
        joined = place
    return _read(joined)


def _host(url: URL) -> str:
    return url.host or "The host"


def _refusal(url: URL) -> DoorError:
    return DoorError(f"{_host(url)} is not an address that this server connects to.", refused=True)


def _too_large(host: str, size: int) -> DoorError:
    return DoorError(f"The answer of {host} is larger than {size} bytes.", refused=True)


def _is(media: str, wanted: str) -> bool:
    return media.startswith(wanted) if wanted.endswith("/") else media == wanted


class _Plain:
    """No compression."""

    def open(self, raw: bytes) -> Iterator[bytes]:
        """As it is."""
        yield raw

    def end(self) -> None:
        """Nothing is held."""


class _Deflated:
    """Takes the compression off, a bounded piece at a time."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def open(self, raw: bytes) -> Iterator[bytes]:
        """What comes of these bytes."""
        piece = b""
        while raw or len(piece) == PIECE:
            piece = self._stream.decompress(raw, PIECE)
            raw = self._stream.unconsumed_tail
            yield piece

    def end(self) -> None:
        """zlib.error where something is missing."""
        if not self._stream.eof:
            raise zlib.error("cut")


def _packing(encoding: str, host: str) -> _Plain | _Deflated:
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return _Plain()
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise DoorError(f"{host} answered in a compression that was not asked for.", refused=True)
    return _Deflated()


def _filename(answer: _Opened) -> str:
    """What the document is called: by its header, else by its URL."""
    header = Message()
    header["Content-Disposition"] = answer.headers.get("content-disposition", "")
    named = header.get_filename() or unquote(URL(answer.url).raw_path).rstrip("/").rpartition("/")[2]
    return _UNSAFE.sub("_", named).strip(". ")[-200:] or "file"
