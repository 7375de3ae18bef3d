"""The attention list of the overview and of the hand-over report: what an operator must look at, worst first.

`attention` decides which lines it has and in what order, each `attention_*` module adds the items of one subject.
Pure functions of one Cluster. Not here: what is wrong with a single node (`health`)."""
