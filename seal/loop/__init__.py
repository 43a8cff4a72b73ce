"""The two loops of SEAL, for any domain (paper, section 3.1)."""
