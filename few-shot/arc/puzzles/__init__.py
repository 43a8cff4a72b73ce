"""Grids and tasks: reading, drawing as text, augmenting, voting. No model."""
