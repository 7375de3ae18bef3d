"""The simulated cluster behind `wacht demo`, the tests and the benchmarks: settings and descriptor.

This module imports nothing heavy. `slurmctld` simulates Slurm, `plant` the hardware and its sensors, `exporters` the
Prometheus exporters; the top of the package ties them together. Nothing here knows the console.
"""

from __future__ import annotations

from msgspec import Struct

from collectors.source_registry import Descriptor

#: Incidents that can be simulated. They start about 30 simulated seconds after the cluster does.
INCIDENTS: dict[str, str] = {
    "pdu": "one power unit dies: half of a rack goes down, its jobs are requeued or fail",
    "xid-storm": "one user's job throws XID 31, 43 and 94 on its nodes; one of them is a real XID 79",
    "lemon": "one node fails, is repaired and fails again",
    "controller-slow": "slurmctld takes 3 to 6 seconds to answer, or does not answer in time",
    "fabric": "the leaf switch of one rack loses links: its nodes drain, jobs across it fail",
    "controller": "slurmctld fails over and does not reach slurmdbd; a job's processes do not die",
    "storage": "/scratch hangs on a rack's nodes: their jobs hang, tasks cannot be killed",
    "cooling": "a CDU trips: the water of four racks warms over minutes, GPUs slow down, nodes go off one by one",
    "nvlink": "on NVL72 racks: a domain falls apart, trays come up in a clique of their own, IMEX is degraded",
}


class SimSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large, how busy and how unlucky the simulated machine is."""

    nodes: int = 256
    """Nodes of the machine."""
    jobs: int | None = None
    """Jobs alive, waiting and running together; None is what suits the size."""
    seed: int = 1
    """The same seed, settings and times give the same machine."""
    speed: float = 1.0
    """Simulated seconds in one real second."""
    incident: str | None = None
    """What goes wrong, by the names that `wacht demo --help` gives."""
    gpus_per_node: int = 8
    """GPUs of each node."""
    nodes_per_rack: int = 16
    """Nodes of each rack."""
    nvl72: bool = False
    """Racks of 18 trays with 4 GPUs, each an NVLink domain, whatever else is said of nodes and racks."""
    hostile: bool = False
    """Put names and reasons in it that try to steer the terminal, cleaned as any collector cleans them."""


DESCRIPTOR = Descriptor(
    key="sim",
    title="a simulated machine",
    settings=SimSettings,
    opens="collectors.sim.sources:open_sources",
)
