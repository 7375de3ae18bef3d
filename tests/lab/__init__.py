"""A real Slurm for the tests: one or more live clusters of emulated GPU nodes on this machine, nothing to install.

`roots` makes a Debian root file system that holds one Slurm version, `slurm` starts a cluster inside it, `__main__`
does both from the command line (`python3 -m tests.lab up`). Standard library only, so that it runs from a bare Python.
"""
