"""Passages with their questions, who gets which, and the prompts about them."""
