"""How a sentence encoder in a folder is used, as sentence-transformers lays such folders out.

`tokenizer.json`, and where they are there: `config.json`, `sentence_bert_config.json`, `modules.json`,
`1_Pooling/config.json` and `config_sentence_transformers.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

Pooling: TypeAlias = Literal["mean", "cls", "max", "lasttoken"]

_MOST_TOKENS: Final = 512
"""Of a model that does not say how many it takes."""
_LAYERS: Final = {"Transformer", "Pooling", "Normalize"}
_POOLINGS: Final[Mapping[str, Pooling]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}


class EncoderError(Exception):
    """The model cannot be used; the words name no path."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is used: its tokenizer's file, how many tokens it reads at once, in how many parts of that length a
    text is read at most, how many numbers a vector has (None: not known before the first one), and what stands in front
    of a text that is a query or a document."""

    tokenizer: Path
    tokens: int
    windows: int = 1
    dimension: int | None = None
    pooling: Pooling = "mean"
    query: str = ""
    document: str = ""


class _Config(msgspec.Struct):
    hidden_size: int | None = None
    max_position_embeddings: int | None = None


class _Sentences(msgspec.Struct):
    max_seq_length: int | None = None
    prompts: dict[str, str] = {}


class _Layer(msgspec.Struct):
    type: str


_T = TypeVar("_T")


def recipe(folder: Path, *, tokens: int | None = None, windows: int = 1) -> Recipe:
    """What the folder says; `tokens` None: as many as the model is made for. EncoderError for what is not supported."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise EncoderError("There is no tokenizer.json in the folder of the embedding model.")
    for layer in _read(folder / "modules.json", list[_Layer], []):
        kind = layer.type.rpartition(".")[2]
        if kind not in _LAYERS:
            raise EncoderError(f"The embedding model has a layer of type {kind}, which is not supported.")
    config = _read(folder / "config.json", _Config, _Config())
    longest = _read(folder / "sentence_bert_config.json", _Sentences, _Sentences()).max_seq_length
    prompts = _read(folder / "config_sentence_transformers.json", _Sentences, _Sentences()).prompts
    most = config.max_position_embeddings or longest or _MOST_TOKENS
    return Recipe(
        tokenizer=tokenizer,
        tokens=min(tokens or longest or most, most),
        windows=windows,
        dimension=config.hidden_size,
        pooling=_pooling(_read(folder / "1_Pooling" / "config.json", dict[str, Any], {})),
        query=prompts.get("query", ""),
        document=prompts.get("document", prompts.get("passage", "")),
    )


def _pooling(given: Mapping[str, Any]) -> Pooling:
    names = [name for name, value in given.items() if name.startswith("pooling_mode_") and value is True]
    if "pooling_mode" in given:
        word = given["pooling_mode"]
        names = [name for name, pooling in _POOLINGS.items() if pooling == word] or [str(word)]
    if not names:
        return "mean"
    if len(names) > 1 or names[0] not in _POOLINGS:
        raise EncoderError(f"The embedding model pools by {' and '.join(names)}, which is not supported.")
    return _POOLINGS[names[0]]


def _read(path: Path, kind: type[_T], missing: _T) -> _T:
    """What a file of JSON holds; `missing` where there is none."""
    if not path.is_file():
        return missing
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        raise EncoderError(f"The file {path.name} of the embedding model cannot be read.") from error
