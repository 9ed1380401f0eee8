"""Blobs as objects of any S3-compatible store, through `obstore` (the extra `s3`).

Law: an object appears when it is whole. A small one is one request; a larger one goes in parts while it arrives, and is
aborted when it does not arrive whole. Of a process that dies meanwhile the store keeps parts that no list shows: a
lifecycle rule of the bucket (AbortIncompleteMultipartUpload) deletes those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from antiphon.adapters.naming import place, safe, unfolded
from antiphon.adapters.parts import Parts
from antiphon.ports.blobs import Blob, NoBlobError
from antiphon.wire.errors import StoreError

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store
except ImportError as error:  # this file is imported only where it is chosen
    raise ImportError("it needs an extra that is not installed: pip install 'antiphon[s3]'") from error

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult
    from obstore.store import ClientConfig

    Sending: TypeAlias = asyncio.Future[PutResult]

LOGGER: Final = logging.getLogger(__name__)

PIECE: Final = 1024 * 1024
PART: Final = 5 * 1024 * 1024
"""Bytes of a part, the least that S3 takes; a larger file goes in parts. 10,000 of them hold 48 GB."""
PARALLEL: Final = 3
"""Parts of one file that are sent at once."""
_BATCH: Final = 1000


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of `[blobs]` with `kind = "s3"`. Without `key` and `secret`, those of the environment or the machine's
    role are used, as by all tools for S3. `endpoint`: of a store that is not Amazon's. `prefix`: in front of all names.
    `timeout`: seconds for one request, retries included."""

    bucket: str
    endpoint: str | None = None
    region: str = "us-east-1"
    key: str | None = None
    secret: str | None = None
    token: str | None = None
    prefix: str = ""
    virtual_host: bool = False
    timeout: float = 60.0


def make(config: Config, parts: Parts) -> S3Blobs:
    """The bucket."""
    del parts
    return S3Blobs(config)


class S3Blobs:
    """Blobs in one bucket, which exists."""

    def __init__(self, config: Config) -> None:
        self._prefix = config.prefix.strip("/")
        self._store = _opened(config)

    async def open(self) -> None:
        """The bucket must answer."""
        await self.check()

    async def close(self) -> None:
        """Connections close by themselves."""

    async def check(self) -> None:
        """Raise StoreError unless the bucket answers."""
        with _told("does not answer"):
            await anext(self._listed(f"{self._prefix}/-", 1), None)

    async def put(self, project: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        """Store the pieces as one object."""
        key = self._key(project, name)
        async with aclosing(_parts(pieces)) as parts:
            first = await anext(parts, b"")
            if len(first) < PART:
                sending = asyncio.ensure_future(obstore.put_async(self._store, key, first, use_multipart=False))
                await self._sent(sending, key)
                return len(first)
            feed = _Feed()
            sending = asyncio.ensure_future(
                obstore.put_async(self._store, key, feed, use_multipart=True, chunk_size=PART, max_concurrency=PARALLEL)
            )
            try:
                await feed.offer(first, sending)
                async for part in parts:
                    await feed.offer(part, sending)
                await feed.offer(None, sending)
            except BaseException:
                feed.break_off()  # which aborts the upload
                await _over(sending)
                raise
            await self._sent(sending, key)
            return feed.size

    async def join(self, project: str, name: str, parts: Sequence[str], /) -> int:
        """Read the parts and store them as one object: S3 has no other way for parts of any size."""

        async def pieces() -> AsyncGenerator[bytes]:
            for part in parts:
                async with aclosing(self.read(project, part)) as found:
                    async for piece in found:
                        yield piece

        async with aclosing(pieces()) as read:
            return await self.put(project, name, read)

    async def read(self, project: str, name: str, /, start: int = 0) -> AsyncGenerator[bytes]:
        """The bytes from `start` on."""
        key = self._key(project, name)
        with _told("did not give a file", name):
            if start and start >= (await obstore.head_async(self._store, key))["size"]:
                return  # a range behind the end is refused
            options = {"range": {"offset": start}} if start else {}
            found = await obstore.get_async(self._store, key, options=options)  # pyright: ignore[reportArgumentType] (a TypedDict, built in two ways)
            stream = aiter(found.stream(min_chunk_size=PIECE))
        while True:
            with _told("broke off while it gave a file", name):
                content = await anext(stream, None)
            if content is None:
                return
            whole = memoryview(content)
            for at in range(0, len(whole), PIECE):
                yield bytes(whole[at : at + PIECE])

    async def delete(self, project: str, name: str, /) -> bool:
        """Delete the object. S3 does not say whether there was one, so it is asked before."""
        if not safe(name):
            return False
        key = self._key(project, name)
        try:
            with _told("did not delete a file", name):
                await obstore.head_async(self._store, key)
                await obstore.delete_async(self._store, key)
        except NoBlobError:
            return False
        return True

    async def stored(self, before: float, /) -> AsyncGenerator[Sequence[Blob]]:
        """What was stored before that time."""
        listed = self._listed(self._prefix, _BATCH)
        while True:
            with _told("did not list its files"):
                batch = await anext(listed, None)
            if batch is None:
                return
            old = [self._blob(meta["path"]) for meta in batch if meta["last_modified"].timestamp() < before]
            yield [blob for blob in old if blob is not None]

    def _listed(self, prefix: str, most: int) -> AsyncIterator[Sequence[ObjectMeta]]:
        listed = obstore.list(self._store, prefix=prefix or None, chunk_size=most)  # pyright: ignore[reportUnknownMemberType] (one of its overloads has unknown types)
        return aiter(listed)

    def _key(self, project: str, name: str) -> str:
        return "/".join(part for part in (self._prefix, *place(project, name)) if part)

    def _blob(self, key: str) -> Blob | None:
        """What is kept under this key; None for what is not ours."""
        folder, _, name = key.removeprefix(f"{self._prefix}/").partition("/")
        project = unfolded(folder)
        return Blob(project, name) if project is not None and safe(name) else None

    async def _sent(self, sending: Sending, key: str) -> None:
        """Wait until the object is stored. Who is cancelled meanwhile waits as well, and then deletes it."""
        try:
            with _told("did not take a file"):
                await asyncio.shield(sending)
        except asyncio.CancelledError:
            await _over(sending)
            with suppress(StoreError, NoBlobError), _told("did not delete a file"):
                await obstore.delete_async(self._store, key)
            raise


class _BrokenOffError(Exception):
    """The rest of the parts does not come."""


class _Feed:
    """Parts on their way from who reads them to who sends them; one waits at a time. Neither is cancelled by the
    other."""

    def __init__(self) -> None:
        self.size = 0
        self._broken = False
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def offer(self, part: bytes | None, sending: Sending) -> None:
        """Hand over a part, or the end, when the last one was taken; StoreError when the sending has failed."""
        offered = asyncio.ensure_future(self._waiting.put(part))
        try:
            await asyncio.wait((offered, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            offered.cancel()
        if sending.done() and part is not None:
            with _told("did not take a file"):
                sending.result()
        self.size += len(part or b"")

    def break_off(self) -> None:
        """The parts are not whole and never will be."""
        self._broken = True
        if self._waiting.empty():
            self._waiting.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        part = await self._waiting.get()
        if self._broken:
            raise _BrokenOffError
        if part is None:
            raise StopAsyncIteration
        return part


async def _parts(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The pieces in parts of `PART` bytes, only the last one shorter."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        while len(held) >= PART:
            yield bytes(memoryview(held)[:PART])
            del held[:PART]
    if held:
        yield bytes(held)


async def _over(sending: Sending) -> None:
    """Wait for its end, whatever that is and however often the caller is cancelled."""
    while not sending.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([sending])
    if not sending.cancelled():
        sending.exception()


@contextmanager
def _told(words: str, name: str = "") -> Generator[None]:
    """What the store refuses is a StoreError; what it does not have, of a blob, NoBlobError. Its own words may hold
    keys and addresses: they go to the log."""
    try:
        yield
    except FileNotFoundError as error:
        if name:
            raise NoBlobError(name) from None
        raise _refused(words, error) from None
    except (BaseError, OSError, ValueError) as error:
        raise _refused(words, error) from None


def _refused(words: str, error: Exception) -> StoreError:
    LOGGER.warning("the bucket %s: %.500s", words, error)
    return StoreError(f"The store of files {words}.")


def _opened(config: Config) -> S3Store:
    span = timedelta(seconds=config.timeout)
    client: ClientConfig = {"timeout": span, "allow_http": (config.endpoint or "").startswith("http://")}
    given = {
        "endpoint": config.endpoint,
        "access_key_id": config.key,
        "secret_access_key": config.secret,
        "session_token": config.token,
    }
    return S3Store(
        config.bucket,
        region=config.region,
        virtual_hosted_style_request=config.virtual_host,
        client_options=client,
        retry_config={"max_retries": 5, "retry_timeout": span},
        **{name: value for name, value in given.items() if value},  # pyright: ignore[reportArgumentType] (a TypedDict, built of what is set)
    )
