"""Clusters as this console has them open: the session of each, all of them (`fleet`), and a summary beside others.

Not here: opening a cluster's sources (`console.session`), switching between clusters (`console.app`).
"""
