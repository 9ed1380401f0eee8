"""Background runs, prompts and answers in files that several processes share and that outlive them."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path

import pytest

from antiphon.adapters.sql.schema import STEPS, migrate
from antiphon.adapters.stores.sqlite import FILE
from antiphon.ports.idempotency import FirstAnswer
from antiphon.ports.runs import FenceError
from antiphon.ports.store import PageQuery
from antiphon.wire.conversations import Conversation
from tests.adapters.test_sqlite import DEADLINE, opened, rows
from tests.adapters.walker import LENGTH, made
from tests.contracts.running import LATER, NOW, answers, batch, claim, finished, progress, queue, waiting
from tests.contracts.test_completions import completion
from tests.contracts.test_prompts import prompt
from tests.contracts.turns import DEFAULT, OTHER, answered, context, entries, ids, listed, said, save, talk, turn

TABLES = (
    "response",
    "response_item",
    "item",
    "run",
    "run_request",
    "journal",
    "conversation",
    "conversation_item",
    "prompt",
    "prompt_version",
    "chat_completion",
    "idempotency",
)


def misjudged(folder: Path) -> list[tuple[str, int, int]]:
    """Items whose count of uses is not the number of lists that they are in."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        return db.execute(
            """SELECT id, uses, lists FROM (
                SELECT id, uses, (SELECT count(*) FROM response_item WHERE item_id = key)
                    + (SELECT count(*) FROM conversation_item WHERE item_id = key) AS lists FROM item
            ) WHERE uses <> lists"""
        ).fetchall()


# restarts


async def test_a_run_is_taken_up_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await queue(store, "a", "b")
        run = await claim(store)
        await store.checkpoint(DEFAULT, progress(run, batch(0, 9), (0, answers("a", 1)[0])))
        await store.cancel_run(DEFAULT, "resp_a")
    async with opened(tmp_path) as store:
        assert await store.batches(DEFAULT, "resp_a", -1) == [batch(0, 9)]
        waited = await claim(store, "you")
        assert (waited.response.id, waited.recoveries) == ("resp_b", 0)
        again = await claim(store, "you", now=LATER + 1, until=LATER + 30)
        assert (again.response.id, again.fence, again.recoveries, again.cancel) == ("resp_a", 2, 1, True)
        assert (again.state, again.last, again.request) == (b"state 9", 9, b"request a")
        assert again.output == ((0, answers("a", 1)[0]),)
        await store.finish_run(DEFAULT, progress(again, batch(10, 10)), finished(again, answers("a", 1)[0]))
    async with opened(tmp_path) as store:
        assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_0"]
        assert await store.batches(DEFAULT, "resp_a", 9) == [batch(10, 10)]


async def test_prompts_completions_and_answers_are_there_after_a_restart(tmp_path: Path) -> None:
    taken = FirstAnswer(key="k", digest=b"\x00\xff", status=200, content_type="a/b", body=b"\x00", until=NOW)
    async with opened(tmp_path) as store:
        await store.save_prompt(DEFAULT, prompt("a"))
        await store.save_prompt(DEFAULT, prompt("a", 2))
        await store.set_default_prompt(DEFAULT, "pmpt_a", "1")
        await store.save_completion(DEFAULT, completion("a", topic="x"))
        await store.begin(DEFAULT, taken, 0.0)
    async with opened(tmp_path) as store:
        assert await store.prompt(DEFAULT, "pmpt_a", None) == prompt("a")
        assert await store.completion(DEFAULT, "chatcmpl-a") == completion("a", topic="x")
        assert await store.begin(DEFAULT, taken, 0.0) == taken


async def test_a_file_of_the_first_schema_is_migrated(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        migrate(db, STEPS[:1])
        db.execute(
            """INSERT INTO response (project_id, id, created_at, status, model, body) VALUES (1, 'resp_old', 5,
            'completed', 'm', '{"id":"resp_old","created_at":5,"status":"completed","model":"m"}')"""
        )
        db.execute(
            """INSERT INTO item (project_id, id, type, created_at, uses, body) VALUES (1, 'msg_old', 'message', 5, 1,
            '{"type":"message","id":"msg_old","role":"user","content":[]}')"""
        )
        db.execute("INSERT INTO response_item VALUES (1, 1, 0, 0, 1)")
    async with opened(tmp_path) as store:
        assert (await store.responses(DEFAULT, PageQuery()))[0][0].id == "resp_old"
        assert ids(await store.chain(DEFAULT, "resp_old")) == ["msg_old"]
        await store.queue_run(DEFAULT, waiting("a", "old"))
        run = await claim(store)
        await store.finish_run(DEFAULT, progress(run, batch(0, 0)), finished(run, answered("a")))
        assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_old", "msg_a_in", "msg_a"]


async def test_nothing_of_runs_and_the_rest_stays_behind(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        conversation = await talk(store, "c", [said("1")])
        await store.fork_conversation(DEFAULT, conversation, Conversation(id="conv_f", created_at=5), None)
        for name in ("a", "b", "d"):
            await store.queue_run(DEFAULT, waiting(name, conversation=conversation))
        for name in ("a", "b"):
            run = await claim(store)
            await store.checkpoint(DEFAULT, progress(run, batch(0, 4), (0, answered(name)), (3, answered("gone"))))
            if name == "a":
                end = finished(run, answered("a"), answered("a2"), conversation=conversation)
                await store.finish_run(DEFAULT, progress(run, batch(5, 5)), end)
        assert misjudged(tmp_path) == []
        await store.save_prompt(DEFAULT, prompt("a"))
        await store.delete_prompt(DEFAULT, "pmpt_a")
        await store.save_completion(DEFAULT, completion("a"))
        await store.delete_completion(DEFAULT, "chatcmpl-a")
        await store.begin(DEFAULT, FirstAnswer(key="k", digest=b"", until=9.0), 0.0)
        assert await store.expire(10.0) == 1
        for response_id in ("resp_a", "resp_b", "resp_d"):
            await store.delete_response(DEFAULT, response_id)
        for conversation_id in (conversation, "conv_f"):
            await store.delete_conversation(DEFAULT, conversation_id)
    assert {table: rows(tmp_path, table) for table in TABLES} == dict.fromkeys(TABLES, 0)


# several stores on one file


async def test_two_stores_never_claim_the_same_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await queue(one, *(str(at) for at in range(60)))
        stores = [one, other] * 20
        found = await asyncio.gather(
            *(store.claim_runs(str(at), NOW, LATER, 2, 1000) for at, store in enumerate(stores))
        )
        claimed = [run.response.id for runs in found for run in runs]
        assert sorted(claimed) == sorted(f"resp_{at}" for at in range(60))
        assert await one.claim_runs("me", NOW, LATER, 9, 1000) == []


async def test_the_cap_of_a_project_holds_over_all_stores(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await queue(one, *(str(at) for at in range(20)))
        await queue(other, *(str(at) for at in range(20)), project=OTHER)
        claims = (store.claim_runs(str(at), NOW, LATER, 9, 4) for at, store in enumerate([one, other] * 10))
        found = await asyncio.gather(*claims)
        projects = [run.project for runs in found for run in runs]
        assert sorted(projects) == [OTHER] * 4 + [DEFAULT] * 4


async def test_a_store_that_was_paused_finds_its_run_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await queue(one, "a")
        paused = await claim(one, "one")
        await one.checkpoint(DEFAULT, progress(paused, batch(0, 4), (0, answers("a", 1)[0])))
        taken = await claim(other, "other", now=LATER + 1, until=LATER + 30)
        await other.checkpoint(DEFAULT, progress(taken, batch(5, 9)))
        with pytest.raises(FenceError):
            await one.checkpoint(DEFAULT, progress(paused, batch(5, 7), (1, answered("never"))))
        with pytest.raises(FenceError):
            await one.finish_run(DEFAULT, progress(paused, batch(5, 7)), finished(paused, answered("never")))
        end = finished(taken, *answers("a", 2))
        await other.finish_run(DEFAULT, progress(taken, batch(10, 10)), end)
        assert await one.response(DEFAULT, "resp_a") == end.response
        assert await one.batches(DEFAULT, "resp_a", -1) == [batch(0, 4), batch(5, 9), batch(10, 10)]
        assert ids(await one.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_0", "msg_a_1"]


async def test_a_cancel_asked_of_one_store_reaches_the_run_of_another(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await queue(one, "a")
        run = await claim(one)
        assert await other.cancel_run(DEFAULT, "resp_a") is True
        assert await one.checkpoint(DEFAULT, progress(run)) is True
        assert await other.delete_response(DEFAULT, "resp_a") is True
        with pytest.raises(FenceError):
            await one.checkpoint(DEFAULT, progress(run))


async def test_what_another_process_let_expire_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await save(one, turn("a"), turn("b", "a"), turn("c"))
        assert await one.chain(DEFAULT, "resp_b") is not None
        async with opened(tmp_path) as third:
            await third.queue_run(DEFAULT, waiting("d"))
            run = await claim(third)
            await third.finish_run(DEFAULT, progress(run, batch(0, 0)), finished(run, expires=5.0))
        await save(one, turn("e", "d"))
        assert ids(await one.chain(DEFAULT, "resp_e")) == ["msg_d_in", "msg_e_in", "msg_e_out"]
        assert await other.expire(10.0) == 1
        assert await one.chain(DEFAULT, "resp_e") is None
        assert await one.chain(DEFAULT, "resp_b") is not None
        await save(one, turn("f", "b"))
        assert len(await context(one, "resp_f") or ()) == 6


async def test_of_two_stores_one_takes_the_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        for at in range(20):
            wanted = [FirstAnswer(key=str(at), digest=digest, until=LATER) for digest in (b"1", b"2")]
            found = await asyncio.gather(one.begin(DEFAULT, wanted[0], NOW), other.begin(DEFAULT, wanted[1], NOW))
            assert found.count(None) == 1


async def test_a_turn_of_a_run_is_decoded_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await save(store, turn("a"))
        await store.queue_run(DEFAULT, waiting("b", "a"))
        run = await claim(store)
        await store.finish_run(DEFAULT, progress(run, batch(0, 0)), finished(run, answered("b")))
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            db.execute("UPDATE item SET body = '{' WHERE id = 'msg_b'")
            db.commit()
        assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_a_in", "msg_a_out", "msg_b_in", "msg_b"]


async def test_a_fork_copies_no_items(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        source = await talk(store, "a", entries("a", 20))
        for at in range(10):
            name = f"conv_{at}"
            await store.fork_conversation(DEFAULT, source, Conversation(id=name, created_at=5), f"msg_a_{at}")
            assert len(await listed(store, name)) == at + 1
        assert rows(tmp_path, "item") == 20
        assert misjudged(tmp_path) == []


async def test_a_large_sweep_is_many_transactions(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        commits: list[int] = []
        for at in range(300):
            await queue(store, str(at))
        for run in await store.claim_runs("me", NOW, LATER, 300, 300):
            for at in range(5):
                await store.checkpoint(DEFAULT, progress(run, batch(at, at)))
            await store.finish_run(DEFAULT, progress(run), finished(run, *answers(run.response.id, 3), expires=5.0))
        sweep = asyncio.create_task(store.expire(10.0))
        while not sweep.done():
            await store.save_completion(DEFAULT, completion(str(len(commits))))
            commits.append(rows(tmp_path, "response"))
        assert await sweep == 300
        assert len(set(commits)) > 3
    assert rows(tmp_path, "journal") == 0


# kills


async def seen(folder: Path, acknowledged: int) -> dict[str, int]:
    """The last acknowledged event of each run, of a process that was killed after so many lines; LENGTH at its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.adapters.walker", str(folder), stdout=PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(acknowledged)]
    process.kill()
    lines.extend((await process.stdout.read()).decode().splitlines(keepends=True))
    await process.wait()
    found: dict[str, int] = {}
    for line in lines:
        if line.endswith("\n"):  # the last one may be cut
            name, last = line.split()
            found[name] = LENGTH if last == "end" else int(last)
    return found


@pytest.mark.parametrize("acknowledged", [1, 30, 150, 333])
async def test_no_acknowledged_checkpoint_is_lost_by_a_kill(tmp_path: Path, acknowledged: int) -> None:
    async with asyncio.timeout(DEADLINE):
        found = await seen(tmp_path, acknowledged)
    async with opened(tmp_path) as store:
        claims = {run.response.id: run for run in await store.claim_runs("me", 10.0, 20.0, 1000, 1000)}
        for name, last in found.items():
            response_id = f"resp_{name}"
            response = await store.response(DEFAULT, response_id)
            assert response is not None
            journaled = [one.first for one in await store.batches(DEFAULT, response_id, -1) or ()]
            assert journaled == list(range(len(journaled)))
            assert len(journaled) > last
            if response.status == "completed":
                assert len(journaled) == LENGTH + 1
                assert list(response.output) == [made(name, place).item for place in range(LENGTH)]
                continue
            run = claims[response_id]
            assert run.output == tuple((place, made(name, place)) for place in range(len(journaled)))
            assert run.last == len(journaled) - 1
            await store.finish_run(DEFAULT, progress(run, batch(LENGTH, LENGTH)), finished(run))
    assert misjudged(tmp_path) == []
