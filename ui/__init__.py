"""What a person sees: pure drawing data, and later the live page."""
