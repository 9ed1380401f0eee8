"""The words that keyword search knows a text by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.terms import LONGEST, MOST_TERMS, asked, counted, rarity


def test_case_accents_and_forms_of_letters_do_not_matter() -> None:
    assert dict(counted("Ärger ÄRGER ärger a\u0308rger")) == {"arger": 4}
    assert dict(counted("ﬁsh ① Ｆｕｌｌ straße")) == {"fish": 1, "1": 1, "full": 1, "strasse": 1}


def test_a_plural_is_its_singular() -> None:
    pairs = ("cat", "cats"), ("box", "boxes"), ("city", "cities"), ("church", "churches"), ("glass", "glasses")
    for one, many in pairs:
        assert asked(one) == asked(many)
    kept = ("bus", "is", "his", "glass", "analysis", "x")
    assert [asked(word) for word in kept] == [("bus",), ("is",), ("his",), ("glass",), ("analysi",), ("x",)]


def test_scripts_without_spaces_are_cut_into_characters_and_pairs() -> None:
    assert set(counted("東京都")) == {"東", "京", "都", "東京", "京都"}
    assert asked("東京都") == ("東京", "京都")
    assert asked("茶") == ("茶",)
    assert asked("Pythonの入門3") == ("python", "の入", "入門", "3")
    assert asked("ガギ") == ("ガギ",)


def test_vowel_signs_belong_to_their_word() -> None:
    assert asked("स्वागत हिन्दी") == ("स्वागत", "हिन्दी")


def test_signs_and_emoji_are_no_words() -> None:
    assert asked('"a b" AND (c* OR -d) ^e {f}: NEAR/2 🦊') == ("a", "b", "and", "c", "or", "d", "e", "f", "near", "2")
    assert dict(counted("🦊 -- \x00 ???")) == {}


def test_long_words_and_long_questions_are_cut() -> None:
    assert asked("x" * 1000) == ("x" * LONGEST,)
    assert len(asked(" ".join(f"word{at}" for at in range(100_000)))) == MOST_TERMS


def test_a_word_is_the_heavier_the_fewer_chunks_have_it() -> None:
    weights = [rarity(100, having) for having in (0, 1, 10, 50, 100)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0


@given(st.text(max_size=200))
def test_every_text_finds_itself(text: str) -> None:
    there = counted(text)
    assert all(often > 0 for often in there.values())
    assert set(asked(text)) <= set(there)
    assert counted(text.upper()).keys() == counted(text.upper().lower()).keys()
