"""Measures what an operator feels and what a controller pays: `python -m tests.bench`, or `make bench`.

`terminal` runs a program in a pty and reads its screen with pyte, `procs` reads its cost from /proc, `screens` and
`reads` say what is measured, `report` prints the table and writes results.json.
"""
