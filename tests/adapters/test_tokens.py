"""Counting tokens."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.adapters.tokens import BpeTokens, encoding_of

TOKENS = BpeTokens()


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("hello world", 2), ("Hello, world!", 4), ("<|endoftext|>", 7), ("\ud800", 1)],
)
def test_texts_have_the_counts_of_the_vocabulary(text: str, count: int) -> None:
    assert TOKENS.count(text, "gpt-4o") == count


def test_a_long_text_is_counted_like_its_pieces() -> None:
    assert TOKENS.count("hello world " * 100_000, "m") == pytest.approx(200_001, abs=10)
    assert TOKENS.count("x" * 1_000_000, "m") > 100_000


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("openai/gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("ollama/llama3", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_the_vocabulary_goes_by_the_models_name(model: str, encoding: str) -> None:
    assert encoding_of(model) == encoding


def test_many_threads_may_count_at_once() -> None:
    tokens = BpeTokens()
    with ThreadPoolExecutor(8) as pool:
        counts = {one.result() for one in [pool.submit(tokens.count, "hello world", "m") for _ in range(32)]}
    assert counts == {2}


def test_no_vocabulary_is_loaded_before_something_is_counted() -> None:
    program = "import sys, antiphon.compose; print(sorted(n for n in sys.modules if 'bpe' in n or 'cryptography' in n))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


@given(st.text(st.characters() | st.sampled_from("ab 1\n'.世"), max_size=400))
def test_the_marks_of_a_text_add_up_to_its_tokens(text: str) -> None:
    ruler = TOKENS.ruler("text-embedding-3-small")
    marks = ruler.marks(text)
    assert len(marks.ends) == len(marks.totals)
    assert ruler.count(text) == TOKENS.count(text, "text-embedding-3-small")
    if text:
        assert marks.ends[-1] == len(text)
    if max(map(len, text.split()), default=0) <= 64:
        assert (marks.totals[-1] if text else 0) == ruler.count(text)
    assert all(one < other for one, other in pairwise(marks.ends))
    assert all(one < other for one, other in pairwise(marks.totals))


@pytest.mark.parametrize("text", ["x" * 100_000, " " * 100_000, "word " * 120_000, "世界" * 150_000])
def test_marks_are_never_far_apart(text: str) -> None:
    marks = TOKENS.ruler("text-embedding-3-small").marks(text)
    assert marks.ends[-1] == len(text)
    assert max(other - one for one, other in pairwise([0, *marks.ends])) <= 64
    assert max(other - one for one, other in pairwise([0, *marks.totals])) <= 192
