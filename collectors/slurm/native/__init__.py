"""The road of pyslurm: Slurm's own library, in child processes that may hang, exit or crash without harm.

pyslurm holds the interpreter's lock during every call, libslurm ends the process where it finds no slurm.conf, and one
call of pyslurm 25.11.2 writes to address 0. So nothing here imports pyslurm but `library`, and that only in a child:
`worker` reads, again and again, kept by `client`; `hand` changes something once, started by `write` as a command is.
"""
