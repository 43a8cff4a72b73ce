"""Training of whole models: finetuning on rows, and small models from random weights."""
