"""Taking texts apart, and finding the sentences that answer a question."""

from __future__ import annotations

import pytest

from antiphon.core.sentences import Passage, Sentence, best, content, leading, read, split, stem


def found(question: str, *texts: str, before: str = "") -> list[str]:
    return [one.text for one in best(question, read([Passage(text) for text in texts]), before=before)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Mr. Hale met J. Smith, e.g. at 3.14 p.m. today. He left.",
            ["Mr. Hale met J. Smith, e.g. at 3.14 p.m. today.", "He left."],
        ),
        ("It was\nwrapped here. And\nhere.", ["It was wrapped here.", "And here."]),
        (
            "# Title\nText under it.\n- one\n- two\n  goes on\n1. first",
            ["# Title", "Text under it.", "- one", "- two goes on", "1. first"],
        ),
        ("Before.\n\n```\nx = 1\n\ny = 2\n```\n\nAfter.", ["Before.", "x = 1", "y = 2", "After."]),
        ("| a | b |\n| c | d |", ["| a | b |", "| c | d |"]),
        ('He said "Stop." Then he went…  away.', ['He said "Stop."', "Then he went…", "away."]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("Maverick\nMaverick is a model.", ["Maverick", "Maverick is a model."]),
        ("", []),
        (" \n\t\n ", []),
    ],
)
def test_texts_come_apart_into_sentences(text: str, sentences: list[str]) -> None:
    assert list(split(text)) == sentences


def test_long_lines_are_cut_into_pieces() -> None:
    pieces = list(split("word " * 1000))
    assert all(len(piece) <= 600 for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("experts", "expert"),
        ("running", "run"),
        ("stopped", "stop"),
        ("cities", "city"),
        ("makes", "making"),
        ("sailing", "sails"),
    ],
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_words_without_meaning_are_left_out() -> None:
    assert content("What is the name of the ship?") == [stem("name"), stem("ship")]


def test_the_sentence_with_the_number_answers_how_many() -> None:
    text = "The model has experts. It is a mixture of experts. There are 128 experts. It has 17 layers."
    assert "There are 128 experts." in found("How many experts does it have?", text)


def test_answers_come_in_the_order_of_the_text() -> None:
    text = "Cats sleep in the sun. Dogs bark. Cats and dogs play with the ball in the sun."
    answers = found("What do cats do in the sun?", text)
    assert answers == sorted(answers, key=text.index)
    assert "Dogs bark." not in answers


def test_a_heading_counts_for_what_stands_under_it() -> None:
    text = "# Installing\n\nRun the first command.\n\n# Removing\n\nRun the other command."
    assert found("How is it installed?", text) == ["Run the first command."]


def test_one_word_of_many_is_no_answer() -> None:
    assert found("Who won the football world cup?", "The world is round. Water is wet.") == []
    assert found("", "The world is round.") == []
    assert found("What about the world?") == []


def test_words_of_the_question_before_count_a_little() -> None:
    text = "The Aurora was built in 1987. The Borealis was built in 1999."
    assert found("When was it built?", text, before="How long is the Borealis?") == ["The Borealis was built in 1999."]


def test_equal_sentences_are_given_once() -> None:
    assert found("Where is the key?", "The key is here.", "The key is here.") == ["The key is here."]


def test_the_beginning_that_is_prose_sums_up() -> None:
    sentences = read(
        [Passage("# Title\n\n[badge](x)\n\nThis is a text about five things. It has two sentences that count.")]
    )
    assert [one.text for one in leading(sentences, most=1)] == ["This is a text about five things."]
    assert leading([]) == []


def test_sentences_know_where_they_stand() -> None:
    sentences = read([Passage("One.", "a"), Passage("Two. Three.", "b", "<|b|>")])
    assert [(one.text, one.passage.source, one.place) for one in sentences] == [
        ("One.", "a", 0),
        ("Two.", "b", 1),
        ("Three.", "b", 2),
    ]
    assert isinstance(sentences[0], Sentence)
