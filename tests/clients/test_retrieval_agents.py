"""Agent libraries that search files: openai-agents and pydantic-ai over a store of ours, with citations and results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents import Agent, FileSearchTool, MessageOutputItem, OpenAIResponsesModel, RunConfig, Runner, ToolCallItem
from agents.result import RunResultBase
from openai.types.responses import ResponseFileSearchToolCall
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import BinaryContent, NativeToolCallPart, NativeToolReturnPart, UploadedFile
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import ModelMessage, PartStartEvent
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticModel
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.native_tools import FileSearchTool as PydanticSearch
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.desk import LAMP, MILL, MODEL, TEXTS, Desk, desk, wish
from tests.upstream import Upstream, speech
from tests.whole.house import DEADLINE, Json, fast, whole

QUIET = RunConfig(tracing_disabled=True)
SAY = f"It grinds twice a day {{{MILL}}}."
TOLD = "It grinds twice a day."
PLACE = len(TOLD) - 1


# openai-agents


def agent_of(opened: Desk, **tool: Any) -> Agent[None]:
    search = FileSearchTool(vector_store_ids=[opened.store_id], **tool)
    return Agent(name="a", tools=[search], model=OpenAIResponsesModel(MODEL, openai_client=opened.client))


def searches(result: RunResultBase) -> list[ResponseFileSearchToolCall]:
    calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
    return [call for call in calls if isinstance(call, ResponseFileSearchToolCall)]


def cited(result: RunResultBase) -> list[Json]:
    """The annotations of the last message."""
    message = [item.raw_item for item in result.new_items if isinstance(item, MessageOutputItem)][-1]
    return message.content[0].model_dump()["annotations"]


def citation(opened: Desk, name: str, place: int) -> Json:
    return {"type": "file_citation", "file_id": opened.ids[name], "filename": name, "index": place}


async def test_an_agent_searches_and_cites(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = agent_of(opened, max_num_results=1, include_search_results=True)
        result = await Runner.run(agent, wish(SAY, "when does the tide mill grind"), run_config=QUIET)
        assert result.final_output == TOLD
        (call,) = searches(result)
        assert (call.status, call.queries) == ("completed", ["when does the tide mill grind"])
        assert call.results is not None
        (hit,) = call.results
        assert (hit.file_id, hit.filename, hit.text) == (opened.ids[MILL], MILL, TEXTS[MILL][0])
        assert hit.attributes == TEXTS[MILL][1]
        assert 0 < (hit.score or 0) <= 1
        assert cited(result) == [citation(opened, MILL, PLACE)]


async def test_an_agent_filters_and_ranks(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = agent_of(
            opened,
            include_search_results=True,
            filters={
                "type": "and",
                "filters": [
                    {"type": "gte", "key": "year", "value": 1900},
                    {"type": "eq", "key": "open", "value": False},
                ],
            },
            ranking_options={"ranker": "auto", "score_threshold": 0.1},
        )
        result = await Runner.run(agent, wish("Yes.", "the tide mill and the lamp"), run_config=QUIET)
        (call,) = searches(result)
        assert [hit.filename for hit in call.results or ()] == [LAMP]


async def test_without_results_an_agent_sees_the_call_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        result = await Runner.run(agent_of(opened), wish(SAY, "tide mill"), run_config=QUIET)
        (call,) = searches(result)
        assert (call.status, call.results) == ("completed", None)


async def test_a_streamed_search_of_an_agent(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        result = Runner.run_streamed(agent_of(opened), wish(SAY, "tide mill"), run_config=QUIET)
        kinds: list[str] = []
        steps: list[str] = []
        text = ""
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                kinds.append(event.data.type)
                if event.data.type == "response.output_text.delta":
                    text += event.data.delta
            elif event.type == "run_item_stream_event":
                steps.append(event.name)
        assert (text, result.final_output) == (TOLD, TOLD)
        assert steps == ["tool_called", "message_output_created"]
        found = [kind for kind in kinds if "file_search" in kind or "annotation" in kind]
        assert found == [
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
            "response.output_text.annotation.added",
        ]
        assert cited(result) == [citation(opened, MILL, PLACE)]


async def test_the_next_turn_of_an_agent_has_the_search_in_its_history(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = agent_of(opened, include_search_results=True)
        first = await Runner.run(agent, wish(SAY, "tide mill"), run_config=QUIET)
        asked: list[Any] = [*first.to_input_list(), {"role": "user", "content": wish(f"So {{{MILL}}}{{{LAMP}}}.")}]
        second = await Runner.run(agent, asked, run_config=QUIET)
        assert (second.final_output, searches(second)) == ("So.", [])
        assert cited(second)[0] == citation(opened, MILL, 2)


async def test_a_search_goes_on_from_the_last_response(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = agent_of(opened)
        first = await Runner.run(agent, wish(SAY, "tide mill"), run_config=QUIET)
        second = await Runner.run(
            agent, wish(f"So {{{MILL}}}."), run_config=QUIET, previous_response_id=first.last_response_id
        )
        assert second.final_output == "So."
        assert cited(second) == [citation(opened, MILL, 2)]


# pydantic-ai


def pydantic_of(opened: Desk) -> PydanticAgent[object, str]:
    search = NativeTool[object](PydanticSearch(file_store_ids=[opened.store_id], max_num_results=1))
    model = PydanticModel(MODEL, provider=OpenAIProvider(openai_client=opened.client))
    settings = OpenAIResponsesModelSettings(openai_include_file_search_results=True)
    return PydanticAgent(model, capabilities=[search], model_settings=settings)


def found(messages: list[ModelMessage]) -> list[Any]:
    """What native tools of these messages returned."""
    parts = [part for message in messages for part in message.parts]
    assert len([part for part in parts if isinstance(part, NativeToolCallPart)]) == 1
    return [part.content for part in parts if isinstance(part, NativeToolReturnPart)]


async def test_pydantic_searches_and_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = pydantic_of(opened)
        first = await agent.run(wish(SAY, "tide mill"))
        assert first.output == TOLD
        (content,) = found(first.all_messages())
        assert content["status"] == "completed"
        assert [(hit["file_id"], hit["text"]) for hit in content["results"]] == [(opened.ids[MILL], TEXTS[MILL][0])]
        second = await agent.run(wish("So."), message_history=first.all_messages())
        assert second.output == "So."


async def test_pydantic_streams_a_search(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened, asyncio.timeout(DEADLINE):
        agent = pydantic_of(opened)
        begun: list[str] = []
        async with agent.iter(wish(SAY, "tide mill")) as run:
            async for node in run:
                if agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as events:
                        begun += [event.part.part_kind async for event in events if isinstance(event, PartStartEvent)]
        assert run.result is not None
        assert run.result.output == TOLD
        assert begun == ["builtin-tool-call", "builtin-tool-return", "text"]


async def test_pydantic_shows_documents(tmp_path: Path, upstream: Upstream) -> None:
    upstream.default = speech("Seen.")
    async with whole(tmp_path, models=[fast(upstream)]) as served, asyncio.timeout(DEADLINE):
        made = await served.client.files.create(file=(MILL, TEXTS[MILL][0].encode()), purpose="user_data")
        model = PydanticModel(MODEL, provider=OpenAIProvider(openai_client=served.client))
        kept = UploadedFile(made.id, provider_name="openai", media_type="text/plain")
        given = BinaryContent(TEXTS[LAMP][0].encode(), media_type="text/plain")
        result = await PydanticAgent(model).run([kept, given, "What are they?"])
        assert result.output == "Seen."
        shown = repr(upstream.exchanges[-1].json["messages"][-1]["content"])
        assert all(repr(words)[1:-1] in shown for words in (TEXTS[MILL][0], TEXTS[LAMP][0], "What are they?"))
