"""Scripts of models: what they say, when, and the files that say it."""
