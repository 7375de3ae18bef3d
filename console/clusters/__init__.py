"""Clusters as this console has them open: the session of each, and its summary beside other clusters.

Not here: opening a cluster's sources (`console.session`), switching between clusters (`console.app`).
"""
