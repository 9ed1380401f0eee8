"""The document says what is served, and what is served is as it says."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from antiphon.adapters.clock import SystemClock
from antiphon.http.app import OPERATIONS
from antiphon.http.openapi import document
from antiphon.ports.blobs import Blob
from antiphon.wire.codec import encode
from tests.blobs import MemoryBlobs
from tests.http.forms import Part, declared, form
from tests.http.library import shelved
from tests.http.server import Answer, Parts, serving
from tests.http.stubs import StubModel
from tests.http.test_chat import COMPLETION
from tests.http.test_completions import CONTINUED
from tests.http.test_embeddings import EMBEDDED

DOCUMENT = json.loads(encode(document(OPERATIONS)))
BODIES: dict[str, Any] = {
    "createResponse": {"model": "m", "input": "Hi"},
    "compactResponse": {"model": "m", "input": "Hi"},
    "countInputTokens": {"model": "m", "input": "Hi"},
    "createChatCompletion": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "createCompletion": {"model": "m", "prompt": "Hi"},
    "createEmbedding": {"model": "m", "input": "Hi"},
    "updateChatCompletion": {"metadata": {"a": "b"}},
    "createPrompt": {"prompt": "You are {{ who }}.", "metadata": {"a": "b"}},
    "updatePrompt": {"prompt": "You are {{ who }}, aren't you?"},
    "setDefaultPrompt": {"version": "1"},
    "createConversation": {},
    "updateConversation": {"metadata": {"a": "b"}},
    "createConversationItems": {"items": [{"role": "user", "content": "Hi"}]},
    "createVectorStore": {"name": "a"},
    "modifyVectorStore": {"name": "b"},
    "searchVectorStore": {"query": "a"},
    "updateVectorStoreFileAttributes": {"attributes": {"a": 1}},
    "createFile": form(Part("file", b"x", "a.txt"), Part("purpose", b"user_data")),
    "createUpload": {"bytes": 0, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"},
    "addUploadPart": form(Part("data", b"x", "a")),
    "completeUpload": {"part_ids": []},
    "rerank": {"query": "a", "documents": ["b", "c"]},
}
ANSWERS = {"createCompletion": CONTINUED, "createEmbedding": EMBEDDED}


def described() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, methods in DOCUMENT["paths"].items() for method, one in methods.items()]


def refs(value: Any) -> set[str]:
    match value:
        case {"$ref": str(ref)}:
            return {ref}
        case dict():
            return set[str]().union(*map(refs, cast("dict[str, Any]", value).values()))
        case list():
            return set[str]().union(*map(refs, cast("list[Any]", value)))
        case _:
            return set()


def test_every_reference_leads_somewhere() -> None:
    for ref in refs(DOCUMENT):
        assert ref.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_every_schema_is_one() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name


def test_every_operation_is_complete() -> None:
    ids = [one["operationId"] for _, _, one in described()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for path, _, one in described():
        in_path = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        assert one["summary"]
        status = next(operation.status for operation in OPERATIONS if operation.id == one["operationId"])
        assert set(one["responses"]) == {str(status), "default"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)
async def test_every_operation_answers_as_described(operation: Any) -> None:
    model = StubModel([json.dumps(ANSWERS.get(operation.id, COMPLETION)).encode()])
    async with serving(Parts(model=model)) as server:
        stored = {**BODIES["createChatCompletion"], "store": True}
        completion = (await server.ask("POST", "/v1/chat/completions", stored)).json["id"]
        prompt = (await server.ask("POST", "/v1/prompts", BODIES["createPrompt"])).json["id"]
        conversation = (await server.ask("POST", "/v1/conversations", BODIES["createConversationItems"])).json["id"]
        item = (await server.ask("GET", f"/v1/conversations/{conversation}/items")).json["first_id"]
        upload = (await server.ask("POST", "/v1/uploads", BODIES["createUpload"])).json["id"]
        assert server.parts.store is not None
        shelf = await shelved(server.parts.store, SystemClock())
        assert isinstance(server.parts.blobs, MemoryBlobs)
        server.parts.blobs.held[Blob("default", shelf.file_id)] = b"x"
        path = operation.path.replace(":path", "").format(
            response_id="resp_1",
            conversation_id=conversation,
            item_id=item,
            model="org/family/model",
            completion_id=completion,
            prompt_id=prompt,
            upload_id=upload,
            **shelf._asdict(),
        )
        bodies = {**BODIES, "createVectorStoreFile": {"file_id": shelf.file_id}}
        bodies["createVectorStoreFileBatch"] = {"file_ids": [shelf.file_id]}
        headers = declared() if operation.file else None
        answer = await server.ask(operation.method, f"/v1{path}", bodies.get(operation.id), headers)
        one = DOCUMENT["paths"][operation.path.replace(":path", "")][operation.method.lower()]
        contents = one["responses"][str(operation.status)]
        media = answer.headers["content-type"].partition(";")[0]
        assert answer.status == operation.status
        assert media in contents["content"] or list(contents["content"]) == ["*/*"]
        if media == "application/json":
            assert faults(answer, contents["content"][media]["schema"]) == []


def faults(answer: Answer, schema: dict[str, Any]) -> list[str]:
    """Where the answer is not as the schema says."""
    validator: Any = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return [str(fault.message) for fault in validator.iter_errors(answer.json)]


async def test_errors_are_as_described() -> None:
    async with serving() as server:
        answer = await server.ask("GET", "/v1/responses/resp_unknown")
        assert faults(answer, {"$ref": "#/components/schemas/Error"}) == []


async def test_the_document_is_served_under_both_base_urls() -> None:
    async with serving() as server:
        for path in ("/openapi.json", "/v1/openapi.json"):
            assert (await server.ask("GET", path)).json == DOCUMENT


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    async with serving() as server:
        answer = await server.ask("GET", "/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        page = answer.body.decode()
        assert not re.findall(r"""(?:src|href)=["'](?!data:|#|openapi\.json)""", page)
        assert "http://" not in page
        assert "https://" not in page
        assert re.findall(r"fetch\(([^)]*)\)", page) == ['"openapi.json"']
