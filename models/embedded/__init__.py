"""The model that ships: its world, its training, its weights."""
