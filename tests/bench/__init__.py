"""Measures what an operator feels and what a controller pays: `python -m tests.bench`, or `make bench`.

`terminal` runs a program in a pty, near or at the end of a line, and reads its screen with pyte; `procs` reads its cost
from /proc, `started` what it asks of Slurm, `probe` its stalls. `screens` and `keys` say what is measured of a console,
`live` and `reads` on which Slurms, `peers` beside which programs; then there are `far`, `soak` and `growth`. `targets`
holds the figures to keep, `report` prints the table and keeps results.json, `scale` makes docs/scale.md of it.
"""
