"""The transport of Slurm's own commands: squeue, scontrol, sinfo, sacct, sacctmgr, scancel. It can do everything.

`collectors.slurm.operations` turns a change into command lines, `read_command` runs a read command, `write` is the only
module that changes anything.
"""
