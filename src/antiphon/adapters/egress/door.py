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
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from ipaddress import ip_address
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from antiphon.adapters.egress.addresses import Rules
from antiphon.adapters.egress.doorway import CONNECTIONS
from antiphon.adapters.egress.packing import PIECE, packing
from antiphon.adapters.egress.urls import ODD, host_of, read
from antiphon.ports.door import Ask, DoorError, DoorLimits, Fetched

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; OSError when it has none."""

HARMLESS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Headers that go along when another origin is asked."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]+")


class _Asking(msgspec.Struct, frozen=True):
    """A request, as it is sent."""

    url: URL
    method: str
    headers: Mapping[str, str]
    body: bytes | None


class _RefusedError(OSError):
    """The address may not be connected to."""


class _Resolver(AbstractResolver):
    """Resolves a host and gives out its addresses when all of them pass."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._listed: set[str] = set()
        """Given out because of the name that has them."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """As aiohttp asks."""
        addresses = await self._resolve(host, port)
        if not self._rules.permit(host, addresses):
            raise _RefusedError(host)
        self._listed.update(each for each in addresses if not self._rules.permit(each, (each,)))
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
        """A socket for an address that passes by itself, or that was given out."""
        family, kind, proto, _, target = info
        address = str(target[0])
        if not self._rules.permit(address, (address,)) and address not in self._listed:
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
        """As they come, decompressed; both what comes and what it becomes is counted."""
        host = host_of(self._response.url)
        unpacked = packing(self.headers.get("content-encoding", ""))
        if unpacked is None:
            raise DoorError(f"{host} answered in a compression that was not asked for.", refused=True)
        came = made = 0
        self._count(host, self._response.content_length or 0)
        try:
            async for raw in self._response.content.iter_any():
                came += len(raw)
                self._count(host, came)
                for piece in unpacked.open(raw):
                    made += len(piece)
                    self._count(host, made)
                    yield piece
                    if len(piece) == PIECE:
                        await asyncio.sleep(0)  # a little that becomes much keeps nobody waiting
            unpacked.end()
        except (aiohttp.ClientError, zlib.error, OSError) as error:
            raise DoorError(f"{host} broke off its answer.") from error

    def _count(self, host: str, size: int) -> None:
        if self._limits.size is not None and size > self._limits.size:
            raise DoorError(f"The answer of {host} is larger than {self._limits.size} bytes.", refused=True)


class HttpDoor:
    """The port over one pool of connections, made when it is first used."""

    def __init__(
        self, rules: Rules | None = None, resolve: Resolve | None = None, connections: int = CONNECTIONS
    ) -> None:
        self._connections = connections
        self._rules = rules or Rules()
        self._resolve = resolve or resolved
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self, ask: Ask, limits: DoorLimits, /) -> AsyncGenerator[_Opened]:
        """See the port."""
        asking = _Asking(read(ask.url), ask.method, ask.headers, ask.body)
        opened, clock = False, asyncio.timeout(limits.seconds)
        try:
            async with clock:
                for _ in range(limits.redirects + 1):
                    self._check(asking.url)
                    response = await self._send(asking, limits)
                    try:
                        target = _target(response)
                        if target is None:
                            opened = True
                            yield _Opened(response, limits)
                            return
                    finally:
                        response.close()
                    asking = _moved(asking, response.status, target, limits)
        except TimeoutError:
            if opened and not clock.expired():
                raise  # the caller's own
            raise DoorError(f"{host_of(asking.url)} did not answer in time.") from None
        raise DoorError(f"{host_of(asking.url)} redirects too often.", refused=True)

    async def fetch(self, url: str, limits: DoorLimits, /) -> Fetched:
        """See the port."""
        async with self.open(Ask(url=url, headers={"Accept": "*/*"}), limits) as answer:
            host = host_of(URL(answer.url))
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

    async def _send(self, asking: _Asking, limits: DoorLimits) -> aiohttp.ClientResponse:
        url, host = asking.url, host_of(asking.url)
        try:
            async with asyncio.timeout(limits.first):
                return await self._pool().request(
                    asking.method, url, headers=asking.headers, data=asking.body, allow_redirects=False
                )
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
                resolver=resolver, socket_factory=resolver.socket, use_dns_cache=False, limit=self._connections
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


def _moved(asking: _Asking, status: int, target: URL, limits: DoorLimits) -> _Asking:
    """What is asked behind a redirect. DoorError where that may not be."""
    changed = (status == 303 and asking.method != "HEAD") or (status in {301, 302} and asking.method == "POST")
    changed = changed and asking.method != "GET"
    if limits.within and (changed or not _within(asking.url, target)):
        raise DoorError(f"{host_of(asking.url)} redirects to another place, which is not followed.", refused=True)
    headers = asking.headers
    if target.origin() != asking.url.origin():
        headers = {name: value for name, value in headers.items() if name.lower() in HARMLESS}
    return _Asking(target, "GET" if changed else asking.method, headers, None if changed else asking.body)


def _within(url: URL, target: URL) -> bool:
    """Whether it is the same origin, or the same host behind TLS at the usual ports."""
    safer = (url.scheme, target.scheme) == ("http", "https") and url.is_default_port() and target.is_default_port()
    return target.origin() == url.origin() or (safer and target.raw_host == url.raw_host)


def _target(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads; None: it is none."""
    place = response.headers.get("Location")
    if response.status not in _MOVED or place is None:
        return None
    try:
        joined = str(response.url.join(URL(place))) if not ODD.search(place) else place
    except ValueError:
        joined = place
    return read(joined)


def _refusal(url: URL) -> DoorError:
    return DoorError(f"{host_of(url)} is not an address that this server connects to.", refused=True)


def _is(media: str, wanted: str) -> bool:
    return media.startswith(wanted) if wanted.endswith("/") else media == wanted


def _filename(answer: _Opened) -> str:
    """What the document is called: by its header, else by its URL."""
    header = Message()
    header["Content-Disposition"] = answer.headers.get("content-disposition", "")
    named = header.get_filename() or unquote(URL(answer.url).raw_path).rstrip("/").rpartition("/")[2]
    return _UNSAFE.sub("_", named).strip(". ")[-200:] or "file"
