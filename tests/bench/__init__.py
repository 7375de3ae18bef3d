"""Benchmarks of the console, and of its load on a Slurm controller: `python -m tests.bench`, or `make bench`.

`terminal` runs a program in a pty, directly or over a simulated slow line, and reads its screen with pyte. `procs`
reads its cost from /proc, `command_log` its Slurm commands and RPCs, `stall_watch` the stalls of its event loop.
`screens` and `keys` define what is measured of a console, `live` and `reads` on which Slurms, `peers` against which
other programs. `slow_line`, `soak`, `soak_faults`, `growth` and `telemetry` are further parts. `targets` holds the
limits, `report` the table and results.json, `scale` the page docs/scale.md.
"""
