"""The paper's tables: what is printed, the release and our own runs side by side."""
