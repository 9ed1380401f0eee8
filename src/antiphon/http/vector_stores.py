"""`/v1/vector_stores`: the stores, their files, batches of files, and the search."""

from __future__ import annotations

from typing import Final

from antiphon.core.filters import parse_filter
from antiphon.http.operation import Operation, Parameter
from antiphon.http.pages import PAGE, page_wanted
from antiphon.http.reply import Body, Reply, json
from antiphon.http.request import Request
from antiphon.http.tapes import refuse_later
from antiphon.ports.retrieval import Hit, RetrievalQuery
from antiphon.wire.codec import encode
from antiphon.wire.retrieval import (
    FILE_PREFIX,
    STATUSES,
    parse_attach,
    parse_attributes,
    parse_file_batch,
    parse_file_status,
    parse_search,
    parse_vector_store,
    parse_vector_store_update,
)
from antiphon.wire.vector_stores import (
    AttachFile,
    CreateFileBatch,
    CreateVectorStore,
    FileBatch,
    FileContentPage,
    SearchPage,
    SearchResult,
    SearchVectorStore,
    TextContent,
    UpdateAttributes,
    UpdateVectorStore,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreFile,
    VectorStoreFileDeleted,
    VectorStoreFilePage,
    VectorStorePage,
)

STORE: Final = "/vector_stores/{vector_store_id}"
FILE: Final = STORE + "/files/{file_id}"
BATCH: Final = STORE + "/file_batches/{batch_id}"
POLL_MS: Final = 200
"""When a client that waits for files shall ask again, milliseconds."""

_STATUS: Final = Parameter("filter", {"type": "string", "enum": list(STATUSES)}, "Only files of this status")


# stores


async def create(request: Request) -> Reply:
    """Create a vector store."""
    wanted = parse_vector_store(await request.body(), strict=request.strict)
    if wanted.file_ids:
        refuse_later("Reading files for a vector store", "file_ids")
    return json(await request.services.vector_stores.create(request.project, wanted))


async def list_stores(request: Request) -> Reply:
    """A page of the vector stores."""
    return json(await request.services.vector_stores.list(request.project, page_wanted(request.query)))


async def retrieve(request: Request) -> Reply:
    """One vector store."""
    return _polled(await request.services.vector_stores.retrieve(request.project, _store(request)))


async def update(request: Request) -> Reply:
    """Change it."""
    store_id = _store(request)
    wanted = parse_vector_store_update(await request.body(), strict=request.strict)
    return json(await request.services.vector_stores.update(request.project, store_id, wanted))


async def delete(request: Request) -> Reply:
    """Delete it."""
    return json(await request.services.vector_stores.delete(request.project, _store(request)))


async def search(request: Request) -> Reply:
    """Search it."""
    store_id = _store(request)
    wanted = parse_search(await request.body(), strict=request.strict)
    query = RetrievalQuery(
        queries=(wanted.query,) if isinstance(wanted.query, str) else wanted.query,
        store_ids=(store_id,),
        limit=wanted.max_num_results,
        filter=None if wanted.filters is None else parse_filter(wanted.filters, "filters"),
        ranking=wanted.ranking_options,
        mode=wanted.search_mode,
        rewrite=wanted.rewrite_query,
    )
    found = await request.services.retrieval.search(request.project, query)
    return json(SearchPage(search_query=found.queries, data=tuple(_result(hit) for hit in found.hits)))


def _result(hit: Hit) -> SearchResult:
    return SearchResult(
        file_id=hit.file_id,
        filename=hit.filename,
        score=hit.score,
        attributes=hit.attributes,
        content=(TextContent(text=hit.text),),
    )


# files


async def attach(request: Request) -> Reply:
    """Add a file."""
    store_id = _store(request)
    wanted = parse_attach(await request.body(), strict=request.strict)
    return json(await request.services.members.attach(request.project, store_id, wanted))


async def list_files(request: Request) -> Reply:
    """A page of the files."""
    query = request.query
    page, status = page_wanted(query), parse_file_status(query)
    return json(await request.services.members.list(request.project, _store(request), page, status))


async def retrieve_file(request: Request) -> Reply:
    """One of the files."""
    return _polled(await request.services.members.retrieve(request.project, *_file(request)))


async def update_file(request: Request) -> Reply:
    """Replace its attributes."""
    store_id, file_id = _file(request)
    wanted = parse_attributes(await request.body(), strict=request.strict)
    return json(await request.services.members.label(request.project, store_id, file_id, wanted.attributes))


async def delete_file(request: Request) -> Reply:
    """Take it out of the store."""
    return json(await request.services.members.detach(request.project, *_file(request)))


async def file_content(request: Request) -> Reply:
    """The text of its chunks."""
    return json(await request.services.members.content(request.project, *_file(request)))


# batches


async def create_batch(request: Request) -> Reply:
    """Add files together."""
    store_id = _store(request)
    wanted = parse_file_batch(await request.body(), strict=request.strict)
    return json(await request.services.members.batch(request.project, store_id, wanted))


async def retrieve_batch(request: Request) -> Reply:
    """One batch."""
    return _polled(await request.services.members.retrieve_batch(request.project, *_batch(request)))


async def cancel_batch(request: Request) -> Reply:
    """Cancel what of it is not ingested yet."""
    return json(await request.services.members.cancel_batch(request.project, *_batch(request)))


async def list_batch(request: Request) -> Reply:
    """A page of its files."""
    query = request.query
    page, status = page_wanted(query), parse_file_status(query)
    return json(await request.services.members.list_batch(request.project, *_batch(request), page, status))


# the path


def _store(request: Request) -> str:
    return request.id("vector_store_id", "vs_")


def _file(request: Request) -> tuple[str, str]:
    return _store(request), request.id("file_id", FILE_PREFIX)


def _batch(request: Request) -> tuple[str, str]:
    return _store(request), request.id("batch_id", "vsfb_")


def _polled(found: VectorStore | VectorStoreFile | FileBatch) -> Body:
    """The object; while files are in progress with the time after which the client shall look again."""
    reply = json(found)
    if found.status != "in_progress":
        return reply
    return Body(encode(found), headers=(*reply.headers, (b"openai-poll-after-ms", b"%d" % POLL_MS)))


OPERATIONS: Final = (
    Operation(
        id="createVectorStore",
        method="POST",
        path="/vector_stores",
        about="Create a vector store",
        answer=create,
        body=CreateVectorStore,
        result=VectorStore,
    ),
    Operation(
        id="listVectorStores",
        method="GET",
        path="/vector_stores",
        about="List the vector stores",
        answer=list_stores,
        result=VectorStorePage,
        query=PAGE,
    ),
    Operation(
        id="getVectorStore",
        method="GET",
        path=STORE,
        about="Get a vector store",
        answer=retrieve,
        result=VectorStore,
    ),
    Operation(
        id="modifyVectorStore",
        method="POST",
        path=STORE,
        about="Change a vector store",
        answer=update,
        body=UpdateVectorStore,
        result=VectorStore,
    ),
    Operation(
        id="deleteVectorStore",
        method="DELETE",
        path=STORE,
        about="Delete a vector store; its files stay",
        answer=delete,
        result=VectorStoreDeleted,
    ),
    Operation(
        id="searchVectorStore",
        method="POST",
        path=STORE + "/search",
        about="Search a vector store",
        asks="now",
        answer=search,
        body=SearchVectorStore,
        result=SearchPage,
    ),
    Operation(
        id="createVectorStoreFile",
        method="POST",
        path=STORE + "/files",
        about="Add a file to a vector store",
        asks="later",
        answer=attach,
        body=AttachFile,
        result=VectorStoreFile,
    ),
    Operation(
        id="listVectorStoreFiles",
        method="GET",
        path=STORE + "/files",
        about="List the files of a vector store",
        answer=list_files,
        result=VectorStoreFilePage,
        query=(*PAGE, _STATUS),
    ),
    Operation(
        id="getVectorStoreFile",
        method="GET",
        path=FILE,
        about="Get a file of a vector store",
        answer=retrieve_file,
        result=VectorStoreFile,
    ),
    Operation(
        id="updateVectorStoreFileAttributes",
        method="POST",
        path=FILE,
        about="Replace the attributes of a file of a vector store",
        answer=update_file,
        body=UpdateAttributes,
        result=VectorStoreFile,
    ),
    Operation(
        id="deleteVectorStoreFile",
        method="DELETE",
        path=FILE,
        about="Take a file out of a vector store; the file stays",
        answer=delete_file,
        result=VectorStoreFileDeleted,
    ),
    Operation(
        id="retrieveVectorStoreFileContent",
        method="GET",
        path=FILE + "/content",
        about="Get the text of the chunks of a file",
        answer=file_content,
        result=FileContentPage,
    ),
    Operation(
        id="createVectorStoreFileBatch",
        method="POST",
        path=STORE + "/file_batches",
        about="Add files to a vector store together",
        asks="later",
        answer=create_batch,
        body=CreateFileBatch,
        result=FileBatch,
    ),
    Operation(
        id="getVectorStoreFileBatch",
        method="GET",
        path=BATCH,
        about="Get a batch of files",
        answer=retrieve_batch,
        result=FileBatch,
    ),
    Operation(
        id="cancelVectorStoreFileBatch",
        method="POST",
        path=BATCH + "/cancel",
        about="Cancel the files of a batch that are still in progress",
        answer=cancel_batch,
        result=FileBatch,
    ),
    Operation(
        id="listFilesInVectorStoreBatch",
        method="GET",
        path=BATCH + "/files",
        about="List the files of a batch",
        answer=list_batch,
        result=VectorStoreFilePage,
        query=(*PAGE, _STATUS),
    ),
)
