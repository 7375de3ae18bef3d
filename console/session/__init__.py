"""Opening one cluster in this process: its sources and transport (`cluster_sources`), its gate (`site_gate`), a one-off
snapshot as JSON or text, and the crash report.

Not here: the state of an open cluster on the screen (`clusters.cluster_session`).
"""
