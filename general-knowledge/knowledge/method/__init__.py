"""SEAL on passages (paper, sections 3 and 4.1). Read in this order:

self_edits      what the policy writes about a passage
training_texts  the sequences that a self-edit becomes
inner_loop      the LoRA update on them
closed_book     the passage's questions, asked without the passage
reward          what a self-edit earns: the file to change
selection       which self-edits the policy then imitates
outer_loop      ReST-EM on all of this, with `seal.loop.rest_em`
"""
