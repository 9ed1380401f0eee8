"""Whole runs: recorded against a live upstream and replayed without it; exported out of the store and run again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from antiphon.cli.exporting import export, rerun
from antiphon.replay.exchange import RecordingError
from antiphon.replay.runs import script
from antiphon.replay.runs.steps import UntoldError
from tests.replay.living import FINAL, WEATHER, Living, calling, last, living, settings_of
from tests.upstream import DONE, Reply, Upstream, chunk, refusal, running, speech, sse, usage
from tests.whole.house import Json, fast, whole
from tests.whole.library import Library

DEADLINE = 60.0
POINT = ("lab__get_boiling_point", {"liquid": "myawesomeliquid"})
FIRST = (calling(("file_search", {"query": "harbour"})), calling(POINT), speech("It opens ", "at ", "seven."))
SECOND = (calling(("web_search", {"query": "lamp"})), calling(("weather", {"city": "Rome"}), say="Let me see."))


def given_back(events: Sequence[Json], output: str = "sunny") -> list[Json]:
    """What the client gives back for the last call."""
    call = last(events)["output"][-1]
    return [{"type": "function_call_output", "call_id": call["call_id"], "output": output}]


async def turns(desk: Living, **last_turn: Any) -> list[list[Json]]:
    """Two turns with every kind of tool; the events of their three responses."""
    first = await desk.told(*FIRST, input="When does it open?")
    second = await desk.told(*SECOND, input="And the weather?", previous_response_id=last(first)["id"])
    asked = {"input": given_back(second), "previous_response_id": last(second)["id"], **last_turn}
    return [first, second, await desk.told(FINAL, **asked)]


class Again(Living):
    """The same client before a server that replays: nobody is told what to answer."""

    async def told(self, *replies: Reply, **body: Any) -> list[Json]:
        del replies
        return await super().told(**body)

    async def shelve(self) -> None:
        """Make the store again; it gets the same id, for ids come out of the seed."""
        made = await Library(self.served, self.data).store("The harbour opens at seven.")
        assert made.id == self.tools[0]["vector_store_ids"][0]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


async def test_a_run_recorded_against_a_live_upstream_replays_without_it_event_for_event(tmp_path: Path) -> None:
    folder = tmp_path / "cassette"
    (tmp_path / "then").mkdir()
    (tmp_path / "now").mkdir()
    async with asyncio.timeout(DEADLINE):
        async with living(tmp_path / "then", cassette={"record": folder, "seed": 7}) as desk:
            then = await turns(desk)
            kinds = [item["type"] for events in then for item in last(events)["output"]]
            gone, tools = desk.upstream.url, desk.tools
        assert {"file_search_call", "mcp_list_tools", "mcp_call", "web_search_call", "function_call"} <= {*kinds}
        settings: Json = {"models": [{"name": "test", "base_url": gone}], "egress": {"allow": ["127.0.0.1"]}}
        async with whole(tmp_path / "now", cassette={"replay": folder, "seed": 7}, **settings) as served:
            # the client does again what it did: it uploads its file, makes its store, and asks
            again = Again(served, Upstream(), tmp_path / "now", tools)
            await again.shelve()
            now = await turns(again)
            report = served.composition.report()
    assert report is not None
    assert report.misses == ()
    for one, other in zip(then, now, strict=True):
        assert other == one


async def test_an_exported_chain_runs_again_with_the_same_events_and_ids(tmp_path: Path, kept: Path) -> None:
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with living(kept) as desk:
            events = await turns(desk, background=True)
        wanted = last(events[-1])["id"]
        exported = await export(exporting(kept), {}, wanted, folder)
        assert [each.differences for each in exported] == [(), (), ()]
        assert [each.response_id for each in exported] == [last(each)["id"] for each in events]
        again = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
    assert [(each.status, each.differences) for each in again] == [("completed", ())] * 3
    # of the background response every event was stored: what runs again are these very events
    assert script.events(folder, 3) == events[-1]


def exporting(kept: Path) -> Any:
    return settings_of(kept, web_search={"kind": "tavily", "key": "tvly-not-a-real-key"})


async def test_the_requests_of_an_exported_run_are_answered_by_a_server_that_replays(
    tmp_path: Path, kept: Path
) -> None:
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with living(kept) as desk:
            then = await turns(desk)
            tools = desk.tools
        await export(exporting(kept), {}, last(then[-1])["id"], folder)
        async with whole(tmp_path / "now", cassette={"replay": folder}) as served:
            now = await turns(Again(served, Upstream(), tmp_path / "now", tools))
    outputs = [[plain(item) for item in last(events)["output"]] for events in (*then, *now)]
    assert outputs[3:] == outputs[:3]


def plain(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "id"}


async def test_a_response_in_a_conversation_is_exported_with_what_was_before_it(tmp_path: Path, kept: Path) -> None:
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with living(kept) as desk:
            _, talk = await desk.served.ask(
                "POST", "/conversations", {"items": [{"role": "user", "content": "I am Ann."}]}
            )
            await desk.told(*FIRST, input="When does it open?", conversation=talk["id"])
            events = await desk.told(speech("You are Ann."), input="Who am I?", conversation=talk["id"])
        exported = await export(exporting(kept), {}, last(events)["id"], folder)
        again = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
    assert [each.differences for each in (*exported, *again)] == [(), ()]
    held = json.loads((folder / script.SCRIPT).read_text())["before"]
    assert "I am Ann." in json.dumps(held[0])
    assert any(line.get("exchange") for line in held)


REASONED = Reply(
    [
        sse(chunk(role="assistant", content="", reasoning_content="It rains ")),
        *(sse(chunk(reasoning_content=text)) for text in ("in ", "autumn.")),
        sse(chunk(content="Take ")) + sse(chunk(content="a coat.")),
        sse(chunk(finish="stop")) + sse(usage()) + DONE,
    ]
)
CUT = Reply([sse(chunk(role="assistant", content="Once upon")) + sse(chunk(finish="length")) + sse(usage()) + DONE])
FAILED = refusal(400, {"error": {"message": "This model is tired.", "type": "invalid_request_error"}})
BREAKS = Reply([sse(chunk(role="assistant", content="Once upon a ")), sse({"error": {"message": "It broke."}})])


@pytest.mark.parametrize(
    "replies",
    [
        [REASONED],
        [CUT],
        [FAILED],
        [BREAKS],
        [calling(("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"}))],
        [calling(("file_search", {"query": "harbour"}), ("lab__get_boiling_point", {"liquid": "x"})), speech("No.")],
        [calling(("file_search", {"query": "a"})), calling(("weather", {"city": "Rome"}))],
        [calling(("web_search", {"query": "a"}), say="I look."), calling(("web_search", {"query": "b"})), CUT],
        [calling(("unknown", {})), speech("There is no such tool.")],
        [Reply([sse(chunk(finish="stop")) + sse(usage()) + DONE])],
    ],
    ids="reasoned cut failed broken functions together mixed rounds refused silent".split(),
)
async def test_whatever_a_model_did_is_told_again(tmp_path: Path, kept: Path, replies: list[Reply]) -> None:
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with living(kept) as desk:
            events = await desk.told(*replies, input="Well?", background=True)
        exported = await export(exporting(kept), {}, last(events)["id"], folder)
        again = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
    assert [each.differences for each in (*exported, *again)] == [(), ()]
    assert [each.status for each in again] == [last(events)["status"]]


async def test_what_cannot_be_told_again_is_said(tmp_path: Path, kept: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        async with running() as upstream:
            upstream.default = speech("Yes.")
            async with whole(kept, models=[fast(upstream)]) as served:
                first = await served.create(model="m", input="One")
                second = await served.create(model="m", input="Two", previous_response_id=first["id"])
                await served.ask("DELETE", f"/responses/{first['id']}")
        with pytest.raises(UntoldError, match=f"begins with {first['id']}, which is gone"):
            await export(settings_of(kept), {}, second["id"], tmp_path / "one")
        with pytest.raises(UntoldError, match="no such response"):
            await export(settings_of(kept), {}, "resp_unknown", tmp_path / "two")
        with pytest.raises(UntoldError, match="no data folder"):
            await export(settings_of(tmp_path / "nothing"), {}, second["id"], tmp_path / "three")
        (tmp_path / "four").mkdir()
        (tmp_path / "four" / "mine.txt").touch()
        with pytest.raises(RecordingError, match="is not empty"):
            await export(settings_of(kept), {}, second["id"], tmp_path / "four")


async def test_a_run_that_goes_another_way_says_where(tmp_path: Path, kept: Path) -> None:
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with running() as upstream:
            upstream.default = speech("Yes.")
            async with whole(kept, models=[fast(upstream)]) as served:
                made = await served.create(model="m", input="One", tools=[WEATHER])
        await export(settings_of(kept), {}, made["id"], folder)
        for path in folder.glob("model.stream-*"):
            path.write_text(path.read_text().replace("Yes.", "No!!"))
        (again,) = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
        assert "Yes." in again.differences[0]
        assert "No!!" in again.differences[0]
        for path in folder.glob("model.stream-*"):
            path.unlink()
        (again,) = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
        assert again.status == "failed"
        assert any("No recording of this request" in words for words in again.differences)
        (folder / script.SCRIPT).write_text("{")
        with pytest.raises(RecordingError, match=r"run\.json cannot be read"):
            await rerun(settings_of(tmp_path / "nowhere"), {}, folder)


async def test_no_secret_of_a_run_is_exported(tmp_path: Path, kept: Path) -> None:
    secret = "sk-" + "abcdefgh01234567" * 2
    folder = tmp_path / "cassette"
    async with asyncio.timeout(DEADLINE):
        async with running() as upstream:
            upstream.default = speech(f"I keep {secret} for you.")
            async with whole(kept, models=[fast(upstream)]) as served:
                made = await served.create(model="m", input=f"Keep {secret}", instructions=f"It is {secret}.")
        await export(settings_of(kept), {}, made["id"], folder)
        (again,) = await rerun(settings_of(tmp_path / "nowhere"), {}, folder)
    assert again.differences == ()
    assert not [path.name for path in folder.iterdir() if secret in path.read_text()]
