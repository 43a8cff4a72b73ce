"""SEAL on passages: knowledge is incorporated into the weights (paper, sections 3.1 and 4.1).

Each layer imports the ones before it alone:

    settings      the flags of the programs
    data          passages with questions, who gets which, prompts
    judging       is an answer right?
    method        self-edits, inner loop, reward, selection, outer loop: start here
    experiments   continued pretraining, sequences of edits, EntiGraph
    small_world   fictional people, and a small model that knows them
    release       the authors' files
    tables        the paper, the release and our runs side by side
"""
