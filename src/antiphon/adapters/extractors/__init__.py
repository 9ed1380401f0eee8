"""Kinds of documents, one file each: `make(config, parts) -> Extractor`.

Law: a heavy library is imported where it is used, so that the server may import these files to know what they read.
"""
