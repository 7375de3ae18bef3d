"""What can be done to the machine: one row an action in `registry`.

A row has the key, words, targets, options, checks and inverse; the rows stand in `*_actions`, by kind of target.
Not here: how an action is previewed, confirmed and sent (`gate`), and how it is spelt for Slurm
(`collectors.slurm.*.argv`, `collectors.slurm.rest.requests`).
"""
