"""The checks of `wacht doctor`, one module for each subject; each returns findings, and `run` combines them.

Not here: probing a transport or a server (`probe` and `doctor_reads` in `collectors`).
"""
