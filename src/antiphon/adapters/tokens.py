"""Counting with the vocabularies of OpenAI's models, which are inside of the `bpe-openai` wheel.

A model that is not OpenAI's is counted with `o200k_base`: for English text that is within some ten percent of what the
vocabularies of other current models give.
"""

from __future__ import annotations

import importlib.util
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Final, Protocol, cast

from antiphon.core.chunking import Marks

OLD: Final = re.compile(r"gpt-3\.5|gpt-35|gpt-4(?![.\do])|text-embedding-(ada|3)")
"""Names of models of the vocabulary before `o200k_base`."""
_PIECE: Final = 256 * 1024
"""Characters that are counted at once."""
_MOST_WORDS: Final = 65_536
_WORD: Final = 64
"""Characters between two marks, at most; in what is longer and has no white space there is one for every sixteen."""


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...
    def pretokenize(self, text: str) -> list[str]: ...


class _Bindings(Protocol):
    def tokenizer_for_encoding(self, name: str) -> _Tokenizer: ...


class BpeTokens:
    """The tokens port. A vocabulary is loaded when it is first asked for (70 ms, 65 MB)."""

    def __init__(self) -> None:
        self._loaded: dict[str, _Tokenizer] = {}
        self._lock = Lock()

    def count(self, text: str, model: str, /) -> int:
        """The tokens of the text."""
        tokenizer = self._tokenizer(encoding_of(model))
        return sum(map(tokenizer.count, _pieces(text)))

    def ruler(self, model: str, /) -> BpeRuler:
        """What measures texts for chunking. The vocabulary is loaded when the first one is measured."""
        return BpeRuler(partial(self._tokenizer, encoding_of(model)))

    def _tokenizer(self, encoding: str) -> _Tokenizer:
        with self._lock:
            found = self._loaded.get(encoding)
            if found is None:
                found = self._loaded[encoding] = _bindings().tokenizer_for_encoding(encoding)
            return found


class _Counts(dict[str, int]):
    """The tokens of words, each counted once."""

    def __init__(self, tokenizer: _Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        count = self[word] = self._tokenizer.count(word)
        return count


class BpeRuler:
    """Measures with one vocabulary: see `core.chunking.Ruler`. The marks are the ends of the words that are made into
    tokens one by one, so what is between two marks has as many tokens by itself as in its text."""

    def __init__(self, tokenizer: Callable[[], _Tokenizer]) -> None:
        self._tokenizer = tokenizer

    def count(self, text: str, /) -> int:
        """The tokens of the text."""
        return sum(map(self._tokenizer().count, _pieces(text)))

    def marks(self, text: str, /) -> Marks:
        """0.07 s for 1 MB."""
        ends, totals = array("Q"), array("Q")
        tokenizer = self._tokenizer()
        counts = _Counts(tokenizer)
        for piece in _pieces(text):  # each is a few milliseconds in which no other thread runs
            words = _short(tokenizer.pretokenize(piece))
            _add(ends, map(len, words))
            _add(totals, map(counts.__getitem__, words))
        return Marks(ends, totals)


def _add(sums: array[int], numbers: Iterator[int]) -> None:
    """Go on with the sums."""
    sums.extend(islice(accumulate(numbers, initial=sums[-1] if sums else 0), 1, None))


def _short(words: Sequence[str]) -> Sequence[str]:
    """The words, long ones in pieces."""
    if not words or max(map(len, words)) <= _WORD:
        return words
    step = _WORD // 4
    return [
        part
        for word in words
        for part in ((word,) if len(word) <= _WORD else (word[at : at + step] for at in range(0, len(word), step)))
    ]


def encoding_of(model: str) -> str:
    """The name of the vocabulary for this model, called by itself or as `endpoint/model`."""
    return "cl100k_base" if OLD.match(model.rpartition("/")[2].lower()) else "o200k_base"


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces, cut in front of a space, where hardly any token reaches across; without what no vocabulary
    knows (lone surrogates)."""
    text = text.encode("utf-8", "replace").decode()
    start = 0
    while len(text) - start > _PIECE:
        cut = text.rfind(" ", start + 1, start + _PIECE)
        end = cut if cut > 0 else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _bindings() -> _Bindings:
    """The compiled half of the package alone: the Python half parses two vocabularies into dicts when it is imported
    (0.7 s, 100 MB), refuses long texts, and none of it is needed to count."""
    package = importlib.util.find_spec("bpe_openai")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0])
    library = next(path for path in folder.glob("_bindings.*") if path.suffix in {".so", ".pyd"})
    spec = importlib.util.spec_from_file_location("bpe_openai._bindings", library)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("_Bindings", module)
