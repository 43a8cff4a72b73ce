"""Models and tokenizers: loading, recognizing a folder, random ones for tests."""
