"""Tasks for the eye: in the terminal, and as PNG."""
