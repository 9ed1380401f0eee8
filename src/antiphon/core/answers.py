"""Answers in words, made of sentences that stand in the conversation or in what tools found.

Pure. Where nothing fits, the answer says so, and what it is that answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from antiphon.core.reading import Result, View, asks, found_nothing, passages_of
from antiphon.core.sentences import Passage, Sentence, best, content, cut, leading, read, terms

SAID: Final = 500
"""Characters of a question that are looked at for small talk."""
QUOTED: Final = 400
"""Characters of a tool's result that are repeated whole; of a longer one, its best sentences."""

SELF: Final = "I am Antiphon's built-in extractive model: I have no language model inside"
ABLE: Final = (
    f"{SELF}; I answer with sentences that stand in the texts you give me or that search tools find, "
    "and I call functions whose description fits your request."
)
UNFIT: Final = (
    f"I found nothing in this conversation that answers that. {SELF}; I can only repeat sentences from texts you give "
    "me or that search tools find. For other questions, choose another model."
)
PART: Final = "\n\n(The text is longer than I read: this rests on a part of it.)"
READ: Final = f"I have read that; ask me about it. {ABLE}"

_WHO: Final = re.compile(
    r"\b(?:who|what) (?:\w+ )?are you\b|\bwhat can you do\b|\byour name\b|\bintroduce yourself\b|"
    r"\bare you (?:an? )?(?:ai|llm|language model|robot|bot|human|gpt|chatgpt|claude|real)\b|"
    r"\b(?:what|which) (?:\w+ )?model (?:are|is this|am)\b",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(
    r"\W*(?:hi|hello|hey|hiya|greetings|good (?:morning|afternoon|evening|day))\b(?:[\s,]+(?:there|all|again|\w+))?\W*",
    re.IGNORECASE,
)
_THANKS: Final = re.compile(r"\W*(?:thanks?(?: you)?(?: (?:so|very) much)?|thx|cheers)\b.{0,20}", re.IGNORECASE)
_BYE: Final = re.compile(r"\W*(?:good\s?bye|bye|see you|farewell)\b.{0,20}", re.IGNORECASE)
_SAY: Final = re.compile(
    r"\W*(?:please\s+)?(?:say|repeat|echo|reply with|respond with|answer with)"
    r"(?:\s+(?:exactly|only|just|the words?))*\s*"
    r"(?::\s*(?P<rest>.{1,300})|[\"'\u201c\u2018](?P<quoted>.{1,300}?)[\"'\u201d\u2019]\W*|"
    r"(?P<few>[\w'-]+(?:\s+[\w'-]+)?)[.!]?\s*)",
    re.IGNORECASE | re.DOTALL,
)
_SUMMARY: Final = {"summarise", "summarize", "summary", "gist", "overview", "tl;dr", "tldr", "outline", "topic", "main"}
_VAGUE: Final = frozenset(
    terms(
        "summarise summarize summary gist overview tldr outline topic main text file document page article it key point"
    )
)
POINTING: Final = re.compile(
    r"\b(?:it|its|they|them|their|that|those|these|he|his|she|her|there|one)\b|^\W*(?:and|what about)\b", re.IGNORECASE
)
"""What only a question has that rests on the one before."""


def answer_of(seen: View) -> str:
    """The answer in words."""
    if seen.results:
        return _reported(seen)
    plain = plainly(seen.question)
    if plain is not None:
        return plain
    for texts in (seen.texts, seen.instructions):
        if texts and (found := _found(seen, sentences := read(texts))):
            return _told(found) + (PART if cut(texts, sentences) else "")
    if seen.images:
        return f"I cannot see images. {ABLE}"
    return UNFIT if asks(seen.question) else READ


def plainly(question: str) -> str | None:
    """The answer to what is no question about a text."""
    question = question[:SAID]
    if _WHO.search(question):
        return ABLE
    if _GREETING.fullmatch(question):
        return "Hello! Give me a text and ask me about it."
    if _THANKS.fullmatch(question):
        return "You are welcome."
    if _BYE.fullmatch(question):
        return "Goodbye!"
    if asked := _SAY.fullmatch(question):
        few: str | None = asked["few"]
        return f"{few[:1].upper()}{few[1:].strip()}!" if few else (asked["rest"] or asked["quoted"]).strip()
    return None


def _found(seen: View, sentences: Sequence[Sentence]) -> list[Sentence]:
    """Those that answer the question, or that sum the texts up when that is asked."""
    asked = [word for word in content(seen.question) if word not in _VAGUE]
    if not asked and seen.before and not _sums_up(seen.question):
        return best(seen.before, sentences)
    if not asked or (_sums_up(seen.question) and not best(" ".join(asked), sentences)):
        return leading(sentences)
    pointing = bool(POINTING.search(seen.question)) or len(asked) <= 2
    return best(seen.question, sentences, before=seen.before if pointing else "")


def _sums_up(question: str) -> bool:
    return bool(_SUMMARY & set(re.findall(r"[a-z;]+", question.lower()))) or "about?" in question.lower()


def _reported(seen: View) -> str:
    """The answer from what tools gave since the question: the best sentences of what searches found, and what functions
    returned."""
    said: list[str] = []
    passages: list[Passage] = []
    for result in seen.results:
        found = passages_of(result)
        if found_nothing(result):
            said.append(f"{result.name} found nothing for this.")
        elif len(found) == 1 and found[0].text == result.output and len(result.output) <= QUOTED:
            said.append(_returned(result))
        else:
            passages.extend(found)
    if passages:
        sentences = read(passages)
        chosen = best(seen.question, sentences, before=seen.before) or leading(sentences, most=1)
        said.append(_told(chosen) if chosen else "What was found holds no text.")
    return "\n".join(said)


def _returned(result: Result) -> str:
    """A function's result in a sentence."""
    with_values = ", ".join(f"{name}: {_shown(value)}" for name, value in _object(result.arguments).items())
    call = f"{result.name} ({with_values})" if with_values else result.name
    fields = _object(result.output)
    told = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in fields.items())
    told = told or result.output.strip() or "nothing"
    return f"{call} returned {told}{'' if told[-1] in '.!?' else '.'}"


def _object(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told(sentences: Sequence[Sentence]) -> str:
    """The sentences, each with its citation before its full stop, and the pages that they come from."""
    sources = dict.fromkeys(one.passage.source for one in sentences if one.passage.source.startswith("["))
    text = ""
    for one in sentences:
        apart = "\n" if one.text.startswith(("- ", "* ", "| ")) else " "
        text += (apart if text else "") + _cited(one)
    return f"{text}\n\nSources: {', '.join(sources)}" if sources else text


def _cited(sentence: Sentence) -> str:
    text, mark = sentence.text, sentence.passage.mark
    if not mark:
        return text
    body = text.rstrip(".!?")
    return f"{body} {mark}{text[len(body) :] or '.'}"
