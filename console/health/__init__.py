"""What is wrong with a node, a GPU or a drain, from one Cluster: XID policy, drain reasons, inconsistencies,
version drift, XID storms, tickets, failure domains.

Pure functions. Not here: what an operator should do first (`triage`), and sums over the machine (`plant`)."""
