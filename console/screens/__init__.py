"""The screens: each shows one Cluster and never reads a source."""
