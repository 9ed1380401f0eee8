"""`/v1/vector_stores`: the objects, and what creates, changes and searches them (checklist A.4)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from antiphon.wire.responses import Metadata
from antiphon.wire.tools import RankingOptions

Text: TypeAlias = Annotated[str, Meta(max_length=512)]
Key: TypeAlias = Annotated[str, Meta(max_length=64)]
Attributes: TypeAlias = Annotated[dict[Key, Text | bool | int | float], Meta(max_length=16)]
"""What filters act on: at most 16 pairs."""
FileStatus: TypeAlias = Literal["in_progress", "completed", "failed", "cancelled"]

MOST_FILES: Final = 500
"""Files that one request may create a store with."""
MOST_BATCH: Final = 2000
"""Files of one batch."""


class FileCounts(Struct, frozen=True, kw_only=True):
    """Files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class ExpiresAfter(Struct, frozen=True, kw_only=True):
    """A store expires so many days after it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class VectorStore(Struct, frozen=True, kw_only=True):
    """A set of files that can be searched. `usage_bytes` counts the text and the vectors of its chunks. The last four
    are ours: what makes its vectors (None: nothing, it is searched by keywords only), and how many numbers one has
    (None: not known before the first file)."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str = ""
    description: str | None = None
    usage_bytes: int = 0
    file_counts: FileCounts = FileCounts()
    status: Literal["expired", "in_progress", "completed"] = "completed"
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int | None = None
    metadata: dict[str, str] = {}
    embedding_model: str | None = None
    embedding_dimension: int | None = None


class VectorStoreDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


class Chunking(Struct, frozen=True, kw_only=True):
    """Sizes in tokens; the overlap is at most half of a chunk."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)] = 800
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)] = 400


class AutoStrategy(Struct, frozen=True, kw_only=True, tag_field="type", tag="auto"):
    """The default sizes."""


class StaticStrategy(Struct, frozen=True, kw_only=True, tag_field="type", tag="static"):
    """These sizes."""

    static: Chunking


class ContextualOptions(Struct, frozen=True, kw_only=True):
    """What writes a line of context for each chunk: a model of ours, and the text it is asked with. `model_id` is
    another name of `model`."""

    model: str | None = None
    model_id: str | UnsetType = UNSET
    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)] = 700
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)] = 400
    context_prompt: Annotated[str, Meta(max_length=65_536)] | None = None


class ContextualStrategy(Struct, frozen=True, kw_only=True, tag_field="type", tag="contextual"):
    """Our extension: as `static`, with a line of context in front of each chunk that a model writes."""

    contextual: ContextualOptions = ContextualOptions()


class OtherStrategy(Struct, frozen=True, kw_only=True, tag_field="type", tag="other"):
    """It is not known how the file was cut."""


GivenStrategy: TypeAlias = AutoStrategy | StaticStrategy | ContextualStrategy
Strategy: TypeAlias = StaticStrategy | ContextualStrategy | OtherStrategy


class LastError(Struct, frozen=True, kw_only=True):
    """Why a file failed."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class VectorStoreFile(Struct, frozen=True, kw_only=True):
    """A file in a store; `id` is that of the file."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int = 0
    created_at: int
    vector_store_id: str
    status: FileStatus = "in_progress"
    last_error: LastError | None = None
    chunking_strategy: Strategy = StaticStrategy(static=Chunking())
    attributes: dict[str, str | bool | int | float] = {}


class VectorStoreFileDeleted(Struct, frozen=True, kw_only=True):
    """The answer to DELETE: the file has left the store."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class FileBatch(Struct, frozen=True, kw_only=True):
    """Files that were added together."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: FileStatus = "in_progress"
    file_counts: FileCounts = FileCounts()


class TextContent(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A piece of text."""

    text: str


class FileContentPage(Struct, frozen=True, kw_only=True):
    """The chunks of a file, in order."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: tuple[TextContent, ...]
    has_more: bool = False
    next_page: str | None = None


class SearchResult(Struct, frozen=True, kw_only=True):
    """A hit: `score` from 0 to 1 (docs/retrieval.md says what it means)."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | bool | int | float] = {}
    content: tuple[TextContent, ...]


class SearchPage(Struct, frozen=True, kw_only=True):
    """The hits, best first; `search_query` is what was searched for."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: tuple[str, ...]
    data: tuple[SearchResult, ...]
    has_more: bool = False
    next_page: str | None = None


class VectorStorePage(Struct, frozen=True, kw_only=True):
    """A page of stores."""

    object: Literal["list"] = "list"
    data: tuple[VectorStore, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VectorStoreFilePage(Struct, frozen=True, kw_only=True):
    """A page of the files in a store."""

    object: Literal["list"] = "list"
    data: tuple[VectorStoreFile, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


# what clients send


class CreateVectorStore(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores. The last three are extensions: the first two are honoured, `provider_id`
    means nothing here."""

    name: Annotated[str, Meta(max_length=256)] | None = None
    description: Annotated[str, Meta(max_length=512)] | None = None
    file_ids: Annotated[tuple[str, ...], Meta(max_length=MOST_FILES)] = ()
    chunking_strategy: GivenStrategy = AutoStrategy()
    expires_after: ExpiresAfter | None = None
    metadata: Metadata = {}
    embedding_model: str | None = None
    embedding_dimension: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    provider_id: str | None = None


class UpdateVectorStore(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores/{id}. What is absent stays as it is; null empties it."""

    name: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class AttachFile(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores/{id}/files, and an element of a batch's `files`. `embedding_model` is sent by
    clients of other servers and means nothing here: that of the store counts."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: GivenStrategy = AutoStrategy()
    embedding_model: str | None = None


class UpdateAttributes(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores/{id}/files/{file_id}; null empties them."""

    attributes: Attributes | None


class CreateFileBatch(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores/{id}/file_batches: `file_ids` (all with the same attributes and strategy), or
    `files`. `embedding_model` as of `AttachFile`."""

    file_ids: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MOST_BATCH)] | None = None
    files: Annotated[tuple[AttachFile, ...], Meta(min_length=1, max_length=MOST_BATCH)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: GivenStrategy = AutoStrategy()
    embedding_model: str | None = None


class SearchVectorStore(Struct, frozen=True, kw_only=True):
    """The body of POST /v1/vector_stores/{id}/search. `search_mode` is ours."""

    query: str | tuple[str, ...]
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False
    search_mode: Literal["vector", "keyword", "hybrid"] | None = None
