"""The paper's side experiments: continued pretraining, sequences of edits, EntiGraph."""
