"""The machine's past as the samples that a server would hold had it scraped all the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collectors.sim.exporters.dcgm import FIELDS as ALL
from collectors.sim.exporters.dcgm import labels_of, number
from collectors.sim.exporters.exporters import DCGM_PORT, IPMI_PORT, Exporter

FIELDS = (
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_FB_RESERVED",
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "DCGM_FI_DEV_XID_ERRORS",
)
"""What charts, energy and XIDs are made of."""

Sample = tuple[str, str, int]
"""Series with all its labels, value, seconds since the epoch."""


def history(
    exporter: Exporter, hours: float, step: int, nodes: Sequence[str], fields: Sequence[str]
) -> Iterator[Sample]:
    """Samples up to one step before now, oldest first. A node that was down then has none."""
    machine = exporter.machine
    machine.advance()
    now = int(machine.now)
    chosen = [ALL[name] for name in fields]
    for at in range(now - int(hours * 3600), now - step + 1, step):
        racks: dict[tuple[str, str], float] = {}
        for node in nodes:
            host = machine.host(node)
            gpus = machine.sensors.gpus_at(host, at)
            if not gpus:
                continue
            watts = machine.meters.node_w_at(host, at)
            racks[host.rack, host.pdu] = racks.get((host.rack, host.pdu), 0.0) + watts
            where = f'job="dcgm",instance="{node}:{DCGM_PORT}"'
            for gpu in gpus:
                for labels, part in labels_of(gpu, exporter.options):
                    for field in chosen:
                        value = field.value(part)
                        if value is not None:
                            yield f"{field.name}{{{labels},{where}}}", number(value, field.ratio), at
            series = f'ipmi_dcmi_power_consumption_watts{{job="ipmi",instance="{node}:{IPMI_PORT}"}}'
            yield series, number(watts), at
        for (rack, pdu), watts in racks.items():
            series = f'pdu_power_watts{{rack="{rack}",pdu="{pdu}",job="pdu",instance="racks"}}'
            yield series, number(machine.meters.at_pdu(watts)), at
