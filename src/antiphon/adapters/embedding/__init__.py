"""How the embedder on this machine works: BERT as an ONNX graph, its tokens, its session."""
