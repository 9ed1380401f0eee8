"""Rerankers, one file each; the file name is the `kind` of the section `[reranker]`."""
