"""What every package may need and that knows nothing of clusters: errors for people, the log, state files, paths,
durations, timeouts, garbage collection, the crash report.

Not here: anything that names a node, a job or a source."""
