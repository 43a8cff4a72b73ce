"""Is an answer right? Judges, how they are fitted, and how far they agree with GPT-4.1."""
