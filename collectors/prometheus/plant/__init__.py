"""The plant around the nodes, from Prometheus: cooling, fabric, NVLink domains, storage, checkups.

A `*_queries` module has the PromQL of a subject, the module of that name reads the answers.
"""
