"""Invented grid tasks, and a model of a million weights that learns them at test time."""
