"""The hardware of the simulated cluster: site layout, sensors, power, cooling, fabric, storage and NVLink.

What belongs to Slurm stands in `slurmctld`, the text formats of the exporters in `exporters`.
"""
