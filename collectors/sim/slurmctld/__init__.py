"""The simulated Slurm: queue, scheduler, reservations, accounting, and the handlers of operator requests."""
