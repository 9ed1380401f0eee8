"""Which function a request calls for, and with what arguments. Pure; only what the text says is put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from msgspec import UNSET, Struct

from antiphon.core.answers import POINTING, plainly
from antiphon.core.effects import Generate, Offer
from antiphon.core.extraction import arguments, instance, words_of
from antiphon.core.reading import Result, View
from antiphon.core.sentences import content, terms
from antiphon.wire.tools import AllowedTools, NamedChoice

_SEARCHING: Final = {"search", "retrieve", "retrieval", "lookup", "browse"}
_COMMON: Final = frozenset(
    terms("get set fetch find check run do make create list search look lookup tool function api call current given")
)


FITS: Final = 1.0
"""How well a function must fit to be called first,"""
AGAIN: Final = 1.5
"""and after another one has answered."""


class Saying(Struct, frozen=True):
    """What is said in words, or the call that is made."""

    text: str = ""
    name: str = ""
    arguments: str = ""


def called(wanted: Generate, seen: View) -> Saying | None:
    """The call to make now, or the question for what a call lacks; None: answer."""
    offers, forced = _offered(wanted, {result.name for result in seen.results})
    if not offers:
        return None
    if not forced and (plainly(seen.question) is not None or not seen.question):
        return None
    fits = {place: _fit(offer, seen.question) for place, offer in enumerate(offers)}
    again = bool(seen.results)
    ranked = sorted(fits, key=lambda place: -fits[place])
    fitting = [offers[place] for place in ranked if fits[place] >= (AGAIN if again else FITS)]
    lacking = ""
    for offer in fitting:
        read_out = arguments(offer.parameters, seen.question, _known(seen.results))
        if not _searches(offer) and not read_out.missing:
            return _call(offer, read_out.values)
        asked_for = offer.receipt is None and not _searches(offer)
        lacking = lacking or (_lacking(offer, read_out.missing) if asked_for else "")
    if lacking and not (forced or again):
        return Saying(lacking)
    searches = [offer for offer in offers if _searches(offer)]
    if searches and not again and (forced or content(seen.question)):
        return _call(searches[0], _query(searches[0], seen))
    best_fit = offers[ranked[0]]
    return _call(best_fit, _filled(best_fit, seen)) if forced else None


def _offered(wanted: Generate, used: set[str]) -> tuple[list[Offer], bool]:
    """The functions that may be called now, and whether one must be. One that has answered in this turn is not called
    again, and nothing is forced twice."""
    choice = wanted.tool_choice
    if choice == "none":
        return [], False
    offers = [offer for offer in wanted.offers if offer.name not in used]
    forced = choice == "required"
    if isinstance(choice, NamedChoice):
        offers = [offer for offer in offers if choice.name is UNSET or offer.name == choice.name]
        forced = True
    elif isinstance(choice, AllowedTools):
        named = {tool.get("name") for tool in choice.tools}
        offers = [offer for offer in offers if offer.name in named]
        forced = choice.mode == "required"
    return offers, forced and not used


def _searches(offer: Offer) -> bool:
    """Whether the function looks something up that is asked in words."""
    if "query" not in _properties(offer) and offer.receipt is None:
        return False
    described = words_of(offer.name) + re.findall(r"[a-z]+", (offer.description or "").lower())
    return bool(_SEARCHING & set(described))


def _fit(offer: Offer, question: str) -> float:
    """How well a function fits a request: 1 or more is a fit. Its name counts most, then its description."""
    asked = set(content(question))
    name = [word for word in terms(" ".join(words_of(offer.name))) if word not in _COMMON]
    named = [word for word in name if word in asked]
    described = (set(content(offer.description or "")) - _COMMON - set(name)) & asked
    choices = {
        word
        for schema in _properties(offer).values()
        if isinstance(schema, dict)
        for option in cast("dict[str, Any]", schema).get("enum") or ()
        for word in terms(str(option))
    } & asked
    score = 2 * len(named) / max(1, len(name)) + 0.4 * len(described) + 0.3 * len(choices)
    if offer.name.lower() in question.lower() and len(offer.name) > 3:
        score += 3
    return score if named or len(described) >= 2 else 0.0


def _properties(offer: Offer) -> Mapping[str, Any]:
    held = (offer.parameters or {}).get("properties")
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def _query(offer: Offer, seen: View) -> dict[str, Any]:
    """The arguments of a search: the question, behind the one before where it only points at that."""
    question = seen.question
    if seen.before and POINTING.search(question) and len(content(question)) <= 4:
        question = f"{seen.before} {question}"
    listed = _properties(offer)
    name = next(
        (one for one in ("query", "q", "question", "text", "input", "search", "keywords") if one in listed), None
    )
    if name is None:
        name = next((one for one in listed), "query")
    values = arguments(offer.parameters, seen.question).values
    return {one: value for one, value in values.items() if one in (offer.parameters or {}).get("required", ())} | {
        name: question
    }


def _known(results: Sequence[Result]) -> dict[str, str]:
    """Short results by the property that would take them: what `get_user_id` gave is a `user_id`."""
    known: dict[str, str] = {}
    for result in results:
        words = [word for word in words_of(result.name) if word not in _COMMON]
        if words and len(result.output) <= 64 and "\n" not in result.output:
            known["_".join(words)] = result.output.strip().strip('"')
    return known


def _filled(offer: Offer, seen: View) -> dict[str, Any]:
    """The arguments of a call that must be made: what the text gives, and the least that fits."""
    filled = instance({"type": "object", **(offer.parameters or {})}, seen.question)
    return cast("dict[str, Any]", filled) if isinstance(filled, dict) else {}


def _call(offer: Offer, values: Mapping[str, Any]) -> Saying:
    return Saying(name=offer.name, arguments=json.dumps(values, ensure_ascii=False))


def _lacking(offer: Offer, missing: Sequence[str]) -> str:
    listed = _properties(offer)
    wants: list[str] = []
    for name in missing:
        schema = listed.get(name)
        said = cast("dict[str, Any]", schema).get("description") if isinstance(schema, dict) else None
        wants.append(f"{name} ({said})" if said else name)
    return f"To call {offer.name} I need {' and '.join(wants)}. Please give me that."
