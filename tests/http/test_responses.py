"""`/v1/responses`, without a stream."""

from __future__ import annotations

import asyncio

import pytest
from openai import APIStatusError, BadRequestError
from openai import NotFoundError as OpenAINotFoundError

from antiphon.wire.errors import ModelTimeoutError
from tests.http.server import DEADLINE, Parts, serving
from tests.http.stubs import StubJournal, StubRunner, ended

CREATE = {"model": "m", "input": "Hi"}
HEAD = b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


async def test_the_answer_is_the_final_response() -> None:
    async with serving() as server, server.client() as client:
        response = await client.responses.create(model="m", input="Hi", metadata={"k": "v"})
        assert response.status == "completed"
        assert response.output_text == "Hello."
        (request,) = server.parts.runner.started
        assert request.metadata == {"k": "v"}


async def test_a_run_that_failed_before_any_output_is_an_http_error() -> None:
    runner = StubRunner(ended(outcome=ModelTimeoutError("The model was silent.")))
    async with serving(Parts(runner=runner)) as server, server.client() as client:
        with pytest.raises(APIStatusError) as caught:
            await client.responses.create(model="m", input="Hi")
        assert caught.value.status_code == 504
        assert caught.value.type == "server_error"


async def test_a_client_that_goes_away_while_it_waits_abandons_its_run() -> None:
    runner = StubRunner(StubJournal())
    async with serving(Parts(runner=runner)) as server, asyncio.timeout(DEADLINE):
        _, writer = await server.connect()
        body = b'{"model": "m", "input": "Hi"}'
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        await runner.journal.waited_for.wait()
        assert not runner.journal.abandoned.is_set()
        writer.close()
        await runner.journal.abandoned.wait()
        assert (await server.ask("GET", "/health")).status == 200


async def test_a_client_that_goes_away_while_it_sends_starts_nothing() -> None:
    async with serving() as server, asyncio.timeout(DEADLINE):
        _, writer = await server.connect()
        writer.write(HEAD + b"content-length: 1000\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await server.ask("GET", "/health")).status == 200
        assert server.parts.runner.started == []


async def test_a_run_that_ended_is_not_abandoned() -> None:
    async with serving() as server:
        assert (await server.ask("POST", "/v1/responses", CREATE)).status == 200
        assert not server.parts.runner.journal.abandoned.is_set()


async def test_warnings_are_headers_and_cannot_break_them() -> None:
    runner = StubRunner(ended(warnings=("tool 'a' is not served", "evil\r\nset-cookie: x=1 é")))
    async with serving(Parts(runner=runner)) as server:
        body = b'{"model": "m", "input": "Hi"}'
        reader, writer = await server.connect()
        writer.write(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.read()).partition(b"\r\n\r\n")[0]
        assert b"x-antiphon-warning: tool 'a' is not served\r\n" in head
        assert b"x-antiphon-warning: evil  set-cookie: x=1 \\xe9\r\n" in head
        writer.close()


async def test_sources_are_shown_when_they_are_included() -> None:
    async with serving() as server:
        plain = await server.ask("GET", "/v1/responses/resp_1")
        assert plain.json["output"][0]["action"] == {"type": "search", "query": "q"}
        for query in ("include[]=", "include=", "include=message.output_text.logprobs,"):
            shown = await server.ask("GET", f"/v1/responses/resp_1?{query}web_search_call.action.sources")
            assert shown.json["output"][0]["action"]["sources"] == [{"type": "url", "url": "https://example.org"}]
        asked = await server.ask("POST", "/v1/responses", {**CREATE, "include": ["web_search_call.action.sources"]})
        assert "sources" in asked.json["output"][0]["action"]


async def test_an_unknown_include_is_400() -> None:
    async with serving() as server:
        answer = await server.ask("GET", "/v1/responses/resp_1?include=everything")
        assert answer.status == 400
        assert answer.error["code"] == "invalid_value"
        assert str(answer.error["param"]).startswith("include")


async def test_a_response_is_retrieved_and_deleted() -> None:
    async with serving() as server, server.client() as client:
        assert (await client.responses.retrieve("resp_1")).output_text == "Hello."
        await client.responses.delete("resp_1")
        assert (await server.ask("DELETE", "/v1/responses/resp_1")).json == {
            "id": "resp_1",
            "object": "response",
            "deleted": True,
        }


async def test_a_stored_foreground_response_cannot_be_streamed_again() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(BadRequestError) as caught:
            await client.responses.retrieve("resp_1", stream=True)
        assert caught.value.param == "stream"
        answer = await server.ask("GET", "/v1/responses/resp_1?stream=false&include_obfuscation=false")
        assert answer.status == 200


async def test_an_unknown_response_is_404_and_an_id_of_another_kind_400() -> None:
    async with serving() as server, server.client() as client:
        with pytest.raises(OpenAINotFoundError, match="Response with id 'resp_x' not found"):
            await client.responses.retrieve("resp_x")
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")):
            assert (await server.ask(method, f"/v1/responses/resp_x{path}")).status == 404
            wrong = await server.ask(method, f"/v1/responses/msg_1{path}")
            assert wrong.status == 400
            assert wrong.error["param"] == "response_id"


async def test_cancel_is_the_runners() -> None:
    async with serving() as server, server.client() as client:
        assert (await client.responses.cancel("resp_1")).status == "completed"


async def test_input_items_are_paged() -> None:
    async with serving() as server, server.client() as client:
        page = await client.responses.input_items.list("resp_1", limit=1, order="asc", after="msg_9")
        assert [item.id for item in page.data] == ["msg_0"]
        assert page.has_more
        (wanted,) = server.parts.runner.pages
        assert (wanted.limit, wanted.order, wanted.after, wanted.before) == (1, "asc", "msg_9", None)
        answer = await server.ask("GET", "/v1/responses/resp_1/input_items")
        assert answer.json["object"] == "list"
        assert answer.json["first_id"] == answer.json["last_id"] == "msg_0"
        assert server.parts.runner.pages[-1].limit == 20
        assert server.parts.runner.pages[-1].order == "desc"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "integer_below_min_value"),
        ("limit=101", "integer_above_max_value"),
        ("limit=ten", "invalid_type"),
        ("limit=1.5", "invalid_type"),
        ("order=up", "invalid_value"),
    ],
)
async def test_a_page_outside_its_range_is_400(query: str, code: str) -> None:
    async with serving() as server:
        answer = await server.ask("GET", f"/v1/responses/resp_1/input_items?{query}")
        assert answer.status == 400
        assert answer.error["code"] == code
        assert answer.error["param"] == query.partition("=")[0]
