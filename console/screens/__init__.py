"""The screens, one module each. A screen shows one Cluster and never reads a polled source itself.

Not here: columns and lines (`tables`), judgements (`health`, `plant`, `queue`, `triage`).
"""
