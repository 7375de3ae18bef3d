"""The transport of pyslurm: Slurm's own library, in child processes that may hang, exit or crash without harm.

pyslurm holds the GIL during every call, libslurm ends the process if it finds no slurm.conf, and one call of pyslurm
25.11.2 writes to address 0. So only `pyslurm_library` imports pyslurm, and only in a child process: `worker` reads
repeatedly and is kept by `client`; `write_worker` makes one change and is started by `write`.
"""
