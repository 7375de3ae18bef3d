"""Pre-flight checks: what a person should know about each target before an action. Pure.

`checks` has the types; `node_checks`, `job_checks`, `fitness` (the GPUs of a node that returns) and `plant_checks`
(NVLink, cooling, fabric, storage, health checks) find codes with values; `sentences` words them, one row a code, when
the text is shown. The row of an action (`console.actions`) names its checks, and the gate runs them
and reads what they need (`console.gate.preflight_reads`).
"""
