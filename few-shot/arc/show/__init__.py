"""Show tasks in the terminal and as PNG files."""
