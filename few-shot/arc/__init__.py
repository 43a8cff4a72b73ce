"""SEAL's few-shot domain: test-time training on ARC tasks, configured by the policy itself."""
