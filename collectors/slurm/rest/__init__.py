"""The transport of slurmrestd: typed answers, decoded piece by piece, over a unix socket or https."""
