"""Lines about a stream as it goes: a line a second, or silence."""
