"""The model on this machine: its numbers are those of its weights, and what is in its folder decides how it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from antiphon.adapters.embedders.local import LocalEmbedder, LocalEmbeddings, lacking
from antiphon.adapters.embedding import minilm
from antiphon.adapters.embedding.encoder import opened
from antiphon.adapters.embedding.recipe import EncoderError, recipe
from antiphon.core.vectors import Vectors
from antiphon.ports.embedder import EmbedderError
from tests.adapters.bert import encoded, tensors

TEXTS = [
    "A short one.",
    "Vectors of sentences, by a small model: 384 numbers each!",
    "Über Größe läßt sich streiten; 猫はソファで眠る。",
    "The quick brown fox jumps over the lazy dog. " * 14,  # 142 tokens
]


def weights() -> Path:
    folder = minilm.folder()
    assert folder is not None, "run make setup"
    return folder


def rows(vectors: Vectors) -> NDArray[np.float32]:
    return np.frombuffer(vectors.packed, "<f4").reshape(len(vectors), vectors.dimension)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize(("tokens", "windows"), [(256, 1), (64, 32), (24, 2)])
async def test_its_vectors_are_what_the_weights_say(models: Path, tokens: int, windows: int) -> None:
    embedder = LocalEmbedder(LocalEmbeddings(threads=1, max_tokens=tokens, windows=windows), models)
    found = rows(await embedder.embed(TEXTS, "document"))
    await embedder.close()
    tokenizer = Tokenizer.from_file(str(weights() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    numbers = tensors(weights() / "model.safetensors")
    for text, got in zip(TEXTS, found, strict=True):
        first, *ids, last = tokenizer.encode(text).ids
        parts = [[first, *ids[at : at + tokens - 2], last] for at in range(0, len(ids), tokens - 2)]
        vectors = [encoded(numbers, part, heads=12, layers=6) * len(part) for part in parts[:windows]]
        expected = np.sum(vectors, axis=0)
        expected = expected / np.linalg.norm(expected)
        assert float(got @ expected) > 0.999999
        assert np.abs(got - expected).max() < 1e-5


async def test_the_graph_is_made_once_and_kept(tmp_path: Path) -> None:
    path = minilm.graph(weights(), tmp_path / "new")
    assert isinstance(path, Path)
    assert path == minilm.kept(tmp_path / "new")
    assert [each.name for each in (tmp_path / "new").iterdir()] == [path.name]
    made = path.stat().st_mtime_ns
    assert minilm.graph(tmp_path / "nowhere", tmp_path / "new") == path
    assert path.stat().st_mtime_ns == made


async def test_a_damaged_graph_is_made_again(tmp_path: Path) -> None:
    minilm.kept(tmp_path).write_bytes(b"half of")
    embedder = LocalEmbedder(LocalEmbeddings(), tmp_path)
    assert len(await embedder.embed(["a"], "query")) == 1
    assert minilm.kept(tmp_path).stat().st_size > 80_000_000
    await embedder.close()


async def test_without_a_place_to_keep_it_the_graph_is_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    embedder = LocalEmbedder(LocalEmbeddings(), tmp_path / "models")
    assert len(await embedder.embed(["a"], "query")) == 1
    await embedder.close()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((weights() / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"others")
    with pytest.raises(EncoderError, match="not the published ones"):
        minilm.graph(tmp_path, tmp_path)
    with pytest.raises(EncoderError, match="cannot be read"):
        minilm.graph(tmp_path / "nowhere", tmp_path)


def test_nothing_heavy_is_imported_before_a_vector_is_wanted() -> None:
    program = (
        "import sys; from pathlib import Path; from antiphon.adapters.embedders.local import *;"
        "embedder = LocalEmbedder(LocalEmbeddings(), Path()); assert embedder.dimension == 384;"
        "assert lacking(LocalEmbeddings()) is None;"
        "assert not {'numpy', 'onnx', 'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


# any model in a folder

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder with a model whose hidden state of a token is (its id, its place, 1)."""

    def write(
        *, layers: Sequence[str] = (), inputs: Sequence[str] = ("input_ids", "attention_mask"), **files: Any
    ) -> Path:
        folder = tmp_path / "tiny"
        (folder / "1_Pooling").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(_tiny(inputs).SerializeToString())
        vocabulary = {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "query": 4}
        tokenizer: dict[str, Any] = {
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        }
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        modules = [{"type": f"sentence_transformers.models.{layer}"} for layer in layers]
        (folder / "modules.json").write_text(json.dumps(modules))
        for name, content in files.items():
            place = folder / "1_Pooling" / "config.json" if name == "pooling" else folder / f"{name}.json"
            place.write_text(json.dumps(content))
        return folder

    return write


def _tiny(inputs: Sequence[str]) -> Any:
    shape = ["texts", "tokens"]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, 3])
    last = helper.make_tensor("last", TensorProto.INT64, [1], [-1])
    one = helper.make_tensor("one", TensorProto.INT64, [], [1])
    along = helper.make_tensor("along", TensorProto.INT64, [], [1])
    nodes = [
        helper.make_node("Mul", ["input_ids", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("CumSum", ["ones", "along"], ["places"]),
        *(helper.make_node("Unsqueeze", [name, "last"], [f"{name}.u"]) for name in ("input_ids", "places", "ones")),
        helper.make_node("Concat", ["input_ids.u", "places.u", "ones.u"], ["all"], axis=-1),
        helper.make_node("Cast", ["all"], ["last_hidden_state"], to=TensorProto.FLOAT),
    ]
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    graph = helper.make_graph(nodes, "tiny", given, [output], [last, one, along, zero])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


async def vectors(folder: Path, texts: Sequence[str], use: Any = "document", **settings: Any) -> list[list[float]]:
    """Scaled so that the last number is 1."""
    embedder = LocalEmbedder(LocalEmbeddings(folder=str(folder), **settings), folder)
    found = rows(await embedder.embed(texts, use))
    await embedder.close()
    return [[round(float(number / row[2]), 3) for number in row] for row in found]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({}, [[1.5, 1.5, 1], [2, 2, 1]]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, [[1.5, 1.5, 1], [2, 2, 1]]),
        ({"pooling_mode_cls_token": True}, [[1, 1, 1], [3, 1, 1]]),
        ({"pooling_mode_max_tokens": True}, [[2, 2, 1], [3, 3, 1]]),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, [[2, 2, 1], [1, 3, 1]]),
        ({"pooling_mode": "cls"}, [[1, 1, 1], [3, 1, 1]]),
    ],
)
async def test_tokens_are_pooled_as_the_folder_says(write: Write, pooling: Any, expected: list[list[float]]) -> None:
    assert await vectors(write(pooling=pooling), ["a b", "c b a"]) == expected


async def test_a_text_may_be_cut_at_the_most_tokens_of_the_model(write: Write) -> None:
    folder = write(sentence_bert_config={"max_seq_length": 2}, config={"hidden_size": 3, "max_position_embeddings": 64})
    assert LocalEmbedder(LocalEmbeddings(folder=str(folder)), folder).dimension == 3
    assert await vectors(folder, ["a b c c"], windows=1) == [[1.5, 1.5, 1]]
    assert await vectors(folder, ["a b c " * 100], max_tokens=512, windows=1) == [[round(127 / 64, 3), 32.5, 1]]


async def test_a_longer_text_is_read_in_parts(write: Write) -> None:
    folder = write(sentence_bert_config={"max_seq_length": 2})
    whole = await vectors(folder, ["a b c c a", "a"], windows=2)
    assert whole == [*await vectors(folder, ["a b c c"], windows=2), [1, 1, 1]]
    assert whole[0] != (await vectors(folder, ["a b c c a"]))[0]


async def test_closing_ends_what_is_being_computed(write: Write) -> None:
    folder = write()
    encoder = opened(recipe(folder), folder / "model.onnx", threads=1)
    encoder.stop()
    with pytest.raises(EncoderError, match="closed"):
        encoder.encode(["a"], "document")


async def test_prompts_stand_in_front_of_texts(write: Write) -> None:
    folder = write(config_sentence_transformers={"prompts": {"query": "query ", "passage": "c "}})
    assert await vectors(folder, ["a"], "query") == [[2.5, 1.5, 1]]
    assert await vectors(folder, ["a"]) == [[2, 1.5, 1]]


async def test_the_name_is_that_of_the_folder_or_of_the_settings(write: Write) -> None:
    folder = write()
    assert LocalEmbedder(LocalEmbeddings(folder=str(folder)), folder).model == "tiny"
    assert LocalEmbedder(LocalEmbeddings(folder=str(folder), model="mine"), folder).model == "mine"


async def test_many_texts_of_any_length_keep_their_order(write: Write) -> None:
    folder = write()
    texts = ["a " * (1 + number * 37 % 400) for number in range(32)]
    found = await vectors(folder, texts)
    assert [row[1] for row in found] == [(len(text.split()) + 1) / 2 for text in texts]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"layers": ["Transformer", "Pooling", "Dense"]}, "Dense"),
        ({"pooling": {"pooling_mode_weightedmean_tokens": True}}, "weightedmean"),
        ({"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}}, "pools by"),
        ({"pooling": {"pooling_mode": "odd"}}, "odd"),
        ({"config": []}, "config.json"),
    ],
)
def test_what_is_not_supported_is_said_before_it_is_used(write: Write, files: dict[str, Any], words: str) -> None:
    assert words in (lacking(LocalEmbeddings(folder=str(write(**files)))) or "")


async def test_a_model_that_cannot_be_used_is_an_embedder_error(write: Write) -> None:
    folder = write(inputs=("input_ids", "pixels"))
    with pytest.raises(EmbedderError, match="inputs") as caught:
        await vectors(folder, ["a"])
    assert not caught.value.transient
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        await vectors(folder, ["a"])
    (folder / "model.onnx").unlink()
    with pytest.raises(EmbedderError, match=r"model\.onnx"):
        await vectors(folder, ["a"])
    (folder / "tokenizer.json").unlink()
    assert "model.onnx" in (lacking(LocalEmbeddings(folder=str(folder))) or "")


def test_a_text_without_tokens_has_a_vector_too(write: Write) -> None:
    folder = write()
    encoder = opened(recipe(folder), folder / "model.onnx", threads=1)
    assert len(encoder.encode(["", "a"], "document")) == 2
