"""Embeddings on this machine: all-MiniLM-L6-v2 from its package, or any ONNX model in a folder.

The model is loaded when the first vector is wanted, and computes in threads of its own: documents in one, queries in
another, so that a search does not wait for an ingestion.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Annotated, Final, Literal

import msgspec

from antiphon.adapters.embedding import minilm
from antiphon.adapters.embedding.encoder import Encoder, opened
from antiphon.adapters.embedding.recipe import EncoderError, Recipe, recipe
from antiphon.adapters.parts import Parts
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import EmbedderError

LOGGER = logging.getLogger(__name__)
MOST_TEXTS: Final = 16
MOST_TOKENS: Final = 100_000
"""Of one call: what a model computes is bounded by the tokens that it takes."""


class LocalEmbeddings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the model."""

    folder: str | None = None
    """With `model.onnx` and `tokenizer.json`, as sentence-transformers lays it out; default: all-MiniLM-L6-v2."""
    model: str | None = None
    """The model's name; default: that of the folder."""
    max_tokens: Annotated[int, msgspec.Meta(ge=8)] | None = None
    """Tokens (the model's) that are read at once; default: what the model is made for."""
    windows: Annotated[int, msgspec.Meta(ge=1, le=256)] = 32
    """Parts of that length that a longer text is read in; its vector is their mean. 1: the rest is cut off."""
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Threads that compute one vector; default: half of the processors."""


class LocalEmbedder:
    """The embedder port over one model. `models` is the folder for what is made of weights."""

    def __init__(self, settings: LocalEmbeddings, models: Path) -> None:
        self._settings = settings
        self._models = models
        self._folder = _folder(settings)
        self._dimension: int | None = None
        self._recipe: Recipe | None = None
        self._encoder: Encoder | None = None
        self._loading = Lock()
        self._threads = {use: ThreadPoolExecutor(1, f"antiphon-embed-{use}") for use in ("document", "query")}

    @property
    def model(self) -> str:
        """As the settings say, or the folder's name."""
        if self._settings.model is not None:
            return self._settings.model
        return minilm.NAME if self._settings.folder is None or self._folder is None else self._folder.name

    @property
    def dimension(self) -> int | None:
        """As the model's config says, or as the first vector had it."""
        if self._dimension is None and self._folder is not None:
            try:
                self._dimension = self._read().dimension
            except EncoderError:
                return None  # said when a vector is wanted
        return self._dimension

    @property
    def most_texts(self) -> int:
        """A second or two of one core."""
        return MOST_TEXTS

    @property
    def most_tokens(self) -> int:
        """More than these texts have."""
        return MOST_TOKENS

    async def embed(self, texts: Sequence[str], use: Literal["document", "query"], /) -> Vectors:
        """The vectors of these texts, of length 1."""
        if not texts:
            raise EmbedderError("There is nothing to embed.", transient=False)
        try:
            thread = self._threads[use]
            found = await asyncio.get_running_loop().run_in_executor(thread, self._encode, list(texts), use)
        except EncoderError as error:
            raise EmbedderError(str(error), transient=False) from error
        except (MemoryError, RuntimeError) as error:
            raise EmbedderError("The embedding model cannot be run at the moment.") from error
        self._dimension = found.dimension
        return found

    async def close(self) -> None:
        """Give up what waits and what is being computed, and release the model."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
        if self._encoder is not None:
            self._encoder.stop()
        await asyncio.to_thread(self._release)

    def _encode(self, texts: Sequence[str], use: Literal["document", "query"]) -> Vectors:
        with self._loading:
            if self._encoder is None:
                self._encoder = self._opened()
            encoder = self._encoder
        return encoder.encode(texts, use)

    def _opened(self) -> Encoder:
        made = self._read()
        assert self._folder is not None
        threads = self._settings.threads or max(1, (os.cpu_count() or 1) // 2)
        if self._settings.folder is not None:
            return opened(made, _graph(self._folder), threads=threads)
        path = minilm.graph(self._folder, self._models)
        try:
            return opened(made, path, threads=threads, fused=True)
        except EncoderError:
            if isinstance(path, bytes):
                raise
            LOGGER.warning("The kept graph of %s cannot be loaded; it is made again.", minilm.NAME)
            path.unlink(missing_ok=True)
            return opened(made, minilm.graph(self._folder, self._models), threads=threads, fused=True)

    def _read(self) -> Recipe:
        if (lack := lacking(self._settings)) is not None:
            raise EncoderError(f"The local embedding model cannot be used: {lack}.")
        if self._recipe is None:
            assert self._folder is not None
            self._recipe = _recipe(self._folder, self._settings)
        return self._recipe

    def _release(self) -> None:
        with self._loading:
            self._encoder = None


def lacking(settings: LocalEmbeddings) -> str | None:
    """What is not there that the model needs; None: nothing. Imports none of it."""
    libraries = ["onnxruntime", "tokenizers", *(["onnx"] if settings.folder is None else [])]
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} is not installed (the extra `local`)"
    folder = _folder(settings)
    if folder is None:
        return f"the weights are not installed ({minilm.PACKAGE.replace('_', '-')})"
    if settings.folder is None:
        return None
    try:
        _graph(folder)
        _recipe(folder, settings)
    except EncoderError as error:
        return str(error).rstrip(".")
    return None


def _folder(settings: LocalEmbeddings) -> Path | None:
    return minilm.folder() if settings.folder is None else Path(settings.folder).expanduser()


def _recipe(folder: Path, settings: LocalEmbeddings) -> Recipe:
    return recipe(folder, tokens=settings.max_tokens, windows=settings.windows)


def _graph(folder: Path) -> Path:
    """The model's file in its folder."""
    for path in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        if path.is_file():
            return path
    raise EncoderError("There is no model.onnx in the folder of the embedding model.")


def make(config: LocalEmbeddings, parts: Parts) -> LocalEmbedder:
    """The adapter of kind `local`."""
    return LocalEmbedder(config, parts.folder / "models")
