"""What is wrong with a node, a GPU or a drain, from one Cluster: XID policy, drain reasons, facts that disagree,
version drift, XID storms, tickets, common failure domains.

Pure functions. Not here: what an operator should do first (`triage`), and sums over the machine (`plant`)."""
