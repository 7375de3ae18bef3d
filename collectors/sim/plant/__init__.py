"""The hardware of the simulated cluster: site layout, sensors, power, cooling, fabric, storage and NVLink.

What belongs to Slurm is in `slurmctld`, the text formats of the exporters are in `exporters`.
"""
