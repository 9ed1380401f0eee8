"""Values read out of a text for a JSON schema: the arguments of a function, or an answer in a given form.

What is found is in the text, verbatim or as its number; nothing is guessed. A text is read up to `CHARACTERS`, a value
that was used once is not used again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct

from antiphon.core.sentences import STOP, content, terms
from antiphon.core.shapes import Schema, Shape, least, shape_of

CHARACTERS: Final = 10_000
DEPTH: Final = 6
"""Objects in objects that are followed; schemas may refer to themselves."""
VALUES: Final = 100
"""Values that are looked for in one text; a schema may hold, or refer to, any number of properties."""


_QUOTED: Final = re.compile(
    r"[\"\u201c\u00ab]([^\"\u201c\u201d\u00ab\u00bb\n]{1,400})[\"\u201d\u00bb]|"
    r"(?<!\w)['\u2018`]([^'\u2018\u2019`\n]{1,400})['\u2019`](?!\w)"
)
_NUMBER: Final = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,15})?(?!\d)")
_NAME: Final = re.compile(r"\b[A-Z][\w&'\u2019.-]*(?:\s+(?:(?:of|de|la|van|von|the)\s+)?[A-Z][\w&'\u2019-]*)*")
_PLACE: Final = re.compile(
    rf"\b(?:in|at|for|near|to|from|of|around)\s+({_NAME.pattern[2:]}(?:,\s*{_NAME.pattern[2:]})?)"
)
_AFTER: Final = re.compile(
    r"\b(?:for|of|in|about|named|called|at|to|on|with|from)\s+(?:the\s+|an?\s+)?"
    r"([^\W\d_][\w'-]*(?:\s+[^\W\d_][\w'-]*){0,3})"
)
_FORMATS: Final[Mapping[str, re.Pattern[str]]] = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"),
    "date": re.compile(
        r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}|"
        r"(?:\d{1,2}(?:st|nd|rd|th)?\s+)?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
        r"(?:\s+\d{1,2}(?:st|nd|rd|th)?)?(?:,?\s+\d{4})?|\b(?:today|tomorrow|yesterday|tonight)\b|"
        r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    ),
    "time": re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?(?:\s?[ap]m)?\b|\b\d{1,2}\s?[ap]m\b", re.IGNORECASE),
    "email": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"\bhttps?://[^\s<>\"')\]]+"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "file": re.compile(r"\b[\w./-]*\w\.[A-Za-z][A-Za-z0-9]{0,4}\b"),
    "id": re.compile(r"\b(?=\w*\d)[A-Za-z]+[_-]?\w+\b|\b[A-Za-z]+_\w+\b|\b\d+\b"),
}
_KINDS: Final[Mapping[str, str]] = {
    "datetime": "date-time", "timestamp": "date-time", "date": "date", "day": "date", "deadline": "date",
    "time": "time", "email": "email", "mail": "email", "url": "uri", "uri": "uri", "link": "uri", "website": "uri",
    "uuid": "uuid", "filename": "file", "file": "file", "path": "file", "id": "id", "identifier": "id",
}  # fmt: skip
_PLACES: Final = {"location", "city", "place", "country", "destination", "origin", "region", "town", "state", "where"}
_WHOLE: Final = {"query", "q", "question", "prompt", "input", "request", "search", "text", "keywords", "message"}
_PEOPLE: Final = {"to", "recipient", "recipients", "cc", "bcc", "from", "sender", "attendee", "attendees"}
_ROLES: Final = {"role", "position", "title", "job"}
ANSWERS: Final = {"answer", "summary", "response", "explanation", "reasoning", "result", "output", "reply"}
"""Names of properties that hold the answer itself."""
_VAGUE: Final = {"name", "id", "value", "type", "text", "number", "data", "item", "key", "title", "first", "last"}
_STARTING: Final = """
add ask book calculate call cancel check compute convert create delete describe divide explain extract fetch
find forecast generate get given greet hello hey hi identify invite list look make move multiply okay open pay
play read remind remove retrieve run schedule search send set show solve start stop subtract sum summarise
summarize translate turn update using write yes
"""
_STARTERS: Final = frozenset(_STARTING.split())
"""Words that begin a request and are no names, although they have a capital."""
_ACRONYMS: Final = {"ID", "URL", "URI", "API", "JSON", "A", "I", "AI", "OK"}
_SPELT: Final = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12,
}  # fmt: skip
_NO: Final = {"no", "not", "without", "never", "don", "dont", "disable", "disabled", "false", "off", "exclude"}
_CONNECTED: Final = r"(?:\s+(?:is|are|of|to|as|named|called|at|by|should be|equals)\b|\s*[:=]|\s+in\b)*\s*"


class Arguments(Struct, frozen=True):
    """What was read for an object's properties, and the required ones that the text does not give."""

    values: dict[str, Any]
    missing: tuple[str, ...]


def arguments(schema: Schema | None, text: str, known: Mapping[str, str] | None = None) -> Arguments:
    """The arguments of a function. `known` are values from elsewhere by property name; they go first."""
    return _Reader(schema or {}, text).properties(known or {})


def instance(schema: Schema, text: str, answer: str = "") -> Any:
    """A value that fits the schema, filled from the text; what the text does not give is null where that is allowed,
    otherwise the least value that fits. `answer` goes to properties that are named so."""
    found = _Reader(schema, text, answer).value("answer", schema)
    return least(schema, schema) if found is None else found


def words_of(name: str) -> list[str]:
    """The words of an identifier: `userName2` and `user_name` are user, name."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


class _Reader:
    """One text being read for one schema."""

    def __init__(self, root: Schema, text: str, answer: str = "") -> None:
        self._root = root
        self._text = text[:CHARACTERS]
        self._lower = self._text.lower()
        self._answer = answer
        self._taken: list[tuple[int, int]] = []
        self._left = VALUES

    # objects

    def properties(self, known: Mapping[str, str]) -> Arguments:
        """The arguments of one call: required properties by any evidence, others only where the text names them."""
        shape = shape_of(self._root, self._root)
        listed = {name: shape_of(held, self._root) for name, held in list(shape.properties.items())[:VALUES]}
        wanted = shape.required or [name for name, held in list(listed.items())[:1] if held.kind == "string"]
        values: dict[str, Any] = {}
        for name, held in sorted(listed.items(), key=lambda pair: pair[0] not in wanted):
            if name in known and held.kind == "string":
                values[name] = known[name]
                continue
            found = self.value(name, shape.properties[name], 1) if name in wanted else self._named(name, held)
            if found is not None:
                values[name] = found
        missing = tuple(name for name in shape.required if name not in values and not _given(listed.get(name)))
        return Arguments({name: values[name] for name in listed if name in values}, missing)

    # values

    def value(self, name: str, schema: Any, depth: int = 0) -> Any:
        """The value for a property, None where the text gives none."""
        self._left -= 1
        if depth > DEPTH or self._left < 0:
            return None
        shape = shape_of(schema, self._root)
        if shape.fixed is not UNSET:
            return shape.fixed
        if shape.choices:
            return self._choice(name, shape.choices)
        match shape.kind:
            case "string":
                return self._string(name, shape)
            case "integer" | "number":
                return self._number(name, whole_only=shape.kind == "integer", anywhere=True)
            case "boolean":
                return self._boolean(name)
            case "array":
                return self._list(name, shape, depth)
            case "object":
                return self._object(name, shape, depth)
            case "null":
                return None

    def _object(self, parent: str, shape: Shape, depth: int) -> dict[str, Any] | None:
        """Every property, filled up with least values; None where the text gives nothing at all."""
        values: dict[str, Any] = {}
        found_any = False
        for name, held in shape.properties.items():
            found = self._beside(parent) if name in {"name", "title"} and depth else None
            if found is None:
                found = self.value(name, held, depth + 1)
            if found is None and name not in shape.required:
                continue
            found_any = found_any or found is not None
            values[name] = least(held, self._root) if found is None else found
        return values if found_any or depth == 0 or not shape.properties else None

    def _list(self, name: str, shape: Shape, depth: int) -> list[Any] | None:
        """Entries until the text gives no more."""
        entries: list[Any] = []
        while len(entries) < shape.most:
            before = len(self._taken)
            entry = self.value(name.removesuffix("s"), shape.items, depth + 1)
            if entry is None or len(self._taken) == before:
                break
            entries.append(entry)
        return entries if entries and len(entries) >= shape.fewest else None

    def _named(self, name: str, shape: Shape) -> Any:
        """A value for a property that need not be given: only where the text says its name or one of its choices."""
        self._left -= 1
        if self._left < 0:
            return None
        if shape.choices:
            return self._choice(name, shape.choices)
        match shape.kind:
            case "boolean":
                return self._boolean(name)
            case "integer" | "number":
                return self._number(name, whole_only=shape.kind == "integer", anywhere=False)
            case "string":
                return self._labelled(name)
            case _:
                return None

    def _choice(self, name: str, options: Sequence[Any]) -> Any:
        """The choice that the text names, the longest first."""
        said = set(terms(self._text))
        for option in sorted((one for one in options if one is not None), key=lambda one: -len(str(one))):
            words = terms(" ".join(words_of(str(option))) or str(option))
            if words and all(word in said for word in words):
                return option
        labelled = self._labelled(name)
        return next((one for one in options if labelled and str(one).lower() == labelled.lower()), None)

    def _boolean(self, name: str) -> bool | None:
        """True where the text names it, false where it is named after a no."""
        said = terms(self._text)
        wanted = [word for word in content(" ".join(words_of(name))) if word not in {"is", "has", "include", "us"}]
        places = [place for place, word in enumerate(said) if word in wanted]
        if not places:
            return None
        return not any(word in _NO for word in said[max(0, places[0] - 3) : places[0] + 3])

    def _number(self, name: str, *, whole_only: bool, anywhere: bool) -> int | float | None:
        """The number beside the property's name, or the next one."""
        for word in self._labels(name):
            more = r"\w*" if len(word) > 3 else ""
            label = re.compile(rf"\b{word}{more}{_CONNECTED}[$\u20ac\u00a3#(]*({_NUMBER.pattern})", re.IGNORECASE)
            unit = re.compile(rf"({_NUMBER.pattern})[\s-]*{word.rstrip('s')}{more}\b", re.IGNORECASE)
            for pattern in (label, unit):
                if (match := self._first(pattern)) and (found := _numeric(match, whole_only=whole_only)) is not None:
                    return found
        if not anywhere:
            return None
        for match in self._free(_NUMBER):
            if (found := _numeric(match.group(), whole_only=whole_only)) is not None:
                self._taken.append(match.span())
                return found
        return next((_SPELT[word] for word in terms(self._text) if word in _SPELT), None)

    def _string(self, name: str, shape: Shape) -> str | None:
        words = words_of(name)
        last = words[-1] if words else ""
        if self._answer and last in ANSWERS:
            return self._answer
        form = shape.format or _KINDS.get("".join(words)) or _KINDS.get(last)
        if last in _PEOPLE and (address := self._first(_FORMATS["email"])):
            return address
        if form in _FORMATS:
            found = self._first(_FORMATS[form]) if form != "id" else self._identifier(name)
            return found or (self._first(_QUOTED) if form in {"id", "file"} else None)
        if labelled := self._labelled(name):
            return labelled
        if quoted := self._first(_QUOTED):
            return quoted
        if last in _WHOLE:
            return " ".join(self._text.split()) or None
        if _PLACES & set(words) and (place := self._first(_PLACE)):
            return place.rstrip(".")
        if last in _ROLES and (role := self._first(re.compile(r"\bas\s+(?:an?\s+|the\s+)?([\w-]+)"))):
            return role
        return self._proper() or (None if last in _ROLES else self._object_of())

    # evidence

    def _labels(self, name: str) -> Iterator[str]:
        """How the text may name a property: in full, then by each word that is not vague."""
        words = words_of(name)
        if words and all(word in self._lower for word in words):  # spares the patterns where they cannot match
            yield r"[\s_-]*".join(map(re.escape, words))
        if len(words) > 1:
            alone = (word for word in reversed(words) if word not in _VAGUE and len(word) > 2)
            yield from (re.escape(word) for word in alone if word[:-2] in self._lower)
            if words[-1] == "id":
                yield "id"

    def _labelled(self, name: str) -> str | None:
        """What stands behind the property's name: quoted, after `is` or a colon, a name, or x of "the NAME x"."""
        for label in self._labels(name):
            root = rf"{label[:-2]}\w*" if len(label) > 5 else label
            ways = (
                rf"(?i:\b{label}\b{_CONNECTED})(?:{_QUOTED.pattern})",
                rf"(?i:\b{label}\b(?:\s+(?:is|named|called)\b|\s*[:=])\s*)({_NAME.pattern}|[\w@./+-]*\w)",
                rf"(?i:\b{root}(?:\s+(?:by|as|of|to))?\s+)({_NAME.pattern})",
                rf"(?i:\b(?:the|an?|of|for)\s+{label}\s+)([\w@./+-]*\w)",
            )
            for way in ways:
                found = self._first(re.compile(way))
                if found and found.lower() not in STOP and found not in _ACRONYMS:
                    return found
        return None

    def _identifier(self, name: str) -> str | None:
        """What stands behind the name and looks like an id, or the next word that does."""
        used = len(self._taken)
        found = self._labelled(name)
        if found and _FORMATS["id"].fullmatch(found):
            return found
        del self._taken[used:]
        return self._first(_FORMATS["id"])

    def _beside(self, parent: str) -> str | None:
        """The name that stands right before or behind the word for the object that it names."""
        label = r"\s+".join(map(re.escape, words_of(parent)))
        if not label:
            return None
        return self._first(re.compile(rf"({_NAME.pattern})\s+(?i:{label})\b")) or self._first(
            re.compile(rf"(?i:\b{label})\s+(?:(?:named|called)\s+)?({_NAME.pattern})")
        )

    def _proper(self) -> str | None:
        """The next name: words with capitals, apart from the word that only begins a sentence."""
        for match in self._free(_NAME):
            start, end = match.span()
            text = match.group().rstrip(".'\u2019-").removesuffix("'s").removesuffix("\u2019s")
            first, _, rest = text.partition(" ")
            if first.lower() in STOP or first.lower() in _STARTERS:
                start, text = start + len(first) + 1, rest
            if text and text not in _ACRONYMS:
                self._taken.append((start, end))
                return text
        return None

    def _object_of(self) -> str | None:
        """What the request is about, as the last `for`, `of`, `in` ... says it."""
        for match in reversed(list(self._free(_AFTER))):
            kept: list[str] = []
            for word in match.group(1).split():
                if word.lower() in STOP or (kept and word.endswith("ed")):
                    break
                kept.append(word)
            if kept:
                self._taken.append((match.start(1), match.start(1) + len(" ".join(kept))))
                return " ".join(kept)
        return None

    def _free(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """The matches that touch nothing used before."""
        for match in pattern.finditer(self._text):
            group = match.lastindex or 0
            start, end = match.span(group)
            if not any(start < used_end and used_start < end for used_start, used_end in self._taken):
                yield match

    def _first(self, pattern: re.Pattern[str]) -> str | None:
        """The next match's last group (or all of it), which is used up by that."""
        for match in self._free(pattern):
            group = match.lastindex or 0
            self._taken.append(match.span(group))
            return match.group(group)
        return None


def _given(shape: Shape | None) -> bool:
    """Whether a property has a value without being given one."""
    return shape is not None and (shape.default is not UNSET or shape.nullable)


def _numeric(text: str, *, whole_only: bool) -> int | float | None:
    plain = text.replace(",", "")
    if "." in plain:
        return None if whole_only else float(plain)
    return int(plain)
