"""The queue: why a job waits, which limit holds it, who holds how many resources, and why jobs ended.

Not here: actions on a job (`actions`, `gate`), and queries to Slurm (`collectors.slurm`).
"""
