"""An HTTP endpoint that we ask: connections, timeouts, retries before the first byte, and its answer as it arrives.

Whatever goes wrong leaves here as one of the errors of `wire.errors`; nothing of aiohttp does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from antiphon.adapters.refusal import Refusal
from antiphon.adapters.sse import OversizedEventError, Splitter
from antiphon.wire.errors import AntiphonError, ModelError, ModelTimeoutError, RateLimitError

MAX_DOCUMENT: Final = 64 * 1024 * 1024
_MAX_REFUSAL: Final = 64 * 1024
_SETTLE_SECONDS: Final = 0.5
_AGAIN: Final = {502, 503}
_INPUTS: Final = {"embeddings": "input", "completions": "prompt"}
"""What the endpoints that read no messages call their input."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds."""

    connect: float = 10.0
    """Until the connection stands."""
    first_byte: float = 300.0
    """From the request to the first byte of the answer's body; a large prompt takes its time."""
    idle: float = 60.0
    """Silence between two reads."""
    models: float = 5.0
    """For the list of models, altogether."""


class Retries(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retries of failed connections, 502, 503 and short 429, always before the first byte of an answer."""

    count: int = 2
    backoff: float = 0.25
    """Seconds before the first retry; doubles each time."""
    longest_wait: float = 2.0
    """A 429 whose Retry-After (seconds) is longer goes to the client at once."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to ask. `base_url` may have a query, which every request repeats; `headers` hold the credentials,
    whose values never leave in a message."""

    name: str
    base_url: str
    headers: Mapping[str, str] = {}
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    max_connections: int = 1000


class Upstream:
    """Asks one endpoint. The session is made in the loop that asks first."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._base = URL(endpoint.base_url)
        self._session: aiohttp.ClientSession | None = None
        self._settling: dict[asyncio.Task[None], aiohttp.ClientResponse] = {}

    async def post(self, path: str, body: bytes, *, model: str) -> Answer:
        """POST the JSON body; the answer, whose status is 200. Raises what the endpoint refused."""
        refusal = msgspec.structs.replace(self.refusal(model), input=_INPUTS.get(path, "messages"))
        return await self._ask("POST", path, body, refusal)

    async def get(self, path: str) -> bytes:
        """GET the whole document within `timeouts.models` seconds; not retried."""
        refusal = self.refusal("")
        try:
            async with asyncio.timeout(self.endpoint.timeouts.models):
                answer = await self._once("GET", path, None, refusal)
                try:
                    return await answer.document()
                finally:
                    answer.close()
        except TimeoutError:
            raise self._silent() from None
        except _AgainError as failed:
            raise failed.error from failed.__cause__

    def refusal(self, model: str) -> Refusal:
        """A blank refusal of this endpoint."""
        secrets = [word for value in self.endpoint.headers.values() for word in value.split() if len(word) >= 8]
        return Refusal(self.endpoint.name, model, 200, secrets=secrets)

    async def close(self) -> None:
        """Close all connections."""
        for task, response in self._settling.items():
            task.cancel()
            response.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def settle(self, response: aiohttp.ClientResponse) -> None:
        """Read the end of an answer that is whole, so that its connection can be used again."""
        task = asyncio.create_task(_settled(response))
        self._settling[task] = response
        task.add_done_callback(self._settling.pop)

    async def _ask(self, method: str, path: str, body: bytes, refusal: Refusal) -> Answer:
        retries = self.endpoint.retries
        wait = retries.backoff
        for left in range(retries.count, -1, -1):
            try:
                return await self._once(method, path, body, refusal)
            except _AgainError as again:
                asked_wait = again.error.retry_after
                if not left or (asked_wait or 0.0) > retries.longest_wait:
                    raise again.error from again.__cause__
                await asyncio.sleep(max(wait, asked_wait or 0.0))
                wait *= 2
        raise AssertionError("the last try returns or raises")

    async def _once(self, method: str, path: str, body: bytes | None, refusal: Refusal) -> Answer:
        timeouts = self.endpoint.timeouts
        url = self._base.joinpath(*path.split("/")).with_query(self._base.query)
        deadline = asyncio.get_running_loop().time() + timeouts.first_byte
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._opened().request(method, url, data=body, allow_redirects=False)
                if response.status == 200:
                    return Answer(self, response, deadline)
                error = await self._refused(response, refusal)
        except TimeoutError as cause:  # aiohttp's connect timeout is one too
            raise self._silent() from cause
        except (aiohttp.ClientError, OSError) as cause:
            words = f"The model endpoint '{self.endpoint.name}' cannot be reached."
            raise _AgainError(ModelError(words)) from cause
        if response.status in _AGAIN or (isinstance(error, RateLimitError) and error.retry_after is not None):
            raise _AgainError(error)
        raise error

    async def _refused(self, response: aiohttp.ClientResponse, refusal: Refusal) -> AntiphonError:
        try:
            body = await response.content.read(_MAX_REFUSAL)
        except aiohttp.ClientError:
            body = b""  # the status says enough
        finally:
            response.release() if response.content.at_eof() else response.close()
        after = _seconds(response.headers.get("Retry-After"))
        return msgspec.structs.replace(refusal, status=response.status, body=body, retry_after=after).error()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            endpoint = self.endpoint
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=endpoint.max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=endpoint.timeouts.connect),
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **endpoint.headers},
            )
        return self._session

    def _silent(self) -> ModelTimeoutError:
        return ModelTimeoutError(f"The model endpoint '{self.endpoint.name}' was silent for too long.")


class Answer:
    """An answer with status 200, read as it comes. Close it in every case: an unfinished one loses its connection, and
    the endpoint sees that at once."""

    def __init__(self, upstream: Upstream, response: aiohttp.ClientResponse, deadline: float) -> None:
        self.done = False
        """Whether `[DONE]` has come."""
        self._upstream = upstream
        self._response = response
        self._splitter = Splitter()
        self._loop = asyncio.get_running_loop()
        self._limit = max(deadline - self._loop.time(), 0.0)  # of the wait for the first byte
        self._waiting_since: float | None = None
        self._alarm = self._loop.call_later(self._limit, self._check)

    @property
    def whole(self) -> bool:
        """Whether the endpoint answers with one JSON document instead of events."""
        return self._response.content_type == "application/json"

    async def payloads(self) -> list[bytes]:
        """The data of the events that the next read ends, at least one; empty at the end of the answer."""
        while not self.done:
            read = await self._read()
            try:
                found = self._splitter.feed(read) if read else self._splitter.end()
            except OversizedEventError as cause:
                raise self._broken("sent an event that is too large") from cause
            if not read:
                self.done = b"[DONE]" in found
                return found[: found.index(b"[DONE]")] if self.done else found
            if found and b"[DONE]" in found:
                self.done = True
                found = found[: found.index(b"[DONE]")]
            if found:
                return found
        return []

    async def document(self) -> bytes:
        """The whole body."""
        pieces: list[bytes] = []
        size = 0
        while read := await self._read():
            pieces.append(read)
            size += len(read)
            if size > MAX_DOCUMENT:
                raise self._broken("sent a document that is too large")
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else cut it."""
        self._alarm.cancel()
        if self.done and not self._response.content.at_eof():
            self._upstream.settle(self._response)
        else:
            self._response.close()  # nothing happens to a connection that already went back

    async def _read(self) -> bytes:
        self._waiting_since = self._loop.time()
        try:
            read = await self._response.content.readany()
        except _SilenceError:
            words = f"The model endpoint '{self._upstream.endpoint.name}' was silent for too long."
            raise ModelTimeoutError(words) from None
        except (aiohttp.ClientError, OSError) as cause:
            raise self._broken("broke off while it answered") from cause
        self._waiting_since = None
        idle = self._upstream.endpoint.timeouts.idle
        if self._limit != idle:
            self._limit = idle
            self._alarm.cancel()
            self._alarm = self._loop.call_later(idle, self._check)
        return read

    def _check(self) -> None:
        """Break the read that has waited too long. One timer per answer, so that a read costs two assignments."""
        since, now = self._waiting_since, self._loop.time()
        if since is not None and now - since >= self._limit:
            self._response.content.set_exception(_SilenceError())
            return
        due = self._limit if since is None else since + self._limit - now
        self._alarm = self._loop.call_later(due, self._check)

    def _broken(self, how: str) -> ModelError:
        return ModelError(f"The model endpoint '{self._upstream.endpoint.name}' {how}.")


class _SilenceError(Exception):
    """Nothing was read for too long."""


class _AgainError(Exception):
    """A try failed before the first byte in a way that another may not."""

    def __init__(self, error: AntiphonError) -> None:
        super().__init__(error.message)
        self.error = error


async def _settled(response: aiohttp.ClientResponse) -> None:
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
    else:
        response.release()


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a Retry-After header; dates and nonsense are not passed on."""
    if retry_after is None or not retry_after.strip().replace(".", "", 1).isdigit():
        return None
    return float(retry_after)
