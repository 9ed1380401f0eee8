"""Citations in what the model writes: `<|file-...|>` and `<|web-...|>` marks become annotations.

Law: a mark never reaches a client. The cleaned text and its annotations depend on the text alone, not on how it was cut
into pieces; what may become a mark is held back, for at most `LONGEST` characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol, TypeAlias

import msgspec

from antiphon.core.deltas import TextDelta
from antiphon.core.sentences import beginning
from antiphon.wire.content import Annotation, LogProb

LONGEST: Final = 256
"""Characters between `<|` and `>`: a few ids. What is longer is no mark."""

_MARK: Final = re.compile(rf"<[|\uff5c]([^<>\n]{{0,{LONGEST}}})>")  # some models write the wide bar
_BEGUN: Final = re.compile(rf"<(?:[|\uff5c][^<>\n]{{0,{LONGEST}}})?\Z")
_APART: Final = re.compile(r"[\s|\uff5c,;:='\"`\[\]()]+")
_LIKE: Final = re.compile(
    r"file-\w[\w.-]*|file_id|web-[a-z2-7]{8}|web-\d{1,3}|https?://\S+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    re.IGNORECASE,
)
_FAMILY: Final = re.compile(r"^(?:file|web)[-_]", re.IGNORECASE)
_JOINED: Final = re.compile(r"[\s,;:.!?)\]]*")


class Span(msgspec.Struct, frozen=True):
    """A place in the cleaned text, in characters: what is cited (`start` to `end`), and where its mark stood."""

    start: int
    end: int
    at: int


class Source(Protocol):
    """Something that can be cited (core/sources.py)."""

    @property
    def name(self) -> str:
        """By which a mark may name it too, where no other is called so; "": none."""
        ...

    def annotation(self, span: Span, /) -> Annotation:
        """The citation at this place."""
        ...


Sources: TypeAlias = Mapping[str, Source]
"""What can be cited, by the word that a mark holds: the id of a file, `core.pages.word` of a page."""


def mark(word: str) -> str:
    """How the model is asked to cite a source."""
    return f"<|{word}|>"


class Token:
    """Log probabilities, and how many characters of their text are not told yet."""

    __slots__ = ("left", "logprobs", "whole")

    def __init__(self, left: int, logprobs: tuple[LogProb, ...]) -> None:
        self.left = left
        self.logprobs = logprobs
        self.whole = True


class Scanner:
    """Takes the marks out of one part of text.

    A space in front of a mark goes with it. What is cited is the sentence that the mark ends, or what of it stands
    behind the mark before. A mark that names no known source leaves nothing; text between `<|` and `>` that names no
    source at all is text.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._since: list[str] = []  # the text since the last mark
        self._span = Span(0, 0, 0)
        self._held = ""
        self._tokens: list[Token] = []  # of what is held
        self._length = 0
        self._made: set[tuple[str, int]] = set()

    def feed(self, delta: TextDelta) -> list[TextDelta | Annotation]:
        """What can be told now, in order. Log probabilities stay with their tokens; those of a token that has a part in
        a mark are dropped."""
        text = delta.text
        if not self._held and "<" not in text and not text.endswith(" "):  # most pieces
            self._length += len(text)
            self._since.append(text)
            return [delta]
        self._tokens += _tokens(delta)
        return self._scan(self._held + text)

    def end(self) -> list[TextDelta | Annotation]:
        """What was held back: a mark that was never closed is text."""
        said: list[TextDelta | Annotation] = []
        held, self._held = self._held, ""
        self._say(held, said)
        return said

    def _scan(self, text: str) -> list[TextDelta | Annotation]:
        said: list[TextDelta | Annotation] = []
        done = at = 0
        while (start := text.find("<", at)) >= 0:
            found = _MARK.match(text, start)
            if found is None:
                if _BEGUN.match(text, start):
                    break
                at = start + 1
                continue
            at = found.end()
            cited = self._cited(found[1])
            if cited is None:
                continue
            end = _unspaced(text, start, done)
            self._say(text[done:end], said)
            self._take(at - end, removed=True)
            self._ended()
            said += [citation for citation in map(self._citation, cited) if citation is not None]
            done = at
        end = _unspaced(text, start if start >= 0 else len(text), done)
        self._say(text[done:end], said)
        self._held = text[end:]
        return said

    def _cited(self, body: str) -> list[str] | None:
        """The known sources that a mark names; None: it is no mark."""
        words = [word for word in (*_APART.split(body), body.strip("|\uff5c ")) if word]
        if not any(self._known(word) or _LIKE.fullmatch(word) for word in words):
            return None
        return list(dict.fromkeys(known for word in words if (known := self._known(word))))

    def _known(self, word: str) -> str | None:
        """The source that is meant, also where its prefix is missing or not written as it is, and by its name where no
        other is called so."""
        bare = _FAMILY.sub("", word)
        named = [key for key, source in self._sources.items() if source.name == word]
        spelled = (word, f"file-{bare}", f"web-{bare.lower()}", *(named if len(named) == 1 else ()))
        return next((key for key in spelled if key in self._sources), None)

    def _ended(self) -> None:
        """A mark ends here what it cites. One that follows another at once cites the same."""
        text = "".join(self._since)
        floor = self._length - len(text)
        begun = beginning(text)
        joined = _JOINED.match(text, begun)
        begun = joined.end() if joined else begun
        end = len(text.rstrip())
        if begun < end:
            self._span = Span(floor + begun, floor + end, self._length)
            self._since.clear()
        else:
            self._span = Span(self._span.start, self._span.end, self._length)

    def _citation(self, word: str) -> Annotation | None:
        """None for one that this place has already."""
        place = (word, self._length)
        if place in self._made:
            return None
        self._made.add(place)
        return self._sources[word].annotation(self._span)

    def _say(self, text: str, said: list[TextDelta | Annotation]) -> None:
        logprobs = self._take(len(text), removed=False)
        if text or logprobs:
            self._length += len(text)
            self._since.append(text)
            said.append(TextDelta(text, logprobs))

    def _take(self, length: int, *, removed: bool) -> tuple[LogProb, ...]:
        """Go over so many characters; the log probabilities of the tokens that end there and lost nothing."""
        ended: list[LogProb] = []
        while self._tokens and (self._tokens[0].left <= length):
            token = self._tokens.pop(0)
            length -= token.left
            if token.whole and not (removed and token.left):
                ended += token.logprobs
        if self._tokens and length:
            self._tokens[0].left -= length
            self._tokens[0].whole = self._tokens[0].whole and not removed
        return tuple(ended)


def _unspaced(text: str, end: int, start: int) -> int:
    """Without the space at the end."""
    return end - 1 if end > start and text[end - 1] == " " else end


def _tokens(delta: TextDelta) -> list[Token]:
    """One for each token where they spell the text, else one for all of it."""
    if "".join(each.token for each in delta.logprobs) == delta.text:
        return [Token(len(each.token), (each,)) for each in delta.logprobs]
    return [Token(len(delta.text), delta.logprobs)]
