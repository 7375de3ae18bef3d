"""The facts of nodes, jobs, partitions and reservations: one row each, from which the column, filter field, completion,
order, export, snapshot key and documentation are derived.

Not here: the filter language (`filters`), tables of other rows such as alerts or GPUs (`tables`).
"""
