"""The transport of Slurm's own commands: squeue, scontrol, sinfo, sacct, sacctmgr, scancel. It can do everything.

`argv*` spell a change, `fenced_reads` runs a reading command, `write` is the only module that changes anything."""
