"""Knowledge incorporation (paper, section 3.1): passages, self-edits, questions, scores."""
