"""Files and images that requests refer to, through the whole server: what the endpoint is sent, what is kept."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.native import Told
from tests.upstream import Reply, Upstream, speech
from tests.whole.house import Json, Whole, fast, whole

PDF = Path(__file__).parents[2] / "examples" / "tide-mill.pdf"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def user(*parts: Json) -> list[Json]:
    return [{"type": "message", "role": "user", "content": list(parts)}]


def sent(upstream: Upstream) -> Any:
    """The content of the last message that the endpoint was sent."""
    return upstream.exchanges[-1].json["messages"][-1]["content"]


async def file(served: Whole, name: str, content: bytes) -> str:
    return (await served.client.files.create(file=(name, content), purpose="user_data")).id


@pytest.fixture
async def told(upstream: Upstream) -> Upstream:
    upstream.default = speech("Hello.")
    return upstream


async def test_a_pdf_by_id_is_told_as_its_text_and_stored_as_its_id(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        pdf = await file(served, "tide-mill.pdf", PDF.read_bytes())
        asked = user({"type": "input_file", "file_id": pdf}, {"type": "input_text", "text": "What is it?"})
        response = await served.create(model="m", input=asked)
        document, question = sent(told)
        assert document["text"].startswith("File tide-mill.pdf:\n")
        assert "mill" in document["text"].lower()
        assert question == {"type": "text", "text": "What is it?"}
        _, page = await served.ask("GET", f"/responses/{response['id']}/input_items")
        assert page["data"][0]["content"][0] == {"type": "input_file", "file_id": pdf}
        # the next turn sees it again
        await served.create(model="m", input="And?", previous_response_id=response["id"])
        assert told.exchanges[-1].json["messages"][0]["content"][0] == document
        # and when it is deleted, that it is gone
        await served.client.files.delete(pdf)
        await served.create(model="m", input="And?", previous_response_id=response["id"])
        assert "not found" in told.exchanges[-1].json["messages"][0]["content"][0]["text"]
        with pytest.raises(openai.NotFoundError) as caught:
            await served.client.responses.create(model="m", input=asked)  # pyright: ignore[reportArgumentType] (JSON)
        assert caught.value.param == "input[0].content[0].file_id"


async def test_an_endpoint_that_reads_files_gets_them(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told, dialect={"files": "native"})]) as served:
        pdf = await file(served, "tide-mill.pdf", PDF.read_bytes())
        await served.create(model="m", input=user({"type": "input_file", "file_id": pdf}))
        url = f"data:application/pdf;base64,{base64.b64encode(PDF.read_bytes()).decode()}"
        assert sent(told) == [{"type": "file", "file": {"filename": "tide-mill.pdf", "file_data": url}}]


async def test_an_endpoint_that_speaks_responses_gets_them(tmp_path: Path, told: Upstream) -> None:
    told.default = Told().message("Hello.").end().reply
    async with whole(tmp_path, models=[fast(told, kind="openai_responses")]) as served:
        pdf, png = await file(served, "a.pdf", PDF.read_bytes()), await file(served, "b.png", PNG)
        parts = ({"type": "input_file", "file_id": pdf}, {"type": "input_image", "file_id": png})
        await served.create(model="m", input=user(*parts))
        document, image = told.exchanges[-1].json["input"][0]["content"]
        assert (document["filename"], document["file_data"][:28]) == ("a.pdf", "data:application/pdf;base64,")
        assert image["image_url"].startswith("data:image/png;base64,")
        assert "file_id" not in document


async def test_an_image_by_id_is_shown_and_counted(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        png = await file(served, "dot.png", PNG)
        asked = user({"type": "input_image", "file_id": png, "detail": "low"})
        response = await served.create(model="m", input=asked)
        url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        assert sent(told) == [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
        _, page = await served.ask("GET", f"/responses/{response['id']}/input_items")
        assert page["data"][0]["content"][0]["file_id"] == png
        _, counted = await served.ask("POST", "/responses/input_tokens", {"model": "m", "input": asked})
        assert counted["input_tokens"] > 85


async def test_tokens_are_those_of_the_text_of_a_file(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        text = await file(served, "long.txt", b"word " * 500)
        asked = user({"type": "input_file", "file_id": text})
        _, counted = await served.ask("POST", "/responses/input_tokens", {"model": "m", "input": asked})
        assert counted["input_tokens"] == pytest.approx(510, abs=20)
        unknown = user({"type": "input_file", "file_id": "file-none"})
        status, answer = await served.ask("POST", "/responses/input_tokens", {"model": "m", "input": unknown})
        assert (status, answer["error"]["param"]) == (404, "input[0].content[0].file_id")


async def test_a_tools_output_may_hold_files(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        text, png = await file(served, "a.md", b"# Tides"), await file(served, "b.png", PNG)
        output = [{"type": "input_file", "file_id": text}, {"type": "input_image", "file_id": png}]
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        given = {"type": "function_call_output", "call_id": "c", "output": output}
        await served.create(model="m", input=[*user({"type": "input_text", "text": "Hi"}), call, given])
        *_, tool, shown = told.exchanges[-1].json["messages"]
        assert "# Tides" in tool["content"]
        assert shown["content"][-1]["image_url"]["url"].startswith("data:image/png")
        given["output"] = [{"type": "input_file", "file_id": "file-none"}]
        status, answer = await served.ask("POST", "/responses", {"model": "m", "input": [call, given]})
        assert (status, answer["error"]["param"]) == (404, "input[1].output[0].file_id")


async def test_a_variable_of_a_prompt_may_be_a_file(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        text = await file(served, "a.md", b"# Tides")
        _, made = await served.ask("POST", "/prompts", {"prompt": "Read {{ it }}."})
        using: Json = {"id": made["id"], "variables": {"it": {"type": "input_file", "file_id": text}}}
        await served.create(model="m", input="Hi", prompt=using)
        assert "# Tides" in json.dumps(told.exchanges[-1].json["messages"])
        using["variables"]["it"]["file_id"] = "file-none"
        status, _ = await served.ask("POST", "/responses", {"model": "m", "input": "Hi", "prompt": using})
        assert status == 404


async def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, told: Upstream) -> None:
    async with whole(tmp_path, models=[fast(told)]) as served:
        broken = await file(served, "broken.pdf", b"%PDF-1.7 and nothing else")
        asked = {"model": "m", "input": user({"type": "input_file", "file_id": broken})}
        status, answer = await served.ask("POST", "/responses", asked)
        assert (status, answer["error"]["param"]) == (400, "input[0].content[0].file_id")
        assert "broken.pdf" in answer["error"]["message"]
        assert told.exchanges == []


async def test_a_file_by_url_goes_through_the_door(tmp_path: Path, told: Upstream) -> None:
    told.reply(Reply([b"# Far away"], type="text/markdown"))
    for name in ("shut", "open"):
        (tmp_path / name).mkdir()
    asked = {"model": "m", "input": user({"type": "input_file", "file_url": f"{told.url}/notes.md"})}
    async with whole(tmp_path / "shut", models=[fast(told)]) as served:
        for address in (told.url, "http://169.254.169.254/latest", "http://[::1]:1/x", "file:///etc/passwd"):
            closed = {"model": "m", "input": user({"type": "input_file", "file_url": f"{address}/notes.md"})}
            status, answer = await served.ask("POST", "/responses", closed)
            assert (status, answer["error"]["param"]) == (400, "input[0].content[0].file_url")
        assert told.exchanges == []
    async with whole(tmp_path / "open", models=[fast(told)], egress={"allow": ["127.0.0.1"]}) as served:
        await served.create(**asked)
        assert told.exchanges[0].method == "GET"
        assert "File notes.md:\\n# Far away" in json.dumps(sent(told))


async def test_a_wrong_list_of_addresses_is_said_at_the_start(tmp_path: Path, told: Upstream) -> None:
    with pytest.raises(Exception, match="no host name, address or network"):
        async with whole(tmp_path, models=[fast(told)], egress={"allow": ["10.0.0.0/99"]}):
            pass
