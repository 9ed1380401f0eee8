"""An example of what others add to Antiphon: a search backend, a tool and an extractor, one module each."""
