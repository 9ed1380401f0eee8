"""The contract of the port `Index`, kept by every kind of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.registry import adapter, kinds
from antiphon.core.chunking import Chunk
from antiphon.core.filters import Comparison, Compound
from antiphon.ports.index import DimensionError, Index, Match, Value
from antiphon.wire.errors import StoreError
from tests.contracts.searching import STORE, chunks, document, fill, hits, lookup, place, vectors
from tests.contracts.turns import DEFAULT, OTHER


@pytest.fixture(params=kinds("indexes"))
async def index(
    request: pytest.FixtureRequest, clock: SeededClock, tmp_path: Path, deadline: None
) -> AsyncGenerator[Index]:
    chosen = adapter("indexes", str(request.param))
    made: Index = chosen.make(chosen.config(), Parts(name="index", clock=clock, folder=tmp_path))
    await made.open()
    yield made
    await made.close()


# documents


async def test_a_document_is_found_from_its_publication_until_its_removal(index: Index) -> None:
    one = document("a")
    await index.add(one, chunks("the red fox"), None)
    assert await hits(index, lookup("fox")) == []
    await index.publish(one, {})
    assert await hits(index, lookup("fox")) == ["a/0"]
    await index.remove([one])
    assert await hits(index, lookup("fox")) == []
    assert list(await index.content(one)) == []
    assert await index.count(one) == 0


async def test_a_removed_document_can_be_added_again(index: Index) -> None:
    one = document("a")
    for text in ("the red fox", "the blue whale"):
        await fill(index, one, [text])
        assert [chunk.text for chunk in await index.content(one)] == [text]
        await index.remove([one])
    await fill(index, one, ["a green frog"])
    assert await hits(index, lookup("fox whale frog")) == ["a/0"]


async def test_unknown_documents_and_stores_are_passed_over(index: Index) -> None:
    await index.remove([document("a"), document("b", "vs_b")])
    await index.drop(DEFAULT, STORE)
    await index.label(document("a"), {"key": 1})
    assert await index.count(document("a")) == 0
    assert list(await index.content(document("a"))) == []
    assert list(await index.search(DEFAULT, STORE, lookup("fox", (1, 0)))) == []


async def test_an_empty_document_can_be_published(index: Index) -> None:
    assert await index.publish(document("a"), {}) == 0
    assert await hits(index, lookup("fox", (1, 0))) == []


async def test_a_position_that_is_there_stays_as_it_is(index: Index) -> None:
    one = document("a")
    await index.add(one, chunks("first", "second"), vectors((1, 0), (0, 1)))
    await index.add(one, chunks("other", "other", "third"), vectors((0, 1), (1, 0), (-1, 0)))
    assert await index.count(one) == 3
    assert [chunk.text for chunk in await index.content(one)] == ["first", "second", "third"]
    await index.publish(one, {})
    assert await hits(index, lookup(vector=(1, 0))) == ["a/0", "a/1", "a/2"]
    assert await hits(index, lookup("other")) == []


async def test_an_interrupted_document_goes_on_behind_its_chunks(index: Index) -> None:
    one, texts = document("a"), [f"piece {at}" for at in range(50)]
    whole = chunks(*texts)
    for begin in range(0, 50, 20):
        assert await index.count(one) == begin
        await index.add(one, whole[begin : begin + 20], None)
    await index.publish(one, {})
    assert list(await index.content(one)) == whole


async def test_what_is_added_to_a_published_document_is_found(index: Index) -> None:
    await fill(index, document("a"), ["red fox"])
    assert await hits(index, lookup("whale")) == []
    await index.add(document("a"), chunks("red fox", "blue whale"), None)
    assert await hits(index, lookup("whale")) == ["a/1"]


async def test_chunks_are_read_back_as_they_were(index: Index) -> None:
    text = "Zürich — 日本語 😀 " * 20
    given = [
        Chunk(
            position=at, text=text[at * 10 : at * 10 + 40], start=at * 10, end=at * 10 + 40, first_page=at, last_page=2
        )
        for at in range(20)
    ]
    given += [
        Chunk(position=20, text="not where it says", start=3, end=9, context="A line.\n"),
        Chunk(position=21, text="", start=9, end=9),
        Chunk(position=22, text=text[:40], start=0, end=40),
    ]
    await index.add(document("a"), given, None)
    assert list(await index.content(document("a"))) == given


async def test_publication_tells_the_bytes_of_text_and_vectors_each_time(index: Index) -> None:
    await index.add(document("a"), chunks("four", "zwölf"), vectors((1, 0, 0), (0, 1, 0)))
    assert await index.publish(document("a"), {}) == 4 + 6 + 2 * 3 * 4
    assert await index.publish(document("a"), {"key": 1}) == 4 + 6 + 2 * 3 * 4


async def test_all_documents_are_listed_for_collection(index: Index) -> None:
    known = [document("a"), document("b", "vs_b"), document("a", project=OTHER)]
    for one in known:
        await index.add(one, chunks("text"), None)
    await fill(index, document("gone"), ["text"])
    await index.remove([document("gone")])
    listed = [one async for some in index.stored() for one in some]
    assert sorted(listed, key=repr) == sorted(known, key=repr)


async def test_a_dropped_store_is_empty_and_others_are_not(index: Index) -> None:
    for store in (STORE, "vs_b"):
        for name in "abc":
            await fill(index, document(name, store), ["red fox"])
    await index.add(document("half"), chunks("red fox"), None)
    await index.drop(DEFAULT, STORE)
    assert await hits(index, lookup("fox")) == []
    assert len(await hits(index, lookup("fox"), "vs_b")) == 3
    assert await index.count(document("half")) == 0
    await fill(index, document("new"), ["red fox"])
    assert await hits(index, lookup("fox")) == ["new/0"]


async def test_half_a_character_is_refused(index: Index) -> None:
    with pytest.raises(StoreError):
        await index.add(document("a"), chunks("whole", "half \ud83d"), None)
    assert await index.count(document("a")) == 0
    await fill(index, document("b"), ["red fox"])
    assert await hits(index, lookup("fox \ud83d")) == ["b/0"]


# who sees what


async def test_projects_and_stores_see_their_own_only(index: Index) -> None:
    await fill(index, document("a"), ["red fox"])
    await fill(index, document("a", "vs_b"), ["red whale"])
    await fill(index, document("a", project=OTHER), ["red frog"])
    assert [match.chunk.text for match in await index.search(DEFAULT, STORE, lookup("red"))] == ["red fox"]
    assert [match.chunk.text for match in await index.search(OTHER, STORE, lookup("red"))] == ["red frog"]
    assert await hits(index, lookup("red"), "vs_b", OTHER) == []
    await index.remove([document("a", project=OTHER), document("a", "vs_c")])
    await index.drop(OTHER, "vs_b")
    assert await hits(index, lookup("fox")) == ["a/0"]
    assert await hits(index, lookup("whale"), "vs_b") == ["a/0"]


async def test_other_stores_change_no_score(index: Index) -> None:
    texts = ["red fox", "red red whale and some more words", "a fox"]
    await place(index, document("v"), [(1, 0), (0.5, 0.5)])
    await fill(index, document("a"), texts)
    before = await index.search(DEFAULT, STORE, lookup("red fox", (1, 0)))
    for project, store in ((DEFAULT, "vs_b"), (OTHER, STORE)):
        for at in range(20):
            await fill(index, document(f"x{at}", store, project), ["red fox", "fox"] * 3)
    await index.add(document("unpublished"), chunks("red fox", "fox"), None)
    after = await index.search(DEFAULT, STORE, lookup("red fox", (1, 0)))
    assert _by_place(after) == _by_place(before)


def _by_place(found: Sequence[Match]) -> dict[tuple[str, int], Match]:
    return {(match.document, match.chunk.position): match for match in found}


# vectors


async def test_vectors_are_compared_by_their_direction(index: Index) -> None:
    await place(index, document("a"), [(3, 0), (0, 0.1), (-5, 0), (1, 1)])
    found = await index.search(DEFAULT, STORE, lookup(vector=(2, 0)))
    similar = {match.chunk.position: match.similarity for match in found}
    assert similar == {
        0: pytest.approx(1, abs=1e-3),
        1: pytest.approx(0, abs=1e-3),
        2: pytest.approx(-1, abs=1e-3),
        3: pytest.approx(0.7071, abs=1e-3),
    }
    assert all(-1 <= (match.similarity or 0) <= 1 and match.relevance is None for match in found)


async def test_the_nearest_are_found(index: Index) -> None:
    points = [(1.0, at / 10) for at in range(40)]
    await place(index, document("a"), points)
    assert await hits(index, lookup(vector=(1, 0), limit=3)) == ["a/0", "a/1", "a/2"]
    assert await hits(index, lookup(vector=(0, 1), limit=2)) == ["a/39", "a/38"]


async def test_a_vector_of_another_dimension_is_refused(index: Index) -> None:
    await place(index, document("a"), [(1, 0)])
    with pytest.raises(DimensionError) as caught:
        await index.add(document("b"), chunks("text"), vectors((1, 0, 0)))
    assert (caught.value.given, caught.value.kept) == (3, 2)
    with pytest.raises(DimensionError):
        await index.search(DEFAULT, STORE, lookup("text", (1, 0, 0)))
    assert await index.count(document("b")) == 0
    await index.add(document("b", "vs_b"), chunks("text"), vectors((1, 0, 0)))


async def test_what_is_no_number_is_refused(index: Index) -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(StoreError):
            await index.add(document("a"), chunks("text"), vectors((1, bad)))
    assert await index.count(document("a")) == 0


async def test_chunks_without_vectors_are_found_by_their_words_only(index: Index) -> None:
    await fill(index, document("plain"), ["red fox"])
    assert [match.similarity for match in await index.search(DEFAULT, STORE, lookup("fox", (1, 0)))] == [None]
    await place(index, document("near"), [(1, 0)])
    assert await hits(index, lookup(vector=(1, 0))) == ["near/0"]
    found = {match.document: match for match in await index.search(DEFAULT, STORE, lookup("fox", (1, 0)))}
    assert found["doc_plain"].similarity is None
    assert found["doc_near"].relevance is None


# words


async def test_the_chunk_with_the_rare_word_is_more_relevant(index: Index) -> None:
    await fill(index, document("a"), ["common words here", "common rare here", "common words there", "other words"])
    found = await index.search(DEFAULT, STORE, lookup("common rare"))
    relevant = {match.chunk.position: match.relevance or 0 for match in found}
    assert set(relevant) == {0, 1, 2}
    assert relevant[1] > relevant[0] == pytest.approx(relevant[2])
    assert all(0 < each <= 1 for each in relevant.values())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The cities of Zürich", "zurich CITY?"),
        ("naïve café", "NAIVE cafe\u0301"),
        ("東京都の天気", "東京"),
        ("東京都の天気", "天"),
        ("Pythonで書く", "python"),
        ("สวัสดีครับ", "สวัสดี"),
        ("안녕하세요 세계", "세계"),
        ("स्वागत है", "स्वागत"),
        ("version 3.11.2 of it", "3.11"),
        ("snake_case_name", "case"),
        ("a" * 1000, "a" * 1000),
    ],
)
async def test_a_text_is_found_by_its_words_in_any_script(index: Index, text: str, question: str) -> None:
    await fill(index, document("a"), ["something else", text])
    assert await hits(index, lookup(question)) == ["a/1"]


@pytest.mark.parametrize(
    "question",
    [
        'what is "a fox',
        "fox NEAR(whale, 5)",
        "fox AND NOT whale OR",
        "(((fox",
        "fox*",
        "^fox -whale +fox",
        "text:fox {text}: fox",
        "fox'); DROP TABLE posting; --",
        "fox 🦊 🦊",
        "fox\x00 whale\ufffe",
        "fox" + " ab" * 350_000,
    ],
    ids=lambda question: str(question)[:20],
)
async def test_nothing_in_a_question_is_syntax(index: Index, question: str) -> None:
    await fill(index, document("a"), ["a red fox", "nothing of the kind"])
    assert "a/0" in await hits(index, lookup(question))


@pytest.mark.parametrize("question", ["", "🦊", "?!", '"', "\x00", " " * 100_000])
async def test_a_question_without_words_finds_nothing(index: Index, question: str) -> None:
    await fill(index, document("a"), ["a red fox 🦊"])
    assert await hits(index, lookup(question)) == []


async def test_the_line_of_context_is_searched_and_not_shown(index: Index) -> None:
    given = Chunk(position=0, text="It rose by 3 %.", start=0, end=15, context="Revenue of ACME in 2024.")
    await index.add(document("a"), [given], None)
    await index.publish(document("a"), {})
    found = await index.search(DEFAULT, STORE, lookup("acme"))
    assert [match.chunk for match in found] == [given]


async def test_a_hybrid_search_finds_the_best_of_both_kinds_with_both_scores(index: Index) -> None:
    await index.add(document("a"), chunks("red", "fox", "whale", "frog"), vectors((1, 0), (-1, 0), (0, 1), (0, -1)))
    await index.publish(document("a"), {})
    found = {
        match.chunk.position: match for match in await index.search(DEFAULT, STORE, lookup("fox", (1, 0), limit=1))
    }
    assert set(found) == {0, 1}
    assert (found[0].similarity, found[0].relevance) == (pytest.approx(1, abs=1e-3), None)
    assert found[1].similarity == pytest.approx(-1, abs=1e-3)
    assert found[1].relevance is not None


# filters


async def test_filters_apply_before_the_limit(index: Index) -> None:
    for at in range(30):
        await place(index, document(f"n{at}"), [(1, at / 100)], {"year": 2000 + at, "even": at % 2 == 0})
    wanted = Compound(
        type="and",
        filters=(Comparison(type="gte", key="year", value=2020), Comparison(type="eq", key="even", value=True)),
    )
    assert await hits(index, lookup(vector=(1, 0), limit=2, filter=wanted)) == ["n20/0", "n22/0"]
    assert (await hits(index, lookup("point", (1, 0), limit=1, filter=wanted)))[0] == "n20/0"
    assert len(await hits(index, lookup("point", limit=50, filter=wanted))) == 5


async def test_a_filter_changes_no_relevance(index: Index) -> None:
    for at in range(5):
        await fill(index, document(f"n{at}"), ["red fox", "red whale"], {"at": at})
    wanted = Comparison(type="eq", key="at", value=3)
    whole = _by_place(await index.search(DEFAULT, STORE, lookup("red fox")))
    some = _by_place(await index.search(DEFAULT, STORE, lookup("red fox", filter=wanted)))
    assert some == {place: whole[place] for place in (("doc_n3", 0), ("doc_n3", 1))}


async def test_new_attributes_act_at_once(index: Index) -> None:
    await fill(index, document("a"), ["red fox"], {"tag": "old", "gone": 1})
    old, new = (Comparison(type="eq", key="tag", value=value) for value in ("old", "new"))
    absent = Comparison(type="ne", key="gone", value=1)
    assert await hits(index, lookup("fox", filter=old)) == ["a/0"]
    assert await hits(index, lookup("fox", filter=absent)) == []
    await index.label(document("a"), {"tag": "new"})
    assert await hits(index, lookup("fox", filter=old)) == []
    assert await hits(index, lookup("fox", filter=new)) == ["a/0"]
    assert await hits(index, lookup("fox", filter=absent)) == ["a/0"]
    await index.publish(document("a"), {"tag": "old"})
    assert await hits(index, lookup("fox", filter=old)) == ["a/0"]


async def test_a_document_that_is_not_published_gets_no_label(index: Index) -> None:
    await index.add(document("a"), chunks("red fox"), None)
    await index.label(document("a"), {"tag": "new"})
    assert await hits(index, lookup("fox")) == []


async def test_attributes_keep_their_types(index: Index) -> None:
    given: dict[str, Value] = {"text": "1", "true": True, "one": 1, "float": 1.0, "large": 2**70, "": "empty"}
    await fill(index, document("a"), ["red fox"], given)
    (match,) = await index.search(DEFAULT, STORE, lookup("fox"))
    assert match.attributes == given
    assert {key: type(value) for key, value in match.attributes.items()} == {k: type(v) for k, v in given.items()}
    for key, value in (("one", True), ("true", 1), ("text", 1)):
        assert await hits(index, lookup("fox", filter=Comparison(type="eq", key=key, value=value))) == []
    for key, value in (("one", 1.0), ("float", 1), ("large", 2**70)):
        assert await hits(index, lookup("fox", filter=Comparison(type="eq", key=key, value=value))) == ["a/0"]


# all at once


async def test_everything_may_happen_at_the_same_time(index: Index) -> None:
    async def life(name: str) -> None:
        one = document(name)
        for at in range(0, 40, 10):
            await index.add(one, chunks(*[f"red {name} {at + n}" for n in range(10)], first=at), None)
        await index.publish(one, {"name": name})
        assert len(await hits(index, lookup(name, limit=50))) == 40
        await index.label(one, {"name": "other"})
        if name in "abc":
            await index.remove([one])
        assert len(await hits(index, lookup(name, limit=50))) == (0 if name in "abc" else 40)

    await asyncio.gather(
        *(life(name) for name in "abcdef"), *(index.search(DEFAULT, STORE, lookup("red")) for _ in "123")
    )
    assert len(await hits(index, lookup("red", limit=500))) == 120


async def test_a_closed_index_refuses_everything(index: Index) -> None:
    await index.check()
    await index.close()
    with pytest.raises(StoreError):
        await index.check()
    with pytest.raises(StoreError):
        await index.add(document("a"), chunks("text"), None)
    with pytest.raises(StoreError):
        await index.search(DEFAULT, STORE, lookup("fox"))
