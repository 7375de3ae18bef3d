"""The transport of slurmrestd: typed answers, decoded piece by piece, over a unix socket or https.

`client` asks and `jwt` has the tokens; `answers`, `jobs` and `queue` turn answers into facts; `requests` turns a change
into calls, and only `write` sends them.
"""
