"""Settings of files, vector stores and their search."""

from __future__ import annotations

from pydantic import Field

from antiphon.settings.values import Chosen, Names, Section


class BlobsChoice(Chosen):
    """What keeps the bytes of files."""

    kind: str = Field(default="folder", description="`folder` (in the data folder), `s3`, or a dotted module name.")


class Filing(Section):
    """Files that clients upload."""

    max_mb: int = Field(default=512, ge=1, le=8192, description="Largest file that `POST /v1/files` takes, MB.")
    upload_mb: int = Field(default=8192, ge=1, le=8192, description="Largest file that comes in parts, MB.")
    batch_days: float = Field(
        default=30, ge=0, description="Days after which files of purpose `batch` expire by default; 0 is never."
    )
    downloads: bool = Field(
        default=True,
        description="Whether files of purpose `assistants` and `user_data` can be downloaded; OpenAI refuses it.",
    )


class IndexChoice(Chosen):
    """What vector stores are searched in."""

    kind: str = Field(
        default="embedded", description="`embedded` (a file in the data folder), or a dotted module name."
    )


class EmbedderChoice(Chosen):
    """What makes the vectors of vector stores that name no embedding model."""

    kind: str = Field(
        default="auto",
        description="`local` (a model on this machine), `openai` (any endpoint with `/v1/embeddings`), `none` (stores "
        "are searched by keywords only), or a dotted module name. `auto` is `local` where its libraries and weights "
        "are installed, else `openai` with `OPENAI_API_KEY`, else `none`.",
    )


class RerankerChoice(Chosen):
    """What orders the hits of a search once more, and answers `/v1/rerank`; used when any of these keys is set."""

    kind: str = Field(default="http", description="`http` (any endpoint with `/v1/rerank`), or a dotted module name.")
    candidates: int = Field(
        default=50,
        ge=1,
        le=1000,
        description="Hits of a search that are ordered, or as many as the search shall give where those are more.",
    )


class Searches(Section):
    """Searches of vector stores."""

    rewrite_model: str | None = Field(
        default=None,
        description="The model that rewrites the query where a search asks for `rewrite_query`; without one, what is "
        "said around the question is dropped by rule.",
    )


class Extraction(Section):
    """What reading a document may take; it is read in a process of its own."""

    workers: int = Field(default=2, ge=1, le=100, description="Processes that read documents at once.")
    seconds: float = Field(default=60, gt=0, description="Seconds that one document may take.")
    memory_mb: int = Field(
        default=1024, ge=64, description="Memory of such a process, MB; one that needs more is ended (on Linux)."
    )
    characters: int = Field(
        default=50_000_000, ge=1, le=1_000_000_000, description="Characters that the text of a document may have."
    )
    pages: int = Field(default=10_000, ge=1, description="Pages that a PDF may have.")
    unpacked_mb: int = Field(default=256, ge=1, description="Size that a docx, pptx, xlsx or epub may unpack to, MB.")
    extractors: Names = Field(
        default=(), description="Dotted names of modules that read further kinds of documents; asked before our own."
    )


class Ingestion(Section):
    """How files of vector stores are indexed."""

    documents: int = Field(
        default=4, ge=1, le=1000, description="Files that this process ingests at once; the rest wait."
    )
    documents_project: int = Field(
        default=2, ge=1, le=1000, description="Files of one project that are ingested at once, over all processes."
    )
    lease: float = Field(
        default=10,
        ge=0.5,
        le=3600,
        description="Seconds without a sign of life after which a file passes to another process.",
    )
    recoveries: int = Field(
        default=5, ge=0, description="How often a file is taken up again after its process died; then it fails."
    )
    context_model: str | None = Field(
        default=None, description="Model that writes the lines of contextual chunking where a request names none."
    )
