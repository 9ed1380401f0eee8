"""Secrets in what is recorded: where they stand in a text or a JSON value. Pure.

Three ways to know one: its value is known; it has a well-known form (a key of a vendor, a bearer token, a password in a
URL); it stands under a telling name (`api_key`, `Authorization`), in JSON of any depth, JSON in texts included. Law:
what cannot be told from a secret is taken for one; replayed is `<redacted>`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote, unquote

import msgspec

BLOT: Final = "<redacted>"
"""What stands in the place of a secret."""
SHORTEST: Final = 8
"""Characters that a known value needs: a shorter one is found in innocent words."""
PLACEHOLDERS: Final = frozenset({"not-needed", "no-key-required", "not-used", "placeholder", "anything", "antiphon"})
"""Known values that are no secrets."""

Object: TypeAlias = dict[str, Any]


class Span(NamedTuple):
    """A part of a text, and what to write instead."""

    start: int
    end: int
    by: str = BLOT


_SHORT: Final = 100
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_NAMES: Final = frozenset(
    "auth authorization apikey apisecret token authtoken accesstoken refreshtoken idtoken bottoken sessiontoken secret "
    "secrets clientsecret secretkey password passwords passwd passphrase pwd cookie cookies credential credentials "
    "privatekey accesskey accesskeyid secretaccesskey sessionkey signingkey encryptionkey authkey masterkey "
    "connectionstring dsn".split()
)
_HARMLESS: Final = frozenset(
    "page next previous continuation sync cursor eos bos pad unk mask sep stop start end special per first last".split()
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PARAMETERS: Final = frozenset(
    "key code sig signature state xamzsignature xamzcredential xgoogsignature xgoogcredential".split()
)
"""Names of a URL's parameters that are telling where the value is long."""
_SCHEMA: Final = {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "properties", "items"}


def telling(name: str) -> bool:
    """Whether what stands under this name is a secret; case and separators do not count."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if words[-1:] == ["token"] and not _HARMLESS.isdisjoint(words[:-1]):
        return False
    return any("".join(words[-count:]) in _NAMES for count in (1, 2, 3))


class Secrets:
    """Finds secrets: those of `known` values, those of well-known forms, those under telling names."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        held = {value for each in known if len(value := each.strip()) >= SHORTEST and value not in PLACEHOLDERS}
        written = {form for value in held for form in (value, quote(value, safe=""), _escaped(value))}
        found = sorted(written, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, found))) if found else None
        self._looked_at = lru_cache(maxsize=4096)(self._found)

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        return replaced(text, self.spans(text))

    def spans(self, text: str) -> list[Span]:
        """Where they stand: in order, apart from each other."""
        if len(text) < SHORTEST:
            return []
        if len(text) <= _SHORT:  # words that come again in every document
            return list(self._looked_at(text))
        return self._found(text)

    def _found(self, text: str) -> list[Span]:
        found = [] if self._known is None else [Span(*match.span()) for match in self._known.finditer(text)]
        for finder in _FINDERS:
            found += finder(text)
        return _merged(found)

    def value(self, value: Any, *, named: bool = False) -> Any:
        """A JSON value without its secrets; `named`: it stands under a telling name."""
        if isinstance(value, str):
            return (BLOT if value else "") if named else self._encoded(self(value))
        if isinstance(value, dict):
            return self._object(cast("Object", value), named=named)
        if isinstance(value, list):
            return [self.value(each, named=named) for each in cast("list[Any]", value)]
        if named and isinstance(value, int | float) and not isinstance(value, bool):
            return BLOT
        return value

    def _encoded(self, text: str) -> str:
        """The text; of base64 (also behind `data:...;base64,`) that holds a text, that one is looked at."""
        head, mark, body = text.rpartition("base64,")
        if len(body) < SHORTEST * 4 // 3 or len(body) % 4 or not _BASE64.fullmatch(body):
            return text
        try:
            held = base64.b64decode(body).decode()
        except ValueError:
            return text
        plain = self(held)
        return text if plain == held else head + mark + base64.b64encode(plain.encode()).decode()

    def _object(self, value: Object, *, named: bool) -> Object:
        if not _SCHEMA.isdisjoint(value):
            named = False  # the description of a field, not the field
        return {self(name): self.value(held, named=named or _kept(value, name, held)) for name, held in value.items()}


def replaced(text: str, spans: Iterable[Span]) -> str:
    """The text with other words at these places."""
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += (text[at : span.start], span.by)
        at = span.end
    return "".join([*parts, text[at:]]) if parts else text


def _kept(among: Mapping[str, Any], name: str, held: object) -> bool:
    """Whether a field of an object is a secret. Of log probabilities `token` is what was said, elsewhere a number of
    that name is a count."""
    if not telling(name):
        return False
    counted = isinstance(held, int | float) and re.sub(r"[^a-z]", "", name.lower()).endswith("token")
    return not counted and "logprob" not in among


def _escaped(value: str) -> str:
    return msgspec.json.encode(value).decode()[1:-1]


def _merged(found: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(found):
        if span.end <= span.start:
            continue
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), last.by)
        else:
            merged.append(span)
    return merged


# well-known forms

_VENDORS: Final = "sk pk rk xai pplx tvly r8 gsk csk fw nvapi glpat pypi dckr_pat jina".split()
_FORMS: Final = tuple(
    (signs, re.compile(pattern))
    for signs, pattern in (
        (
            ("PRIVATE KEY",),
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
        ),
        (
            tuple(f"{vendor}{between}" for vendor in _VENDORS for between in "-_"),
            rf"\b(?:{'|'.join(_VENDORS)})[-_](?=[A-Za-z0-9_-]{{0,200}}[0-9])[A-Za-z0-9_-]{{16,}}",
        ),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{16,}"),
        (("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
        (("hf_", "npm_"), r"\b(?:hf|npm)_[A-Za-z0-9]{20,}"),
        (("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
        (("xox", "xapp"), r"\b(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}"),
        (("AIza", "ya29."), r"\b(?:AIza|ya29\.)[0-9A-Za-z_-]{20,}"),
        (("SG.",), r"\bSG\.[0-9A-Za-z_-]{16,200}\.[0-9A-Za-z_-]{16,}"),
        (("eyJ",), r"\beyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    )
)
"""What stands in every text that holds one of a form, and the form."""
_SCHEME: Final = re.compile(
    r"\b(?:bearer|basic)\s{1,4}(?P<kept>(?=[A-Za-z._~+/=-]{0,200}[0-9])[A-Za-z0-9._~+/=-]{6,}|[A-Za-z0-9._~+/=-]{20,})",
    re.IGNORECASE,
)
_USER: Final = re.compile(
    r"(?<=://)(?P<kept>[^\s/?#@:\"'\\]{0,200}:[^\s/?#@\"'\\]{1,500}|[^\s/?#@:\"'\\]{16,500})(?=@)"
)
_HEADER: Final = re.compile(
    r"\b(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[A-Za-z0-9-]{1,20} )?"
    r"(?P<kept>(?=\S{0,200}[0-9])[^\s\"'<>\\]{8,}+)(?! <redacted>)"
    r"|\b(?:set-)?cookie[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?P<also>[^\s\"'=;<>\\]{1,100}=[^\r\n\"'<>\\]{1,4000})",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(r"[?&;](?P<name>[A-Za-z0-9_.%\[\]-]{1,60})=(?P<kept>[^&\s\"'<>#()\\]+)")
_SIGNS: Final = r"A-Za-z0-9._~+/!@#$%^&*=-"
_ASSIGNED: Final = re.compile(
    r"(?<![A-Za-z0-9_-])(?P<name>[A-Za-z][A-Za-z0-9_-]{1,60})[ \t]{0,4}[:=][ \t]{0,4}[\"'`]?"
    rf"(?P<kept>(?=[{_SIGNS}]{{0,200}}[0-9])(?=[{_SIGNS}]{{0,200}}[A-Za-z])[{_SIGNS}]{{8,}})(?![(\[\w])"
)


def _forms(text: str) -> Iterator[Span]:
    for signs, form in _FORMS:
        if any(sign in text for sign in signs):  # most texts hold none
            yield from (Span(*found.span()) for found in form.finditer(text))


def _schemes(text: str) -> Iterator[Span]:
    return (Span(*found.span("kept")) for found in _SCHEME.finditer(text))


def _users(text: str) -> Iterator[Span]:
    return (Span(*found.span("kept")) for found in _USER.finditer(text))


def _headers(text: str) -> Iterator[Span]:
    return (Span(*found.span("kept" if found["kept"] else "also")) for found in _HEADER.finditer(text))


def _parameters(text: str) -> Iterator[Span]:
    for found in _PARAMETER.finditer(text):
        name, value = unquote(found["name"]), found["kept"]
        long = len(value) >= 16 and any(letter.isdigit() for letter in value)
        if telling(name) or (long and re.sub(r"[^a-z]", "", name.lower()) in _PARAMETERS):
            yield Span(*found.span("kept"))


def _assigned(text: str) -> Iterator[Span]:
    for found in _ASSIGNED.finditer(text):
        name = found["name"]
        if telling(name) and not name.lower().endswith("authorization"):  # behind that comes a scheme
            yield Span(*found.span("kept"))


# JSON in texts, whole or not

_FIELD: Final = re.compile(
    r"(?P<quote>\\{0,15}[\"'])(?P<name>[A-Za-z][A-Za-z0-9_ .-]{1,60})(?P=quote)\s{0,20}:\s{0,20}"
)
_NUMBER: Final = re.compile(r"-?[0-9][0-9.eE+-]*")
_STRING: Final = {
    '"': re.compile(r'(?:[^"\\]|\\[\s\S])*'),
    "'": re.compile(r"(?:[^'\\\n]|\\[\s\S])*"),
}
_BRACKETS: Final = re.compile(r"[\[\]{}]|\\{0,15}\"")
_DEEP: Final = 4000
"""Characters of a list or an object under a telling name that are looked at."""


def _fields(text: str) -> Iterator[Span]:
    """What stands under telling names in JSON (or Python's way to write it) within a text, escaped or not."""
    done = 0
    for found in _FIELD.finditer(text):
        if found.start() < done or not telling(found["name"]):
            continue
        start = found.end()
        if text.startswith(found["quote"], start):
            start += len(found["quote"])
            end = _string_end(text, start, found["quote"])
            yield Span(start, end)
        elif text[start : start + 1] in ("[", "{"):
            end = _bracket_end(text, start)
            if _SCHEMA.isdisjoint(re.findall(r"[\"']([a-zA-Z$]+)\\*[\"']\s*:", text[start:end])):
                mark = found["quote"]
                yield Span(start, end, f"{mark}{BLOT}{mark}")
        elif (number := _NUMBER.match(text, start)) and not found["name"].lower().endswith("token"):
            end = number.end()
            yield Span(start, end, f"{found['quote']}{BLOT}{found['quote']}")
        else:
            end = start
        done = end


def _string_end(text: str, start: int, mark: str) -> int:
    if len(mark) == 1:
        found = _STRING[mark].match(text, start)
        return found.end() if found else start
    end = re.compile(r"(?<!\\)" + re.escape(mark)).search(text, start)
    return end.start() if end else len(text)


def _bracket_end(text: str, start: int) -> int:
    depth, quoted = 0, ""
    for found in _BRACKETS.finditer(text, start, start + _DEEP):
        mark = found[0]
        if mark[-1] == '"':
            if not quoted:
                quoted = mark
            elif mark == quoted:
                quoted = ""
        elif not quoted:
            depth += 1 if mark in "[{" else -1
            if depth == 0:
                return found.end()
    return min(len(text), start + _DEEP)


_FINDERS: Final[tuple[Callable[[str], Iterator[Span]], ...]] = (
    _forms,
    _schemes,
    _users,
    _headers,
    _parameters,
    _assigned,
    _fields,
)
