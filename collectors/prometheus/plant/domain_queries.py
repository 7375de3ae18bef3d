"""The queries of NVLink domains: dcgm-exporter's fields on a GPU's fabric, if the site collects them.

None of them is among its defaults. The domain's UUID and the IMEX state are texts, which dcgm-exporter adds to every
series as labels (a line of its counters file with type `label`). A node has one row for each distinct value of its
GPUs: rarely more than one.
"""

from __future__ import annotations

from collectors.prometheus.query import Query

from . import PlantSource

CLIQUE, MASK, SUMMARY = (
    "DCGM_FI_DEV_FABRIC_CLIQUE_ID", "DCGM_FI_DEV_FABRIC_HEALTH_MASK", "DCGM_FI_DEV_FABRIC_HEALTH_SUMMARY",
)  # fmt: skip
DAEMON = "DCGM_FI_IMEX_DAEMON_STATUS"
#: Labels.
DOMAIN, IMEX = "DCGM_FI_DEV_FABRIC_CLUSTER_UUID", "DCGM_FI_IMEX_DOMAIN_STATUS"

#: Old samples do not describe the current state and are left out.
_FRESH = f"(<{CLIQUE}> and time() - timestamp(<{CLIQUE}>) < $stale)"


def _by_value(series: str, label: str) -> str:
    return f'count_values by ($host) ("{label}", max by ($host, UUID) (<{series}>))'


SOURCE = PlantSource(name="prom.trays", subject="the NVLink fabric", reader="nvlink_domains:TrayReader")
QUERIES: tuple[Query, ...] = (
    Query(
        name="nvlink_cliques", unit="GPUs", low=1.0, high=1e4, by=("node", DOMAIN, IMEX, "clique"),
        series=(CLIQUE, f"{DOMAIN} (a label)", f"{IMEX} (a label)"), asked="each minute",
        about="GPUs of a node by the domain and the clique of the NVLink fabric that they are in",
        expr=f'count_values by ($host, {DOMAIN}, {IMEX}) ("clique", max by ($host, UUID, {DOMAIN}, {IMEX}) ({_FRESH}))',
    ),
    Query(
        name="nvlink_health", unit="GPUs", low=1.0, high=1e4, by=("node", "summary"), series=(SUMMARY,),
        asked="each minute", expr=_by_value(SUMMARY, "summary"),
        about="GPUs of a node by the driver's summary of their fabric: 1 healthy, 2 unhealthy, 3 limited capacity",
    ),
    Query(
        name="nvlink_masks", unit="GPUs", low=1.0, high=1e4, by=("node", "mask"), series=(MASK,), asked="each minute",
        about="GPUs of a node by the health mask of their fabric: what is not well with it",
        expr=_by_value(MASK, "mask"),
    ),
    Query(
        name="imex", low=-3.0, high=7.0, series=(DAEMON,), asked="each minute",
        about="state of a node's IMEX daemon: 5 is ready", expr=f"max by ($host) (<{DAEMON}>)",
    ),
)  # fmt: skip
