"""Video language models behind one face; what they need of the past is a Protocol."""
