"""What needs a person, worst first: the list "Needs you" of the overview and of the hand-over.

`attention` decides what is in it, `attention_*` what each subject adds. Pure, from one Cluster; a judgement carries all
that it was made of. Not here: what is wrong with one node (`health`)."""
