"""Files and vector stores for the tests of stores."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from antiphon.ports.files import StoredFile, StoredPart, StoredUpload
from antiphon.ports.storage import Storage
from antiphon.ports.store import PageQuery
from antiphon.ports.vector_stores import Attachment, ClaimedFile, Ingested
from antiphon.wire.files import File, Upload, UploadPart
from antiphon.wire.vector_stores import (
    ExpiresAfter,
    FileBatch,
    FileCounts,
    FileStatus,
    LastError,
    VectorStore,
    VectorStoreFile,
)
from tests.contracts.turns import DEFAULT

NOW = 1_700_000_000
LATER = NOW + 30
DAY = 86_400

OLDEST = PageQuery(order="asc")


def file(name: str, *, purpose: str = "assistants", expires: int | None = None) -> StoredFile:
    """The file `file-<name>`."""
    shown = File(id=f"file-{name}", bytes=7, created_at=NOW, expires_at=expires, filename=f"{name}.md", purpose=purpose)
    return StoredFile(file=shown, media="text/markdown")


async def save(store: Storage, *names: str, project: str = DEFAULT) -> None:
    """Save files, one after the other."""
    for name in names:
        await store.files.save_file(project, file(name))


def upload(name: str, *, until: int = NOW + 3600) -> StoredUpload:
    """The upload `upload_<name>`, pending."""
    shown = Upload(
        id=f"upload_{name}",
        bytes=7,
        created_at=NOW,
        expires_at=until,
        filename=f"{name}.md",
        purpose="assistants",
    )
    return StoredUpload(upload=shown, media="text/markdown", seconds=7200)


def part(name: str, of: str) -> StoredPart:
    """The part `part_<name>` of `upload_<of>`."""
    return StoredPart(part=UploadPart(id=f"part_{name}", created_at=NOW, upload_id=f"upload_{of}"), bytes=3)


def shelf(name: str, *, days: int | None = None) -> VectorStore:
    """The store `vs_<name>`, empty."""
    return VectorStore(
        id=f"vs_{name}",
        created_at=NOW,
        name=name,
        expires_after=None if days is None else ExpiresAfter(anchor="last_active_at", days=days),
        expires_at=None if days is None else NOW + days * DAY,
        last_active_at=NOW,
        metadata={"name": name},
        embedding_model="test/embedder",
    )


def joining(name: str, store: str = "s", *, take: int = 1, **attributes: str | bool | float) -> Attachment:
    """`file-<name>` as it joins `vs_<store>` for the `take`-th time: the document `doc_<name>_<take>`."""
    given = VectorStoreFile(
        id=f"file-{name}", created_at=NOW + take, vector_store_id=f"vs_{store}", attributes=attributes
    )
    return Attachment(document=f"doc_{name}_{take}" if store == "s" else f"doc_{name}_{take}_{store}", file=given)


def pack(name: str, store: str = "s") -> FileBatch:
    """The batch `vsfb_<name>` in `vs_<store>`."""
    return FileBatch(id=f"vsfb_{name}", created_at=NOW, vector_store_id=f"vs_{store}")


async def begin(store: Storage, *names: str, project: str = DEFAULT, days: int | None = None) -> None:
    """Make `vs_s` with these files, which are saved first."""
    await save(store, *names, project=project)
    files = [joining(name) for name in names]
    if project != DEFAULT:  # the id of a document comes once only
        files = [structs.replace(one, document=f"{one.document}_{project}") for one in files]
    await store.vector_stores.create_store(project, shelf("s", days=days), files)


async def attach(
    store: Storage, *files: Attachment, to: str = "s", batch: str | None = None, now: float = NOW
) -> tuple[list[str], list[str]]:
    """Attach; the statuses that stand, and the documents that were replaced."""
    given = None if batch is None else pack(batch, to)
    found = await store.vector_stores.attach(DEFAULT, f"vs_{to}", files, given, now)
    assert found is not None
    return [one.status for one in found[0]], list(found[1])


async def claim(
    store: Storage, owner: str = "me", *, now: float = NOW, until: float = LATER, most: int = 1
) -> list[ClaimedFile]:
    """Claim what is free."""
    return await store.vector_stores.claim_files(owner, now, until, most, 100)


def ended(
    claimed: ClaimedFile, status: FileStatus = "completed", *, size: int = 0, dimension: int | None = None
) -> Ingested:
    """The end of its ingestion."""
    error = LastError(code="server_error", message="It broke.") if status == "failed" else None
    return Ingested(
        document=claimed.document,
        fence=claimed.fence,
        status=status,
        usage_bytes=size,
        last_error=error,
        dimension=dimension,
    )


async def ingest(store: Storage, *, count: int = 1, status: FileStatus = "completed", size: int = 0) -> None:
    """End the ingestion of the oldest documents."""
    claimed = await claim(store, most=count)
    assert len(claimed) == count
    for one in claimed:
        assert await store.vector_stores.finish_file(ended(one, status, size=size)) is True


async def stands(store: Storage, name: str = "s", *, now: float = NOW, project: str = DEFAULT) -> VectorStore:
    """The store as it stands."""
    found = await store.vector_stores.store(project, f"vs_{name}", now)
    assert found is not None
    return found


async def batch(store: Storage, name: str, of: str = "s") -> FileBatch:
    """The batch as it stands."""
    found = await store.vector_stores.batch(DEFAULT, f"vs_{of}", f"vsfb_{name}")
    assert found is not None
    return found


def counts(*, in_progress: int = 0, completed: int = 0, failed: int = 0, cancelled: int = 0) -> FileCounts:
    """These, and their total."""
    return FileCounts(
        in_progress=in_progress,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        total=in_progress + completed + failed + cancelled,
    )


async def members(
    store: Storage,
    page: PageQuery = OLDEST,
    *,
    status: FileStatus | None = None,
    batch: str | None = None,
    of: str = "s",
) -> list[str]:
    """The names of the files on this page."""
    own = None if batch is None else f"vsfb_{batch}"
    found, _ = await store.vector_stores.members(DEFAULT, f"vs_{of}", page, status, own)
    return names(found)


def names(found: Sequence[VectorStoreFile] | Sequence[File]) -> list[str]:
    """Without the prefix."""
    return [one.id.removeprefix("file-") for one in found]
