"""The hardware of the simulated cluster: site layout, sensors, power, cooling, fabric, storage and NVLink.

A module with a `SOURCE` (its name, least seconds between two readings, what reads it of the machine) is a source of its
own; one with an `exposition` is served at `/NAME/metrics`. What belongs to Slurm is in `slurmctld`, the text formats of
the other exporters are in `exporters`.
"""
