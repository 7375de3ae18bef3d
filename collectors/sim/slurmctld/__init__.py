"""The simulated Slurm: queue, scheduler, reservations, accounting, and the answers to what an operator asks."""
