"""The one HTTP client of all sources behind HTTP: Prometheus, Alertmanager, slurmrestd.

`client` sends requests with httpx, `connection` gives them a deadline for the whole answer, `faults` says in plain words
what went wrong. The settings of a server are in `collectors.web`. Only `client` and `connection` import httpx.
"""
