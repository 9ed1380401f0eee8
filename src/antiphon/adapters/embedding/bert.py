"""BERT encoders as ONNX graphs, built from their published weights without torch.

The operators that onnxruntime has made for such encoders are used as such, so what runs does not depend on the patterns
that its optimiser finds: run it with basic optimisations. Bump VERSION with every change of the graph: files that were
built before are not used.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto

VERSION: Final = 1
_FUSED: Final = "com.microsoft"
_OPSET: Final = 17


class BertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `config.json` says of the encoder."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512
    hidden_act: str = "gelu"
    model_type: str = "bert"


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a safetensors file by name, read as they are used. ValueError when it is none."""
    import numpy as np  # noqa: PLC0415  # heavy, and only needed where vectors are made

    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack_from("<Q", content)
    header: dict[str, dict[str, Any]] = json.loads(content[8 : 8 + length])
    found: dict[str, NDArray[np.float32]] = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, end = entry["data_offsets"]
            flat = np.frombuffer(content, "<f4", (end - start) // 4, 8 + length + start)
            found[name] = flat.reshape(entry["shape"])
    return found


def built(config: BertConfig, tensors: Mapping[str, NDArray[np.float32]]) -> ModelProto:
    """The encoder. Inputs: `input_ids` and `attention_mask` (int32, texts x tokens, padded on the right); output
    `last_hidden_state` (float32, texts x tokens x numbers)."""
    if config.model_type != "bert" or config.hidden_act != "gelu":
        raise ValueError(f"no BERT with gelu: {config.model_type}, {config.hidden_act}")
    graph = _Graph(config, tensors)
    hidden = graph.embedded()
    for layer in range(config.num_hidden_layers):
        hidden = graph.layer(hidden, f"encoder.layer.{layer}", last=layer == config.num_hidden_layers - 1)
    return graph.model()


class _Graph:
    """A graph that grows."""

    def __init__(self, config: BertConfig, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._config = config
        self._tensors = tensors
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def embedded(self) -> str:
        """Words and their places, added up and normalised; also the lengths of the texts, out of the mask."""
        words = self._constant("embeddings.word_embeddings.weight")
        # all of the text is of the first type, so its vector can be added to those of the places beforehand
        places = (
            self._tensors["embeddings.position_embeddings.weight"]
            + self._tensors["embeddings.token_type_embeddings.weight"][0]
        )
        scale, shift = self._norm("embeddings.LayerNorm")
        inputs = ["input_ids", "", words, self._put("places", places), "", scale, shift, "attention_mask"]
        self._add("EmbedLayerNormalization", inputs, ["embedded", "lengths"], epsilon=self._config.layer_norm_eps)
        return "embedded"

    def layer(self, hidden: str, name: str, *, last: bool) -> str:
        """Attention and the two dense layers behind it, each with its way around."""
        attended = self._add(
            "Attention",
            [hidden, *self._attention(name), "lengths"],
            [f"{name}.attended"],
            num_heads=self._config.num_attention_heads,
        )
        hidden = self._around(attended, hidden, f"{name}.attention.output", f"{name}.between")
        wide = self._product(hidden, f"{name}.intermediate.dense")
        bias = self._constant(f"{name}.intermediate.dense.bias")
        wide = self._add("BiasGelu", [wide, bias], [f"{name}.wide"])
        return self._around(wide, hidden, f"{name}.output", "last_hidden_state" if last else f"{name}.hidden")

    def model(self) -> ModelProto:
        """The graph with its inputs and its output."""
        from onnx import TensorProto, helper  # noqa: PLC0415  # only needed where a graph is built

        texts = ["texts", "tokens"]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT32, texts) for name in ("input_ids", "attention_mask")
        ]
        shape = [*texts, self._config.hidden_size]
        output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "bert", inputs, [output], self._constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="antiphon")

    def _attention(self, name: str) -> tuple[str, str]:
        """Weights and bias of query, key and value side by side."""
        import numpy as np  # noqa: PLC0415  # see `weights`

        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        together = np.concatenate([self._tensors[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self._tensors[f"{part}.bias"] for part in parts])
        return self._put(f"{name}.attention.weight", together), self._put(f"{name}.attention.bias", bias)

    def _around(self, given: str, past: str, name: str, output: str) -> str:
        """A dense layer, and the normalised sum of it and of what went past it."""
        product = self._product(given, f"{name}.dense")
        product = self._add("Add", [product, self._constant(f"{name}.dense.bias")], [f"{name}.dense"], domain="")
        total = self._add("Add", [product, past], [f"{name}.sum"], domain="")
        # SkipLayerNormalization is all of this in one, and a tenth slower
        epsilon = self._config.layer_norm_eps
        inputs = [total, *self._norm(f"{name}.LayerNorm")]
        return self._add("LayerNormalization", inputs, [output], domain="", epsilon=epsilon)

    def _product(self, given: str, name: str) -> str:
        matrix = self._put(f"{name}.weight", self._tensors[f"{name}.weight"].T)
        return self._add("MatMul", [given, matrix], [f"{name}.product"], domain="")

    def _norm(self, name: str) -> tuple[str, str]:
        return self._constant(f"{name}.weight"), self._constant(f"{name}.bias")

    def _constant(self, name: str) -> str:
        return self._put(name, self._tensors[name])

    def _put(self, name: str, tensor: NDArray[np.float32]) -> str:
        import numpy as np  # noqa: PLC0415  # see `weights`
        from onnx import numpy_helper  # noqa: PLC0415  # see `model`

        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(tensor), name))
        return name

    def _add(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = _FUSED, **attributes: float
    ) -> str:
        from onnx import helper  # noqa: PLC0415  # see `model`

        node = helper.make_node(kind, inputs, outputs, domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)
        return outputs[0]
