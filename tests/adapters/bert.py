"""A BERT encoder in numpy, written from its definition, against which the graph is held."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def tensors(path: Path) -> dict[str, Array]:
    """A safetensors file: eight bytes of length, a header of JSON, the numbers."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    del header["__metadata__"]
    found: dict[str, Array] = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        kind = {"F32": "<f4", "I64": "<i8"}[entry["dtype"]]
        flat = np.frombuffer(content[8 + length + start : 8 + length + end], kind)
        found[name] = flat.reshape(entry["shape"]).astype(np.float64)
    return found


def _erf(given: Array) -> Array:
    """The error function, as the integral that it is."""
    limit = np.clip(given, -5.0, 5.0)
    total = sum(
        weight * np.exp(-((limit * (node + 1.0) / 2.0) ** 2)) for node, weight in zip(_NODES, _WEIGHTS, strict=True)
    )
    return limit / math.sqrt(math.pi) * total


def encoded(weights: dict[str, Array], ids: list[int], *, heads: int, layers: int) -> Array:
    """The mean of the last layer over one text's tokens, of length 1."""

    def dense(given: Array, name: str) -> Array:
        return given @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(given: Array, name: str) -> Array:
        centred = given - given.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def split(given: Array) -> Array:
        return given.reshape(len(ids), heads, -1).transpose(1, 0, 2)

    hidden = norm(
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "embeddings.LayerNorm",
    )
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            split(dense(hidden, f"{name}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
        hidden = norm(hidden + dense(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        wide = dense(hidden, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1.0 + _erf(wide / math.sqrt(2.0)))
        hidden = norm(hidden + dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    mean: Array = hidden.mean(axis=0)
    return mean / np.linalg.norm(mean)
