"""The queue: why a job waits, which limit holds it, who holds how much, what became of jobs that ended.

Not here: what is done to a job (`actions`, `gate`), and how Slurm is asked (`collectors.slurm`)."""
