"""The screens, one module each: every one shows one Cluster and never reads a source.

Not here: columns and lines (`tables`), judgements (`health`, `plant`, `queue`, `triage`)."""
