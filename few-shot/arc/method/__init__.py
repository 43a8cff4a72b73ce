"""SEAL on ARC tasks (paper, sections 3 and 4.2). Read in this order:

configurations  what a self-edit may say
self_edits      what the policy writes about a task
inner_loop      test-time training as the self-edit says, examples as tokens
prediction      the task solved from several views, by vote
reward          what a self-edit earns: the file to change
outer_loop      ReST-EM on all of this, with `seal.loop.rest_em`
"""
