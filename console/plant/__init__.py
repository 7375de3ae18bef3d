"""The machine as a whole: totals, power against its budget, cooling loops, NVLink domains, fabric, shared file systems.

Pure functions from a Cluster to figures. Not here: columns and lines that show them (`tables`)."""
