"""General helpers without cluster logic: user errors, the log, state files, durations, timeouts, memos, garbage
collection, null sources and TOML files.

Not here: anything that decides about nodes or jobs.
"""
