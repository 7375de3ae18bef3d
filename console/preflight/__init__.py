"""Pre-flight checks: what a person should know about each target before an action. Pure.

`checks` has the types; `node_checks`, `job_checks`, `fitness` (the GPUs of a node that returns) and `plant_checks`
(NVLink, cooling, fabric, storage, health checks) find. The row of an action (`console.actions`) names its checks, and
the gate runs them (`console.gate.preflight`). Not here: reading what they need (`console.gate.preflight_reads`).
"""
