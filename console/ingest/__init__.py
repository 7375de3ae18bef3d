"""From sources to one frozen Cluster: polling, pacing, reducing and the node names for labels.

Not here: reading a source (`collectors`), and what the screens do with a Cluster.
"""
