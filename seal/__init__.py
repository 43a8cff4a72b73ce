"""Mechanism shared by the two SEAL domains: adapters, sampling, run folders, statistics.

Importing this package costs nothing. torch and transformers are loaded only by the modules that
compute with them: `lora` and its parts, `models`, `policy`, the samplers and `untrained`.
"""
