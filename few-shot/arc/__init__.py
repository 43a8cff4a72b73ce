"""SEAL on ARC: test-time training that the policy configures itself (paper, section 4.2).

Each layer imports the ones before it alone:

    settings      the flags of the programs
    puzzles       grids, tasks, augmentations, views, votes; no model
    method        self-edits, inner loop, prediction, reward, outer loop: start here
    show          tasks for the eye
    small_world   invented tasks, and a small model that learns them at test time
"""
