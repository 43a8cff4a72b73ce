"""Mechanism shared by the two SEAL domains: adapters, sampling, run folders, statistics.

Importing this package costs nothing: torch, transformers and peft are loaded only by the modules
that name them (`seal.lora`, `seal.models`, `seal.sft`, `seal.transformers_sampler`).
"""
