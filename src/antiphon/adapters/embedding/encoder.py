"""Sentence encoders on this machine: an ONNX model and its tokenizer make vectors of texts.

Everything here blocks: call it from a thread. numpy, onnxruntime and tokenizers are imported when an encoder is opened,
not when the server starts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, cast

from antiphon.adapters.embedding.recipe import EncoderError, Recipe
from antiphon.core.vectors import Vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Floats: TypeAlias = NDArray[np.float32]
    Flags: TypeAlias = NDArray[np.bool_]

_STEP: Final = 1024
"""Tokens that are computed at once: with more nothing gets faster, and memory grows."""
_LONGEST: Final = 8
"""Characters that are read for each token, of a text that is longer than some thousands of them."""
_INPUTS: Final = {"input_ids", "attention_mask", "token_type_ids"}
_KINDS: Final = {"tensor(int32)": "<i4", "tensor(int64)": "<i8"}


class _Tensor(Protocol):
    name: str
    type: str
    shape: Sequence[object]


class _Session(Protocol):
    def get_inputs(self) -> Sequence[_Tensor]: ...
    def get_outputs(self) -> Sequence[_Tensor]: ...
    def run(self, outputs: Sequence[str], inputs: Mapping[str, object]) -> Sequence[Any]: ...


class Encoder:
    """One loaded model. May be used from several threads."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, session: _Session) -> None:
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._session = session
        self._stopped = False
        self._inputs = {given.name: _KINDS.get(given.type, "") for given in session.get_inputs()}
        if not set(self._inputs) <= _INPUTS or not all(self._inputs.values()):
            raise EncoderError("The embedding model wants inputs that are not supported.")
        outputs = {given.name: len(given.shape) for given in session.get_outputs()}
        whole = "sentence_embedding" if outputs.get("sentence_embedding") == 2 else None
        self._output = whole or next((name for name, rank in outputs.items() if rank == 3), "")
        if not self._output:
            raise EncoderError("The embedding model has no output that is supported.")
        self._pooled = whole is not None

    def encode(self, texts: Sequence[str], use: Literal["document", "query"]) -> Vectors:
        """Vectors of length 1, in order; that of a text in several parts is their mean. `texts` is not empty."""
        import numpy as np  # noqa: PLC0415  # heavy

        prompt = self._recipe.query if use == "query" else self._recipe.document
        owners: list[int] = []
        ids: list[Sequence[int]] = []
        for place, text in enumerate(texts):
            windows = self._windows(prompt + text)
            ids += windows
            owners += [place] * len(windows)
        order = sorted(range(len(ids)), key=lambda window: len(ids[window]), reverse=True)
        sums: Floats | None = None
        for step in _steps(order, ids):
            if self._stopped:
                raise EncoderError("The embedding model was closed.")
            vectors = self._vectors([ids[window] for window in step])
            if sums is None:
                sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
            for window, vector in zip(step, vectors, strict=True):
                sums[owners[window]] += vector * np.float32(len(ids[window]))
        assert sums is not None
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise EncoderError("The embedding model gave vectors that cannot be used.")
        return Vectors(sums.shape[1], (sums / lengths).astype("<f4").tobytes())

    def stop(self) -> None:
        """Make what is being encoded end with EncoderError."""
        self._stopped = True

    def _windows(self, text: str) -> list[Sequence[int]]:
        """The tokens of a text in parts that the model takes, at least one."""
        recipe = self._recipe
        text = _clean(text)[: max(recipe.tokens * recipe.windows * _LONGEST, 4096)]
        whole = self._tokenizer.encode(text)  # one by one: for a batch the library would start threads of its own
        parts: list[Sequence[int]] = [whole.ids or [0]]  # what has no tokens is padding
        parts += [part.ids for part in whole.overflowing[: recipe.windows - 1]]
        return parts

    def _vectors(self, ids: Sequence[Sequence[int]]) -> Floats:
        """The vectors of texts of about the same length, as tokens."""
        import numpy as np  # noqa: PLC0415  # heavy

        lengths = np.array([len(row) for row in ids])
        mask: Flags = np.arange(max(map(len, ids))) < lengths[:, None]
        padded = np.zeros(mask.shape, np.int64)
        padded[mask] = [token for row in ids for token in row]
        given: dict[str, NDArray[Any]] = {
            "input_ids": padded,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(padded),
        }
        inputs = {name: given[name].astype(kind) for name, kind in self._inputs.items()}
        with _failing("The embedding model failed."):
            (output,) = self._session.run([self._output], inputs)
        vectors = cast("Floats", output) if self._pooled else self._pool(cast("Floats", output), mask)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _pool(self, hidden: Floats, mask: Flags) -> Floats:
        import numpy as np  # noqa: PLC0415  # heavy

        match self._recipe.pooling:
            case "cls":
                return hidden[:, 0]
            case "lasttoken":
                return hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1]
            case "max":
                return np.where(mask[:, :, None], hidden, -np.inf).max(axis=1).astype(np.float32)
            case "mean":
                return (mask.astype(np.float32)[:, None] @ hidden)[:, 0] / mask.sum(axis=1, keepdims=True)


def opened(recipe: Recipe, model: Path | bytes, *, threads: int, fused: bool = False) -> Encoder:
    """Load a model from its file or its bytes. `fused`: the graph is made for onnxruntime, and is run as it stands.
    EncoderError when it cannot be loaded."""
    import onnxruntime  # noqa: PLC0415  # heavy
    from tokenizers import Tokenizer  # noqa: PLC0415  # heavy

    runtime: Any = onnxruntime  # its types are not known
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = runtime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_BASIC if fused else level.ORT_ENABLE_ALL
    with _failing("The embedding model cannot be loaded."):
        tokenizer = Tokenizer.from_file(str(recipe.tokenizer))
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokenizer.no_padding()
    cast("Any", tokenizer).enable_truncation(recipe.tokens)
    return Encoder(recipe, tokenizer, session)


@contextmanager
def _failing(words: str) -> Generator[None]:
    """What either library raises, in these words."""
    try:
        yield
    except Exception as error:  # their errors have no class in common
        raise EncoderError(words) from error


def _steps(order: Sequence[int], ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of texts that are computed together; the first of them is the longest."""
    step: list[int] = []
    for place in order:
        if step and (len(step) + 1) * len(ids[step[0]]) > _STEP:
            yield step
            step = []
        step.append(place)
    if step:
        yield step


def _clean(text: str) -> str:
    """The text without what is no Unicode (lone surrogates)."""
    return text.encode("utf-8", "replace").decode()
