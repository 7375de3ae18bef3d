"""The command line, one module a subcommand.

It imports as little as it can: `wacht snapshot` must start as fast as squeue."""
