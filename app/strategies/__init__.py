"""Ways to choose chunks of the past for a question, beside the model's own recall.

Each ranks the candidates on its own; `parse` makes them from text, `union` puts what they chose
together.  What a chosen chunk is used for is not known here.
"""
