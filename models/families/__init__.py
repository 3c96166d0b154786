"""One thin adapter a model family."""
