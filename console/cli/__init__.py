"""The command line, one module for each subcommand. Imports as little as possible: `wacht snapshot` must start as fast
as squeue.

Not here: what the commands do, which other packages share with the screens.
"""
