"""The canonical form of what is asked: equal forms are equal requests. Pure.

Nulls go; ids that servers make are numbered in the order in which they appear; secrets are blotted out; what the rules
ignore is left out, what they replace is replaced. The form is what a recording holds, so anybody can see what counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from antiphon.replay.exchange import Answer, RecordingError
from antiphon.replay.pieces import cleaned
from antiphon.replay.secrets import Secrets
from antiphon.wire.codec import builtins

Form: TypeAlias = dict[str, Any]

VOLATILE: Final = re.compile(
    r"(?:\b|(?<=\\[nrt]))(?:(?:(?:resp|msg|fc|fco|ctc|rs|mcp|mcpr|mcpl|mcpa|ws|fs|ci|cu|ig|conv|vs|vsfb|upload|part|call|toolu"
    r"|chatcmpl|cmpl)[_-]|file-)(?=[0-9A-Za-z_-]{12})"
    r"(?=[0-9A-Za-z_-]{0,64}?(?:[0-9A-Za-z]{20}|(?=[A-Za-z]{0,64}[0-9])[0-9A-Za-z]{8}))[0-9A-Za-z_-]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"
)
"""Ids of OpenAI's objects, of ours and of upstreams, and UUIDs; behind a prefix there are digits or no words, so that
`call_customer_service` is none."""


class Replacement(Struct, frozen=True, forbid_unknown_fields=True):
    """Every match of the regular expression `pattern` in a text counts as `by`."""

    pattern: str
    by: str = "<any>"


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """What does not count. `ignore`: paths such as `temperature`, `messages.*.name` or `tools.0` in a request (`*` is
    any key or place); `long`: texts of more characters are kept as their beginning and a digest (0: kept whole)."""

    ignore: tuple[str, ...] = ()
    replace: tuple[Replacement, ...] = ()
    ids: bool = True
    long: int = 0


_CUT: Final = re.compile(r"… <\d+ characters, [0-9a-f]{16}>")


class Canon(Struct, frozen=True):
    """Makes forms by these rules; `redact` blots secrets out."""

    rules: Rules = Rules()
    redact: Secrets = msgspec.field(default_factory=Secrets)

    def form(self, request: Mapping[str, Any]) -> Form:
        """The canonical form of a JSON object."""
        return self.asked(request)[0]

    def asked(self, request: Mapping[str, Any]) -> tuple[Form, dict[str, str]]:
        """The canonical form, and the numbers of the ids in it (`{"file-abc...": "<id 1>"}`). Raises RecordingError for
        what is too deep."""
        ids: dict[str, str] = {}
        try:
            plain = cast("Form", _plain(dict(request)))
            for path in self.rules.ignore:
                _drop(plain, path.split("."))
            return cast("Form", self._value(self.redact.value(plain), ids)), ids
        except RecursionError:
            raise RecordingError("A request is too deep to be recorded or looked up.") from None

    def cleaned(self, answer: Answer, ids: Mapping[str, str], *, again: bool = False) -> Answer:
        """An answer as it is recorded: without secrets, with the ids of its request numbered. `again`: it was recorded
        before. Raises RecordingError."""
        try:
            return cleaned(answer, self.redact, ids, again=again)
        except RecursionError:
            raise RecordingError("An answer is too deep to be recorded.") from None

    def _value(self, value: Any, ids: dict[str, str]) -> Any:
        if isinstance(value, str):
            return self._text(value, ids)
        if isinstance(value, dict):
            held = cast("Form", value).items()
            return {name: self._value(each, ids) for name, each in held if each is not None}
        if isinstance(value, list):
            return [self._value(each, ids) for each in cast("list[Any]", value)]
        return value

    def _text(self, text: str, ids: dict[str, str]) -> str:
        for replacement in self.rules.replace:
            text = re.sub(replacement.pattern, replacement.by, text)
        if self.rules.ids:
            text = VOLATILE.sub(lambda found: ids.setdefault(found[0], f"<id {len(ids) + 1}>"), text)
        if 0 < self.rules.long < len(text) and not _CUT.fullmatch(text, self.rules.long):
            mark = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
            text = f"{text[: self.rules.long]}… <{len(text)} characters, {mark}>"
        return text


def key(port: str, form: Form) -> str:
    """A name of a request at a port; the order of keys does not change it."""
    return hashlib.blake2b(msgspec.json.encode([port, form], order="sorted"), digest_size=8).hexdigest()


def _plain(request: Form) -> Any:
    try:
        return builtins(request)
    except UnicodeEncodeError:
        return builtins(_mended(request))


def _mended(value: Any) -> Any:
    """The value, where halves of characters, which no file can hold, are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _mended(each) for name, each in cast("Form", value).items()}
    if isinstance(value, list | tuple):
        return [_mended(each) for each in cast("Sequence[Any]", value)]
    return value


def mistake(rules: Rules) -> str | None:
    """What is wrong with rules, by the key; None: nothing."""
    if rules.long < 0:
        return "`long` is a number of characters, 0 for none"
    for place, path in enumerate(rules.ignore):
        if not all(path.split(".")):
            return f"`ignore[{place}]` is no path: {path!r}"
    for place, replacement in enumerate(rules.replace):
        try:
            re.sub(replacement.pattern, replacement.by, "")
        except (re.error, IndexError, OverflowError) as error:
            return f"`replace[{place}]` is no regular expression with what to write instead: {error}"
    return None


def _drop(value: Any, path: Sequence[str]) -> None:
    """Take what stands at this path out of a JSON value."""
    first, *rest = path
    if isinstance(value, dict):
        held = cast("Form", value)
        for name in list(held) if first == "*" else [first] if first in held else []:
            if rest:
                _drop(held[name], rest)
            else:
                del held[name]
    elif isinstance(value, list):
        listed = cast("list[Any]", value)
        places = range(len(listed)) if first == "*" else [int(first)] if first.isdigit() else []
        for place in reversed(places):
            if place < len(listed):
                if rest:
                    _drop(listed[place], rest)
                else:
                    listed.pop(place)
