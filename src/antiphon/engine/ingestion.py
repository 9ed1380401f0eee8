"""Ingestion: files that joined a vector store are claimed under a lease, indexed, and taken up again when their process
has died.

The rows are the checkpoint (law 6): a document is indexed by whoever holds its lease, this process or another one on
the same store, and what is in the index already is not done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from antiphon.engine.indexing import Indexing, LostError
from antiphon.engine.sweep import Sweep
from antiphon.ports.clock import Clock
from antiphon.ports.index import Document
from antiphon.ports.vector_stores import ClaimedFile, Ingested, VectorStores
from antiphon.wire.errors import StoreError
from antiphon.wire.vector_stores import LastError

LOGGER: Final = logging.getLogger(__name__)

SEARCH: Final = 2.0
"""Seconds between looks for documents that nobody ingests."""
LOOKS: Final = 3
"""Signs of life within one lease."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What ingestion may take; all have a setting."""

    documents: int = 4
    """Documents at once in this process; the rest wait."""
    documents_project: int = 2
    """Documents of one project at once, over all processes."""
    lease: float = 10.0
    """Seconds for which a process holds a document without a sign of life."""
    recoveries: int = 5
    """How often a document is taken up again after its process died; then it fails."""


class _Live(msgspec.Struct):
    """A document that this process holds, `until` then."""

    claim: ClaimedFile
    until: float
    task: asyncio.Task[None] | None = None
    lost: bool = False

    @property
    def document(self) -> Document:
        """Where its chunks belong."""
        file = self.claim.file
        return Document(
            project=self.claim.project, store_id=file.vector_store_id, id=self.claim.document, file_id=file.id
        )

    def lose(self) -> None:
        """It is no longer ours or no longer wanted."""
        self.lost = True
        if self.task is not None:
            self.task.cancel()


class Ingestion:
    """The documents that this process ingests."""

    def __init__(self, *, rows: VectorStores, indexing: Indexing, sweep: Sweep, clock: Clock, bounds: Bounds) -> None:
        self._rows = rows
        self._indexing = indexing
        self._sweep = sweep
        self._clock = clock
        self._bounds = bounds
        self._owner = clock.id("proc_")
        self._live: dict[str, _Live] = {}
        self._wanted = asyncio.Event()
        self._doubted = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """Look for documents from now on, and keep the leases of those that are held."""
        self._serving = asyncio.ensure_future(self._serve())
        self._keeping = asyncio.ensure_future(self._keep())

    def wake(self) -> None:
        """There may be a document to claim: whoever attaches files says so."""
        self._wanted.set()

    def doubt(self) -> None:
        """Some document may no longer be wanted: whoever cancels, detaches or deletes says so, and its work stops at
        once instead of at the next renewal."""
        self._doubted.set()

    async def close(self) -> None:
        """Let go of every document as it stands: the next process goes on at once."""
        self._closed = True
        self.wake()
        if self._serving is not None:
            await asyncio.wait([self._serving])  # what is being claimed is ours to give back
        lives = list(self._live.values())
        tasks = [task for task in (self._keeping, *(live.task for live in lives)) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if lives:
            try:
                await self._rows.renew_files(self._owner, _fenced(lives), 0)
            except StoreError as error:
                LOGGER.warning("the leases of %d files were not given back: %s", len(lives), error.message)

    # claiming

    async def _serve(self) -> None:
        while not self._closed:
            self._wanted.clear()
            try:
                await self._claim()
            except StoreError as error:
                LOGGER.warning("files to ingest could not be looked for: %s", error.message)
            except Exception:  # a row of a newer version, say: it must not end the search
                LOGGER.exception("files to ingest could not be claimed")
            if self._closed:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(SEARCH):
                    await self._wanted.wait()

    async def _claim(self) -> None:
        room = self._bounds.documents - len(self._live)
        if room <= 0:
            return
        now = self._clock.now()
        until = now + self._bounds.lease
        for claim in await self._rows.claim_files(self._owner, now, until, room, self._bounds.documents_project):
            former = self._live.get(claim.document)
            if former is not None:  # this process was suspended for longer than its lease, and has claimed its own
                former.lose()
            live = self._live[claim.document] = _Live(claim, until)
            live.task = asyncio.ensure_future(self._go(live, former.task if former is not None else None))

    # keeping

    async def _keep(self) -> None:
        """Give a sign of life for everything that is held, and stop what is not wanted any more."""
        while True:
            self._doubted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._bounds.lease / LOOKS):
                    await self._doubted.wait()
            try:
                await self._renew(list(self._live.values()))
            except StoreError as error:
                LOGGER.warning("the leases of files were not renewed: %s", error.message)

    async def _renew(self, lives: Sequence[_Live]) -> None:
        if not lives:
            return
        until = self._clock.now() + self._bounds.lease
        ours = set(await self._rows.renew_files(self._owner, _fenced(lives), until))
        for live in lives:
            if live.claim.document in ours:
                live.until = until
            else:
                live.lose()

    async def _hold(self, live: _Live) -> None:
        """Before something is written: a process that was suspended finds its lease passed, and asks."""
        if self._clock.now() >= live.until:
            await self._renew([live])
        if live.lost:
            await asyncio.sleep(0)  # here its cancellation arrives

    # one document

    async def _go(self, live: _Live, former: asyncio.Task[None] | None) -> None:
        try:
            if former is not None:
                await asyncio.wait([former])
            await self._ingest(live)
        except StoreError as error:  # it stays in progress, and is taken up again when the lease has passed
            LOGGER.warning("the end of file %s was not stored: %s", live.claim.file.id, error.message)
        finally:
            if self._live.get(live.claim.document) is live:
                del self._live[live.claim.document]
            self.wake()

    async def _ingest(self, live: _Live) -> None:
        try:
            ended = await self._ended(live)
            if await self._rows.finish_file(ended):
                if ended.last_error is None:
                    return
                _say(live.claim, ended.last_error)
        except LostError:
            pass
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not live.lost or task is None or task.uncancel():  # the process ends
                raise
        await self._sweep.collect([live.document])

    async def _ended(self, live: _Live) -> Ingested:
        claim = live.claim
        try:
            outcome = await self._outcome(live)
        except LostError:
            raise
        except Exception:  # a fault of ours in one document ends that document
            LOGGER.exception("file %s could not be ingested", claim.file.id)
            outcome = LastError(code="server_error", message="The file could not be ingested.")
        if isinstance(outcome, Ingested):
            return outcome
        return Ingested(document=claim.document, fence=claim.fence, status="failed", last_error=outcome)

    async def _outcome(self, live: _Live) -> Ingested | LastError:
        claim = live.claim
        if claim.recoveries > self._bounds.recoveries:
            words = f"The ingestion was interrupted {claim.recoveries} times and is not tried again."
            return LastError(code="server_error", message=words)
        return await self._indexing.index(claim, live.document, lambda: self._hold(live))


def _say(claim: ClaimedFile, error: LastError) -> None:
    LOGGER.warning("file %s of %s failed: %s: %s", claim.file.id, claim.store.id, error.code, error.message)


def _fenced(lives: Sequence[_Live]) -> list[tuple[str, int]]:
    return [(live.claim.document, live.claim.fence) for live in lives]
