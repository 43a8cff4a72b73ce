"""Fictional people, and a model of a million weights that knows their world."""
