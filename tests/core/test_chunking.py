"""Chunks: they hold all of the text, in order, within their sizes, and end where a reader would stop."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.adapters.tokens import BpeTokens
from antiphon.core.chunking import Chunk, Extracted, Marks, chunked, searched
from antiphon.engine.embedding import VOCABULARY

BPE = BpeTokens().ruler(VOCABULARY)


class Letters:
    """Every character is a token."""

    def count(self, text: str) -> int:
        return len(text)

    def marks(self, text: str) -> Marks:
        return Marks(range(1, len(text) + 1), range(1, len(text) + 1))


class Heavy:
    """What a text costs depends on what is around it, as the marks do not know: `count` is up to twice their totals."""

    def count(self, text: str) -> int:
        return len(text) + len(re.findall("a", text))

    def marks(self, text: str) -> Marks:
        return Letters().marks(text)


LETTERS = Letters()
RULERS = [LETTERS, Heavy(), BPE]
texts = st.text(
    st.sampled_from("ab .\n。世\u0301\u200d\U0001f3fb\U0001f1e9\r\ud83d\ude00") | st.characters(), max_size=300
)


def cut(text: str, size: int, overlap: int = 0, **places: tuple[int, ...]) -> list[str]:
    return [chunk.text for chunk in chunked(Extracted(text, **places), size, overlap, LETTERS)]


@given(texts, st.integers(-1, 400), st.integers(-1, 400), st.sampled_from(RULERS))
def test_chunks_hold_the_whole_text_in_order_and_within_their_sizes(
    text: str, size: int, overlap: int, ruler: Letters
) -> None:
    chunks = chunked(Extracted(text), size, overlap, ruler)
    held = set[int]()
    for position, chunk in enumerate(chunks):
        assert chunk.position == position
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip() == chunk.text != ""
        assert ruler.count(chunk.text) <= max(size, 1) or len(chunk.text) == 1
        assert (chunk.first_page, chunk.last_page, chunk.context) == (None, None, "")
        held.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for place, character in enumerate(text) if place not in held)
    for one, other in pairwise(chunks):
        assert one.start < other.start
        assert one.end < other.end
    assert chunks == chunked(Extracted(text), size, overlap, ruler)


@given(texts, st.integers(1, 60), st.integers(0, 60))
def test_chunks_overlap_by_no_more_than_what_was_asked_for(text: str, size: int, overlap: int) -> None:
    for one, other in pairwise(chunked(Extracted(text), size, overlap, LETTERS)):
        assert max(one.end - other.start, 0) <= min(overlap, size // 2)


@given(st.lists(st.text("abc", min_size=1, max_size=20), min_size=1), st.integers(60, 120), st.integers(0, 60))
@example(["a", "aaaa", "aaaa", "aaaaa", "aaaaa", "a" * 16, "a" * 20], 60, 0)
def test_words_stay_whole(words: list[str], size: int, overlap: int) -> None:
    text = " ".join(words)
    for chunk in chunked(Extracted(text), size, overlap, LETTERS):
        assert chunk.text.split() == text[: chunk.end].split()[-len(chunk.text.split()) :]
        assert chunk.end == len(text) or text[chunk.end] == " "
        assert chunk.start == 0 or text[chunk.start - 1] == " "


@given(
    st.lists(st.sampled_from(["e\u0301", "\U0001f469\u200d\U0001f33e", "\U0001f44b\U0001f3fd", "\r\n", "\ud83d\ude00"]))
)
def test_what_a_reader_sees_as_one_character_is_not_cut(characters: list[str]) -> None:
    text = "".join(characters)
    ends = {0, *(len("".join(characters[: place + 1])) for place in range(len(characters)))}
    for chunk in chunked(Extracted(text), 12, 4, LETTERS):
        assert chunk.start in ends
        assert chunk.end in ends


def test_flags_are_not_cut() -> None:
    flags = "\U0001f1e9\U0001f1ea" * 30
    assert all(len(chunk) % 2 == 0 for chunk in cut(flags, 9, 3))


@pytest.mark.parametrize(
    ("text", "size", "chunks"),
    [
        ("One two. Three four five six", 21, ["One two. Three four", "five six"]),
        ("One two three. Four five six", 18, ["One two three.", "Four five six"]),
        ("One two (three!) Four five six", 20, ["One two (three!)", "Four five six"]),
        ("Say e.g. this and then that", 18, ["Say e.g. this and", "then that"]),
        ("One two. Three\n\nfour. Five six", 22, ["One two. Three", "four. Five six"]),
        ("a = 1 + 2\nb = 345\nc = 4", 20, ["a = 1 + 2\nb = 345", "c = 4"]),
        ("今日は晴れです。明日は雨でしょう", 10, ["今日は晴れです。", "明日は雨でしょう"]),
        ("abcdefghijklmnop", 6, ["abcdef", "ghijkl", "mnop"]),
        ("word " + "x" * 20, 10, ["word xxxxx", "xxxxxxxxxx", "xxxxx"]),
        ("   \n\t ", 5, []),
        ("", 5, []),
        ("short", 5, ["short"]),
    ],
)
def test_a_chunk_ends_well(text: str, size: int, chunks: list[str]) -> None:
    assert cut(text, size) == chunks


def test_a_heading_begins_a_chunk() -> None:
    text = "Intro words. More of it.\nUsage\nDo this. Then do that."
    at = text.index("Usage")
    assert cut(text, 35, headings=(0, at)) == ["Intro words. More of it.", "Usage\nDo this. Then do that."]


def test_an_overlap_begins_with_a_sentence_where_it_can() -> None:
    text = "First one here. Second one here. Third one here. Fourth one here."
    assert cut(text, 34, 17) == [
        "First one here. Second one here.",
        "Second one here. Third one here.",
        "Third one here. Fourth one here.",
    ]


def test_an_overlap_may_begin_with_a_heading() -> None:
    text = "Some words of it. " * 2 + "Usage and more. Then this and that."
    chunks = chunked(Extracted(text, headings=(36,)), 60, 20, LETTERS)
    assert [chunk.start for chunk in chunks] == [0, 36]


def test_pages_are_those_of_the_first_and_the_last_character() -> None:
    text = "First page.\fSecond page.\fThird page."
    pages = (0, 12, 25)
    chunks = chunked(Extracted(text, pages), 24, 0, LETTERS)
    assert [(chunk.text, chunk.first_page, chunk.last_page) for chunk in chunks] == [
        ("First page.\fSecond page.", 1, 2),
        ("Third page.", 3, 3),
    ]


def test_what_is_searched_is_the_context_with_the_text() -> None:
    chunk = Chunk(position=0, text="text", start=0, end=4)
    assert searched(chunk) == "text"
    assert searched(Chunk(position=0, text="text", start=0, end=4, context="about")) == "about\n\ntext"


@pytest.mark.parametrize(
    "text",
    ["lorem ipsum dolor. " * 3000, "x" * 60_000, " " * 60_000 + "x", "界" * 60_000, ". " * 30_000, "e\u0301" * 30_000],
)
def test_any_text_is_cut_in_the_tokens_of_the_vocabulary(text: str) -> None:
    chunks = chunked(Extracted(text), 800, 400, BPE)
    assert max(BPE.count(chunk.text) for chunk in chunks) <= 800
    assert sum(len(chunk.text) for chunk in chunks) <= 2.5 * len(text)
