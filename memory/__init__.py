"""Keep what the stream has shown, and find it again: chunks, codecs, tiers, index, recall."""
