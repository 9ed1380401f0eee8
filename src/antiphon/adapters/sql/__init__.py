"""What stores are made of: rows, pages, the cache of contexts, and all that is SQLite."""
