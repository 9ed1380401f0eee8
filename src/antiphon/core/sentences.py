"""Sentences: taking texts apart, and finding those that answer a question best.

Ranking is BM25 over sentences, on stemmed words, with no vocabulary and no weights. What is considered is bounded
(`CHARACTERS`, `SENTENCES`), so that a megabyte costs well under a second; the last texts are read first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from msgspec import Struct

CHARACTERS: Final = 2_000_000
SENTENCES: Final = 20_000
LONGEST: Final = 600
"""Characters of a sentence; longer ones (tables, code, text without punctuation) are cut into pieces."""

_STOPPED: Final = """
a about all also an and any are as at be been being but by can could did do does doing for from give had has
have he her his how i id if ill im in into is it its just know let like many may me might more most much must my
need no not of on one or our out please s said say shall she should so some such t tell than that the their them
then there these they this those to too up us use used very want was we were what whats when where which while
who whom whose why will with would you your
"""
STOP: Final = frozenset(_STOPPED.split())
"""Words that carry no meaning of their own."""
_WORD: Final = re.compile(r"[^\W_]+(?:[.'\u2019][^\W_]+)*")
_BLOCK: Final = re.compile(r"\n[ \t]*\n+")
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_LEAD: Final = re.compile(r"[ \t]*(?:#{1,6}\s|[-*+•●]\s|\d{1,3}[.)]\s|>|\|)")
_END: Final = re.compile(r"(?<![.!?\u2026])[.!?\u2026]{1,9}[\"'\u201d\u2019)\]*_]{0,4}(?=\s)|[\u3002\uff01\uff1f]")
_SHORT: Final = re.compile(
    r"\b(?:[A-Z]|(?i:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|cf|no|fig|approx|inc|ltd|jr|sr|[ap]\.m))\.$"
)
_SHORTEST: Final = 12
"""Characters before a full stop in which an abbreviation is looked for."""
_SUFFIXES: Final = (
    ("ational", "ate"), ("ization", "ize"), ("fulness", "ful"), ("iveness", "ive"), ("ousness", "ous"),
    ("ements", ""), ("ement", ""), ("ments", ""), ("ment", ""), ("ations", "ate"), ("ation", "ate"), ("ings", ""),
    ("ing", ""), ("edly", ""), ("ies", "y"), ("ied", "y"), ("ed", ""), ("ers", ""), ("er", ""), ("ors", ""), ("or", ""),
    ("ly", ""), ("es", ""), ("s", ""),
)  # fmt: skip
K1: Final = 1.2
B: Final = 0.5
ENOUGH: Final = 0.34
"""How much of a question's weight the best sentence must carry to be an answer."""


class Passage(Struct, frozen=True):
    """A text to be searched. `source` names it to a reader, `mark` is the citation that its sentences carry."""

    text: str
    source: str = ""
    mark: str = ""


class Sentence(Struct, frozen=True):
    """A sentence of a passage, white space made single. `heading` is what stands above it, `place` its order."""

    text: str
    passage: Passage
    heading: str
    place: int
    words: tuple[str, ...]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A lower-case word without its ending, so that forms of one word are equal; numbers and short words stay."""
    for suffix, put in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not (suffix == "s" and word.endswith("ss")):
            word = word[: len(word) - len(suffix)] + put
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeioulsz":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


def terms(text: str) -> list[str]:
    """The stems of all words, in order."""
    return [stem(word) for word in _WORD.findall(text.lower().replace("_", " ").replace("'s", ""))]


def content(text: str) -> list[str]:
    """The stems of the words that carry meaning, each once."""
    words = _WORD.findall(text.lower().replace("_", " ").replace("'s", ""))
    return list(dict.fromkeys(stem(word) for word in words if word not in STOP))


def split(text: str) -> Iterator[str]:
    """The sentences of a text. Wrapped lines are joined, headings, list entries, table rows and lines of code are
    sentences of their own. A heading keeps its `#`."""
    fenced = False
    for part in _FENCE.split(text):
        if fenced:
            yield from (line.strip() for line in part.split("\n")[1:] if line.strip())
        else:
            for block in _BLOCK.split(part):
                for line in _unwrapped(block):
                    yield from _sentences(line)
        fenced = not fenced


def beginning(text: str) -> int:
    """Where the last sentence of a text begins: behind the one before it, or behind what leads its line."""
    end = len(text.rstrip())
    start = text.rfind("\n", 0, end) + 1
    if (lead := _LEAD.match(text, start, end)) is not None:
        start = lead.end()
    for stop in _END.finditer(text, start, end):
        if stop.end() < end and not _SHORT.search(text[max(start, stop.end() - _SHORTEST) : stop.end()]):
            start = stop.end()
    return start + len(text[start:end]) - len(text[start:end].lstrip())


def read(passages: Sequence[Passage]) -> list[Sentence]:
    """The sentences of the passages, in their order. Where not all can be considered, the first passages are left out,
    and of the one that is cut, its end."""
    found: list[list[tuple[str, str, Passage]]] = []
    characters, room = CHARACTERS, SENTENCES
    for passage in reversed(passages):
        if characters <= 0 or room <= 0:
            break
        taken = list(islice(_headed(passage, characters), room))
        characters -= len(passage.text)
        room -= len(taken)
        found.append(taken)
    flat = (one for taken in reversed(found) for one in taken)
    return [
        Sentence(text, passage, heading, place, tuple(terms(text)))
        for place, (text, heading, passage) in enumerate(flat)
    ]


def cut(passages: Sequence[Passage], sentences: Sequence[Sentence]) -> bool:
    """Whether `read` left out some of the passages."""
    return len(sentences) >= SENTENCES or sum(len(passage.text) for passage in passages) > CHARACTERS


def best(question: str, sentences: Sequence[Sentence], *, before: str = "", most: int = 3) -> list[Sentence]:
    """The sentences that answer the question, at most `most`, in their order; none when nothing fits.

    `before` is what was asked earlier: its words count a little, so that "and when?" finds its subject.
    """
    asked = dict.fromkeys(content(question), 1.0)
    earlier = {word: 0.4 for word in content(before) if word not in asked}
    rarity = _rarity([*asked, *earlier], sentences)
    weights = {word: share * rarity[word] for word, share in (asked | earlier).items() if word in rarity}
    if not weights:
        return []
    average = sum(len(sentence.words) for sentence in sentences) / len(sentences)
    present = [rarity[word] for word in asked if word in rarity]
    # a word that no sentence has counts against an answer like the others do
    total = sum(present) / len(present) * len(asked) if present else sum(weights.values())
    counted = _counted(question)
    scored: list[tuple[float, float, Sentence]] = []
    for sentence in sentences:
        score, covered = _score(sentence, weights, average)
        if score:
            score *= 1.6 if counted and _counts(sentence, counted) else 1.0
            score *= 0.4 if sentence.text.endswith("?") else min(1.0, len(sentence.words) / 4)
            scored.append((score, covered, sentence))
    scored.sort(key=lambda one: (-one[0], one[2].place))
    if not scored or scored[0][1] < ENOUGH * total:
        return []
    return _distinct([one for score, _, one in scored[:50] if score >= 0.6 * scored[0][0]], most)


def leading(sentences: Sequence[Sentence], *, most: int = 3) -> list[Sentence]:
    """What a text is about, as far as its beginning says it: its first sentences that are prose."""
    prose = [one for one in sentences[:400] if len(one.words) >= 5 and one.text[0].isalnum() and one.text[-1] in ".!。"]
    return _distinct(prose or list(sentences[:most]), most)


_HOW_MANY: Final = re.compile(
    r"\bhow (?:many|much)\s+(\w+)|\b(when|what (?:year|date|time|version)|how old)\b", re.IGNORECASE
)


def _counted(question: str) -> str:
    """The stem of what is counted by "how many"; `#` where some other number is asked for."""
    asked = _HOW_MANY.search(question)
    if asked is None:
        return ""
    return stem(asked[1].lower()) if asked[1] else "#"


def _counts(sentence: Sentence, counted: str) -> bool:
    """Whether the sentence has the number: right before what is counted."""
    if counted == "#":
        return any(word[0].isdigit() for word in sentence.words)
    return any(
        word == counted and any(before.isdigit() for before in sentence.words[max(0, place - 2) : place])
        for place, word in enumerate(sentence.words)
    )


@lru_cache(maxsize=5_000)
def _titled(heading: str) -> frozenset[str]:
    return frozenset(content(heading))


def _rarity(words: Iterable[str], sentences: Sequence[Sentence]) -> dict[str, float]:
    """How much each word tells: more, the fewer sentences have it, in themselves or above. Words that none has are
    absent."""
    counts = dict.fromkeys(words, 0)
    for sentence in sentences:
        for word in counts.keys() & _titled(sentence.heading).union(sentence.words):
            counts[word] += 1
    every = len(sentences)
    return {word: math.log(1 + (every - count + 0.5) / (count + 0.5)) for word, count in counts.items() if count}


def _score(sentence: Sentence, weights: Mapping[str, float], average: float) -> tuple[float, float]:
    """The sentence's score, and how much of the weights it covers. Words of its heading count for half."""
    present = weights.keys() & set(sentence.words)
    above = (weights.keys() & _titled(sentence.heading)) - present
    if not (present or above):
        return 0.0, 0.0
    norm = K1 * (1 - B + B * len(sentence.words) / (average or 1))
    score = covered = 0.0
    for word in sorted(present):
        often = sentence.words.count(word)
        score += weights[word] * often * (K1 + 1) / (often + norm)
        covered += weights[word]
    for word in sorted(above):
        score += 0.5 * weights[word]
        covered += 0.5 * weights[word]
    return score * (0.5 + covered / (sum(weights.values()) or 1)), covered


def _distinct(ranked: Sequence[Sentence], most: int) -> list[Sentence]:
    chosen: dict[tuple[str, ...], Sentence] = {}
    for sentence in ranked:
        if len(chosen) < most:
            chosen.setdefault(sentence.words, sentence)
    return sorted(chosen.values(), key=lambda one: one.place)


def _headed(passage: Passage, characters: int) -> Iterator[tuple[str, str, Passage]]:
    """The sentences of a passage, each with the heading above it, at first its source."""
    heading = passage.source
    for text in split(passage.text[:characters]):
        if text.startswith("#") and text.lstrip("#").startswith(" "):
            heading = text.lstrip("# ")
        else:
            yield text, heading, passage


def _unwrapped(block: str) -> Iterator[str]:
    """The lines of a block, with those that continue a sentence joined to it. A line whose words the next one repeats
    is a heading that lost its form."""
    held: list[str] = []
    for line in block.split("\n"):
        if held and (_LEAD.match(line) or line.strip().startswith(held[-1] + " ")):
            yield " ".join(held)
            held = []
        held.append(line.strip())
        if line.lstrip().startswith(("#", "|")):
            yield " ".join(held)
            held = []
    if held:
        yield " ".join(held)


def _sentences(line: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(line):
        numbered = end.start() <= 3 and line[: end.start()].isdigit()
        if not numbered and not _SHORT.search(line, max(start, end.end() - _SHORTEST), end.end()):
            yield from _pieces(line[start : end.end()])
            start = end.end()
    yield from _pieces(line[start:])


def _pieces(text: str) -> Iterator[str]:
    text = " ".join(text.split())
    start = 0
    while len(text) - start > LONGEST:
        cut = text.rfind(" ", start + 1, start + LONGEST)
        cut = cut if cut > 0 else start + LONGEST
        yield text[start:cut].strip()
        start = cut
    if rest := text[start:].strip():
        yield rest
