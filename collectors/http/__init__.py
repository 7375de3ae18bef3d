"""The one HTTP client of all sources behind HTTP: Prometheus, Alertmanager, slurmrestd.

`client` sends requests with httpx, `connection` gives them a deadline for the whole answer, `http_faults` says what
went wrong and how to fix it. A server's settings are in `collectors.web`. `http_faults` imports no HTTP library.
"""
