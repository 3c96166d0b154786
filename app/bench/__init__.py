"""Measurements of this machine: a shared frame, and one file a benchmark."""
