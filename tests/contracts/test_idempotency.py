"""The contract of the port `Idempotency`, kept by every kind of store."""

from __future__ import annotations

import asyncio

from msgspec import structs

from antiphon.ports.idempotency import FirstAnswer
from antiphon.ports.storage import Storage
from tests.contracts.turns import DEFAULT, OTHER

NOW = 1_700_000_000.0


def asked(key: str = "k", digest: bytes = b"\x00digest", until: float = NOW + 60) -> FirstAnswer:
    return FirstAnswer(key=key, digest=digest, until=until)


def answered(key: str = "k", digest: bytes = b"\x00digest", body: bytes = b"\x00{}") -> FirstAnswer:
    return FirstAnswer(key=key, digest=digest, status=200, content_type="application/json", body=body, until=NOW + 3600)


async def test_a_key_is_free_once(store: Storage) -> None:
    assert await store.begin(DEFAULT, asked(), NOW) is None
    assert await store.begin(DEFAULT, asked(until=NOW + 90), NOW + 1) == asked()
    assert await store.begin(DEFAULT, asked(digest=b"other"), NOW + 1) == asked()
    assert await store.begin(DEFAULT, asked("another"), NOW) is None


async def test_one_of_many_takes_the_key(store: Storage) -> None:
    found = await asyncio.gather(*(store.begin(DEFAULT, asked(digest=bytes([at])), NOW) for at in range(20)))
    assert found.count(None) == 1
    winner = found.index(None)
    assert {one.digest for one in found if one is not None} == {bytes([winner])}


async def test_the_first_answer_is_kept(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    await store.complete(DEFAULT, answered())
    await store.complete(DEFAULT, answered(body=b"second"))
    assert await store.begin(DEFAULT, asked(), NOW + 100) == answered()


async def test_a_key_is_kept_until_its_time(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    assert await store.begin(DEFAULT, asked(digest=b"other", until=NOW + 120), NOW + 60) is None
    await store.complete(DEFAULT, answered(digest=b"other"))
    assert await store.begin(DEFAULT, asked(), NOW + 3599) == answered(digest=b"other")
    assert await store.begin(DEFAULT, asked(until=NOW + 9999), NOW + 3600) is None


async def test_a_key_that_is_not_answered_may_be_kept_for_longer(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    await store.complete(DEFAULT, asked(until=NOW + 120))
    assert await store.begin(DEFAULT, asked(), NOW + 100) == asked(until=NOW + 120)
    await store.complete(DEFAULT, answered())
    assert await store.begin(DEFAULT, asked(), NOW + 100) == answered()


async def test_who_lost_the_key_keeps_no_answer_and_frees_nothing(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    await store.begin(DEFAULT, asked(digest=b"other", until=NOW + 120), NOW + 60)
    await store.complete(DEFAULT, answered())
    assert await store.begin(DEFAULT, asked(), NOW + 61) == asked(digest=b"other", until=NOW + 120)
    await store.complete(DEFAULT, answered(digest=b"other"))
    await store.forget(DEFAULT, "k")
    assert await store.begin(DEFAULT, asked(), NOW + 61) == answered(digest=b"other")


async def test_a_key_whose_request_was_not_done_is_free_again(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    await store.forget(DEFAULT, "k")
    await store.forget(DEFAULT, "unknown")
    assert await store.begin(DEFAULT, asked(digest=b"other"), NOW) is None


async def test_keys_expire(store: Storage) -> None:
    await store.begin(DEFAULT, asked("a"), NOW)
    await store.begin(DEFAULT, asked("b"), NOW)
    await store.begin(OTHER, asked("a"), NOW)
    await store.complete(DEFAULT, answered("b"))
    assert await store.expire(NOW + 59) == 0
    assert await store.expire(NOW + 60) == 2
    assert await store.begin(DEFAULT, asked("b"), NOW + 61) == answered("b")
    assert await store.expire(NOW + 3600) == 1
    assert await store.expire(NOW + 3600) == 0


async def test_a_key_is_one_projects(store: Storage) -> None:
    await store.begin(DEFAULT, asked(), NOW)
    assert await store.begin(OTHER, asked(digest=b"theirs"), NOW) is None
    await store.complete(OTHER, answered(digest=b"theirs"))
    await store.forget(OTHER, "k")
    assert await store.begin(DEFAULT, asked(), NOW) == asked()
    await store.complete(DEFAULT, structs.replace(answered(), body=b"mine"))
    found = await store.begin(OTHER, asked(), NOW)
    assert found is not None
    assert found.body == answered().body
