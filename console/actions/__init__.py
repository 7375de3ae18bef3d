"""What can be done to the machine: one row an action in `registry`.

A row has the key, words, targets, options, checks and inverse. The rows are in
`*_actions` by kind of target and in `incident`; `registry` joins them. Not here: preview, confirmation and sending
(`gate`), and the commands for Slurm (`collectors.slurm.operations`, `collectors.slurm.rest.requests`).
"""
