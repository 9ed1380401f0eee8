"""Recorded exchanges in place of models, tools and searches."""
