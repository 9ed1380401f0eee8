"""The words that keyword search knows a text by, and how much it weighs what it finds (BM25).

Law: nothing in a text is syntax. Words are folded (case, accents), a plural `s` is dropped, and scripts that write
without spaces are cut into single characters and pairs of neighbours.

The relevance of a chunk is the share of the question's weight that it carries, from 0 to 1: each word weighs its
rarity among the chunks of the store, and counts the more often the chunk has it, up to 1. A chunk of average length
that has every word once scores 0.45. Words that the store does not have count as missing, so that of two stores the
one that has the rare word wins.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from math import log
from typing import Final

K1: Final = 1.2
"""How fast repeating a word stops to count."""
B: Final = 0.75
"""How much long chunks are marked down, from 0 to 1."""
MOST_TERMS: Final = 128
"""Words of a question that are searched for; the first ones."""
MOST_QUESTION: Final = 16_384
"""Characters of a question that are read."""
LONGEST: Final = 48
"""Characters of a word; the rest is cut."""

_PLAIN: Final = re.compile(r"[a-z0-9]+")
_DENSE: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Kana, Han, Hangul."""
_RUNS: Final = re.compile(f"[{_DENSE}]+|[^{_DENSE}]+")
_IS_DENSE: Final = re.compile(f"[{_DENSE}]")
# accents of Latin, Greek and Cyrillic, points of Hebrew, vowel signs of Arabic
_ACCENTS: Final = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]+")


def counted(text: str) -> Counter[str]:
    """The words of a text, and how often it has each."""
    found: Counter[str] = Counter()
    for word, often in Counter(_words(text, alone=True)).items():
        found[_stem(word)] += often
    return found


def asked(question: str) -> tuple[str, ...]:
    """The different words that a question asks for, at most `MOST_TERMS`."""
    words = _words(question[:MOST_QUESTION], alone=False)
    return tuple(dict.fromkeys(map(_stem, words)))[:MOST_TERMS]


def rarity(chunks: int, having: int) -> float:
    """The weight of a word that `having` of so many chunks have."""
    return log(1 + (chunks - having + 0.5) / (having + 0.5))


def _words(text: str, *, alone: bool) -> list[str]:
    """`alone`: of scripts without spaces the single characters too."""
    if text.isascii():
        return _PLAIN.findall(text.lower())
    folded = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))
    found: list[str] = []
    for word in _word().findall(folded):
        if _IS_DENSE.search(word) is None:
            found.append(word)
            continue
        for run in _RUNS.findall(word):
            found.extend(_pairs(run, alone=alone) if _IS_DENSE.match(run) else (run,))
    return found


def _pairs(run: str, *, alone: bool) -> list[str]:
    if len(run) == 1:
        return [run]
    pairs = [one + other for one, other in pairwise(run)]
    return [*run, *pairs] if alone else pairs


@cache
def _word() -> re.Pattern[str]:
    """Letters, digits and the marks that Indic scripts write vowels with, which are no letters to Python."""
    codes = (chr(code) for code in range(0x0900, 0x1000))
    marks = "".join(code for code in codes if unicodedata.category(code) in {"Mn", "Mc"})
    return re.compile(f"(?:[^\\W_]|[{marks}{_DENSE}])+")


def _stem(word: str) -> str:
    """The word without the `s` of an English plural."""
    if len(word) > LONGEST:
        return word[:LONGEST]
    if len(word) < 4 or word[-1] != "s":
        return word
    if word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word if word[-2] in "us" else word[:-1]
