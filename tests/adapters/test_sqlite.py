"""What only the SQLite store promises: files, processes, restarts. The rest is tests/contracts/test_store.py."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from antiphon.adapters.clock import SystemClock
from antiphon.adapters.sql.schema import STEPS, migrate
from antiphon.adapters.stores.sqlite import FILE, SqliteStore
from antiphon.ports.store import PageQuery
from antiphon.wire.errors import StoreError
from tests.contracts.turns import DEFAULT, OTHER, answered, context, ids, listed, said, save, talk, turn

DEADLINE = 30.0


@asynccontextmanager
async def opened(folder: Path, *, cache_bytes: int = 1 << 20, patience: float = 5.0) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(SystemClock(), folder, cache_bytes=cache_bytes, patience=patience)
    async with asyncio.timeout(DEADLINE):
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def rows(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / FILE)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


# restarts


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        conversation = await talk(store, "a", [said("1")])
        await save(store, turn("a"), turn("b", "a"), turn("c", conversation=conversation))
        before = await context(store, "resp_b")
    async with opened(tmp_path) as store:
        assert await store.response(DEFAULT, "resp_b") == turn("b", "a").response
        assert await context(store, "resp_b") == before
        assert await listed(store, conversation) == ["msg_1", "msg_c_in", "msg_c_out"]
        await save(store, turn("d", "b"))
        assert ids(await store.chain(DEFAULT, "resp_d"))[-2:] == ["msg_d_in", "msg_d_out"]


async def test_closing_commits_what_was_accepted(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        saves = [asyncio.create_task(store.save_response(DEFAULT, turn(str(at)))) for at in range(50)]
        await asyncio.sleep(0)
        await store.close()
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert results == [None] * 50
    assert rows(tmp_path, "response") == 50


async def test_a_store_may_be_opened_again(tmp_path: Path) -> None:
    store = SqliteStore(SystemClock(), tmp_path)
    for name in ("a", "b"):
        await store.open()
        await save(store, turn(name))
        await store.close()
    assert rows(tmp_path, "response") == 2


async def test_nothing_stays_behind_when_everything_is_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        conversation = await talk(store, "a", [said("1"), said("2")])
        await save(store, turn("a", conversation=conversation), turn("b", given=[said("1")]), turn("c", "b"))
        await store.delete_conversation_item(DEFAULT, conversation, "msg_1")
        for response_id in ("resp_b", "resp_a", "resp_c"):
            await store.delete_response(DEFAULT, response_id)
        await store.delete_conversation(DEFAULT, conversation)
    tables = ("response", "item", "response_item", "conversation", "conversation_item")
    assert [rows(tmp_path, table) for table in tables] == [0] * 5


# several stores on one file


async def test_two_stores_see_each_others_turns(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await save(one, turn("a"))
        await save(other, turn("b", "a"))
        await save(one, turn("c", "b"))
        for store in (one, other):
            assert ids(await store.chain(DEFAULT, "resp_c"))[::2] == ["msg_a_in", "msg_b_in", "msg_c_in"]
        await other.save_response(OTHER, turn("a"))
        assert await one.response(OTHER, "resp_a") == turn("a").response


async def test_a_deletion_by_another_process_is_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await save(one, turn("a"), turn("b", "a"), turn("c"))
        assert await one.chain(DEFAULT, "resp_b") is not None
        await other.delete_response(DEFAULT, "resp_a")
        assert await one.chain(DEFAULT, "resp_b") is None
        assert await one.input_items(DEFAULT, "resp_b", PageQuery()) is None
        assert await one.chain(DEFAULT, "resp_c") is not None
        await one.delete_response(DEFAULT, "resp_c")
        assert await one.chain(DEFAULT, "resp_c") is None
        assert await other.chain(DEFAULT, "resp_c") is None


async def test_changes_of_a_conversation_by_another_process_are_noticed(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        conversation = await talk(one, "a", [said("1")])
        assert await listed(one, conversation) == ["msg_1"]
        await other.append_items(DEFAULT, conversation, [said("2")])
        assert await listed(one, conversation) == ["msg_1", "msg_2"]
        await one.append_items(DEFAULT, conversation, [said("3")])
        assert await listed(one, conversation) == ["msg_1", "msg_2", "msg_3"]
        await save(other, turn("a", conversation=conversation))
        await one.append_items(DEFAULT, conversation, [said("4")])
        assert await listed(one, conversation) == ["msg_1", "msg_2", "msg_3", "msg_a_in", "msg_a_out", "msg_4"]
        await other.delete_conversation_item(DEFAULT, conversation, "msg_2")
        assert (await listed(one, conversation))[:2] == ["msg_1", "msg_3"]
        await other.delete_conversation(DEFAULT, conversation)
        assert await one.conversation_entries(DEFAULT, conversation) is None


async def test_a_lock_holds_across_processes(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        conversation = await talk(one, "a")
        assert await one.lock_conversation(DEFAULT, conversation, "one", 2e9 * 2) is True
        assert await other.lock_conversation(DEFAULT, conversation, "other", 2e9 * 2) is False


async def test_a_store_without_a_cache_says_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, cache_bytes=0) as store:
        conversation = await talk(store, "a", [said("1")])
        await save(store, turn("a"), turn("b", "a"), turn("c", conversation=conversation))
        assert ids(await store.chain(DEFAULT, "resp_b")) == ["msg_a_in", "msg_a_out", "msg_b_in", "msg_b_out"]
        assert await listed(store, conversation) == ["msg_1", "msg_c_in", "msg_c_out"]


# opening


async def test_many_stores_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    stores = [SqliteStore(SystemClock(), tmp_path / "new") for _ in range(8)]
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(save(store, turn(str(at))) for at, store in enumerate(stores)))
        await asyncio.gather(*(store.close() for store in stores))
    assert rows(tmp_path / "new", "response") == 8
    assert rows(tmp_path / "new", "project") == 1


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(StoreError, match=r"newer version of Antiphon") as refused:
        await SqliteStore(SystemClock(), tmp_path).open()
    assert str(tmp_path) not in refused.value.message


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        migrate(db)
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, (*STEPS, ("CREATE TABLE more (id)", "CREATE TABLE response (id)")))
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
        assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
        migrate(db, (*STEPS, ("CREATE TABLE more (id)",)))
        assert db.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("Dear diary, " * 1000)
    with pytest.raises(StoreError) as refused:
        await SqliteStore(SystemClock(), tmp_path).open()
    assert refused.value.message == "The store's file is not a database."


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StoreError) as refused:
        await SqliteStore(SystemClock(), tmp_path / "taken" / "folder").open()
    assert str(tmp_path) not in refused.value.message


async def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await save(store, turn("a"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


# faults


async def test_a_locked_database_refuses_and_recovers(tmp_path: Path) -> None:
    async with opened(tmp_path, patience=0.05) as store:
        await save(store, turn("a"))
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as thief:
            thief.execute("BEGIN IMMEDIATE")
            for refusal in (store.check(), save(store, turn("b")), talk(store, "b")):
                with pytest.raises(StoreError) as refused:
                    await refusal
                assert refused.value.http_status == 503
                assert refused.value.message == "The store is locked by another process."
            assert ids(await store.chain(DEFAULT, "resp_a")) == ["msg_a_in", "msg_a_out"]
            assert await store.response(DEFAULT, "resp_b") is None
            thief.execute("ROLLBACK")
        await save(store, turn("b"))
        assert await store.response(DEFAULT, "resp_b") == turn("b").response


async def child(folder: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.adapters.saver",
        str(folder),
        *arguments,
        stdout=PIPE,
        cwd=Path(__file__).parents[2],
    )


async def assert_whole(folder: Path, names: Sequence[str]) -> None:
    """Every response of these names, and the chain that ends with it, is there."""
    async with opened(folder) as store:
        for name in names:
            lane, place = name.split("-")
            previous = f"{lane}-{int(place) - 1}" if int(place) else None
            assert await store.response(DEFAULT, f"resp_{name}") == turn(name, previous).response
        last = max(names, key=lambda name: int(name.split("-")[1]))
        assert len(await store.chain(DEFAULT, f"resp_{last}") or ()) == 2 * (int(last.split("-")[1]) + 1)
        await save(store, turn("after"))


@pytest.mark.parametrize("acknowledged", [1, 40, 333])
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, acknowledged: int) -> None:
    async with asyncio.timeout(DEADLINE):
        process = await child(tmp_path)
        assert process.stdout is not None
        names = [(await process.stdout.readline()).decode().strip() for _ in range(acknowledged)]
        process.kill()
        rest = (await process.stdout.read()).decode()
        await process.wait()
    names.extend(rest.split("\n")[:-1])  # the last line may be half a name
    await assert_whole(tmp_path, names)


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        process = await child(tmp_path, str(400_000))
        told = (await process.communicate())[0].decode().split()
        lines = " ".join(told)
    assert process.returncode == 0
    names = [word for word in told if word.count("-") == 1 and word.replace("-", "").isdigit()]
    assert len(names) > 20
    assert lines.count("! The store's disk failed.") == 4
    assert str(tmp_path) not in lines
    await assert_whole(tmp_path, names)


# sizes


async def test_a_chain_takes_little_more_than_its_text(tmp_path: Path) -> None:
    turns, question, answer = 300, "What? " * 166, "This. " * 33
    text = turns * (len(question) + len(answer))
    async with opened(tmp_path) as store:
        empty = sum(path.stat().st_size for path in tmp_path.iterdir())
        largest = 0
        for at in range(turns):
            given, made = [said(f"{at}{'0' * 48}i", question)], [answered(f"{at}{'0' * 48}o", answer)]
            await save(store, turn(str(at), str(at - 1) if at else None, given=given, made=made))
            largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))
        assert largest - empty <= 3 * text
    assert (tmp_path / FILE).stat().st_size <= 3 * text


async def test_the_log_is_cut_after_a_large_item(tmp_path: Path) -> None:
    log = tmp_path / f"{FILE}-wal"
    async with opened(tmp_path) as store:
        await save(store, turn("a", given=[said("large", "x" * 8_000_000)]))
        assert await store.items(DEFAULT, ["msg_large"]) == {"msg_large": said("large", "x" * 8_000_000)}
        await save(store, turn("b"))
        await save(store, turn("c"))
        assert log.stat().st_size < 1_000_000
