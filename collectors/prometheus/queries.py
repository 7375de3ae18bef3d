"""Every query that wacht asks Prometheus, in one table, and how a site's settings are put into them.

A template names a series as `<NAME>` or `<NAME label="value">`; what stands there is the series with the matchers of
the site and of the node that is asked for. `$host` stands for the labels that hold the host, `$only` for the matchers
alone. What a query gives by host is given the label `node`, Slurm's name of it, by label_replace on the server, after
the sums: on 12,000 rows, not on 96,000. The last `max by` counts a host once that has two exporters which spell its
label differently; `max by ($host, UUID)` counts a GPU once that has a series a job, an instance or an exporter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

_SERIES = re.compile(r"<([A-Za-z_:][A-Za-z0-9_:]*)(?: ([^>]+))?>")
_WORD = re.compile(r"\$([a-z_]+)")
_BARE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")

UTIL, ENGINE = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
TEMP, WATTS, ENERGY = "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
XID, XID_COUNT = "DCGM_FI_DEV_XID_ERRORS", "DCGM_EXP_XID_ERRORS_COUNT"
#: Matchers of the targets that are slurmctld's own metrics, where the site does not name them.
SLURMCTLD = 'job=~"slurm.*"'
MEMORY = ("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_RESERVED")
#: Fields of one GPU, without DCGM_FI_: those that dcgm-exporter gives by default, and those that it can give.
GPU_FIELDS = (
    "DEV_GPU_UTIL", "DEV_FB_USED", "DEV_FB_FREE", "DEV_FB_RESERVED", "DEV_GPU_TEMP", "DEV_MEMORY_TEMP",
    "DEV_POWER_USAGE", "DEV_POWER_MGMT_LIMIT", "DEV_TOTAL_ENERGY_CONSUMPTION", "DEV_SM_CLOCK", "DEV_MEM_CLOCK",
    "DEV_CLOCK_THROTTLE_REASONS", "DEV_CLOCKS_EVENT_REASONS", "DEV_ECC_SBE_VOL_TOTAL", "DEV_ECC_DBE_VOL_TOTAL",
    "DEV_CORRECTABLE_REMAPPED_ROWS", "DEV_UNCORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_PENDING",
    "DEV_ROW_REMAP_FAILURE", "DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL",
    "DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "DEV_PCIE_LINK_GEN",
    "DEV_PCIE_LINK_WIDTH", "DEV_PCIE_REPLAY_COUNTER", "DEV_XID_ERRORS", "PROF_GR_ENGINE_ACTIVE",
    "PROF_PIPE_TENSOR_ACTIVE",
)  # fmt: skip

#: What is read of slurmctld's counts: base states, of which a node has one, then flags, which come on top of those.
NODE_COUNTS = ("alloc", "mixed", "idle", "down", "future", "unknown", "drained", "draining")
JOB_COUNTS = ("running", "pending", "suspended", "completing")


class Query(Struct, frozen=True, kw_only=True):
    """One query: what it is called, what it needs and gives, and what becomes of its values."""

    name: str
    about: str
    series: tuple[str, ...]
    expr: str
    unit: str = ""
    by: tuple[str, ...] = ("node",)
    """Labels of the answer; with `node` among them it is mapped to Slurm's names, else sent as it stands."""
    record: str | None = None
    """The series of the recording rules that holds the same."""
    low: float = 0.0
    high: float = 1e15
    """What is outside is no value but a blank of DCGM's or an error: it is left out."""
    asked: str = "each reading"
    over: str = ""
    """How charts sum up the samples between two points: avg_over_time, max_over_time, or the newest."""


_GPU_BUSY = f'max by ($host, UUID) (<{UTIL}>) or 100 * max by ($host, UUID) (<{ENGINE} GPU_I_ID!="">)'
_GPU_WATTS = f"max by ($host, UUID) (<{WATTS}>)"
_ALL_MEMORY = '{__name__=~"DCGM_FI_DEV_FB_(USED|FREE|RESERVED)",$only}'
_NOW, _THEN = f"max by ($host, UUID) (<{ENERGY}>)", f"max by ($host, UUID) (<{ENERGY}> offset $span)"

#: The newest sample alone, and with it one target: a standby controller gives the primary's counts once more (it sends
#: the scrape there), a second Prometheus of a pair those of another moment. All series of a target share its labels.
_NODES = "topk(1, timestamp(slurm_nodes{$slurmctld}))"
_JOBS = "topk(1, timestamp(slurm_jobs{$slurmctld}))"
_BY_NAME = ("$1", "__name__", "slurm_(.+)")
_COUNTS = (
    (f'{{__name__=~"slurm_nodes(_({"|".join(NODE_COUNTS)}))?",$slurmctld}} and {_NODES}', *_BY_NAME),
    (f'{{__name__=~"slurm_jobs_({"|".join(JOB_COUNTS)})",$slurmctld}} and {_JOBS}', *_BY_NAME),
    (f"sum(slurm_node_gpus{{$slurmctld}} and ignoring (node) {_NODES})", "gpus", "", ""),
    (f"sum(slurm_node_gpus_alloc{{$slurmctld}} and ignoring (node) {_NODES})", "gpus_alloc", "", ""),
    (_NODES, "nodes_at", "", ""),
    (_JOBS, "jobs_at", "", ""),
    ("min(slurm_nodes{$slurmctld})", "nodes_least", "", ""),
    ("max(slurm_nodes{$slurmctld})", "nodes_most", "", ""),
)
_COUNTED = " or ".join(f'label_replace({expr}, "count", "{to}", "{label}", "{of}")' for expr, to, label, of in _COUNTS)

TABLE: tuple[Query, ...] = (
    Query(
        name="util", unit="%", high=101.0, series=(UTIL, f"{ENGINE} (MIG)"), record="wacht:node_gpu_util:avg",
        about="mean utilisation of a node's GPUs; of one that is cut up (MIG), that of its busiest part",
        expr=f"avg by ($host) ({_GPU_BUSY})", over="avg_over_time",
    ),
    Query(
        name="memory", unit="%", high=101.0, series=MEMORY, record="wacht:node_gpu_memory:percent",
        about="GPU memory in use on a node",
        expr=f"100 * sum by ($host) (max by ($host, UUID, GPU_I_ID) (<{MEMORY[0]}>))"
             f" / sum by ($host) (max by (__name__, $host, UUID, GPU_I_ID) ({_ALL_MEMORY}))"
             f" and count by ($host) (<{MEMORY[1]}>)",
    ),
    Query(
        name="temperature", unit="°C", low=-50.0, high=200.0, series=(TEMP,), record="wacht:node_gpu_temp:max",
        about="the hottest GPU of a node", expr=f"max by ($host) (<{TEMP}>)", over="max_over_time",
    ),
    Query(
        name="gpu_power", unit="W", high=1e6, series=(WATTS,), record="wacht:node_gpu_power:sum",
        about="power of a node's GPUs", expr=f"sum by ($host) ({_GPU_WATTS})", over="avg_over_time",
    ),
    Query(
        name="gpus", unit="GPUs", high=1e4, series=(TEMP,), record="wacht:node_gpus:count",
        about="GPUs of a node that report", expr=f"count by ($host) (max by ($host, UUID) (<{TEMP}>))",
    ),
    Query(
        name="idle", unit="GPUs", high=1e4, series=(UTIL, f"{ENGINE} (MIG)"), record="wacht:node_gpus_idle:count",
        about="GPUs of a node below 5 %", expr=f"sum by ($host) (({_GPU_BUSY}) < bool 5)",
    ),
    Query(
        name="sampled", unit="s", series=(TEMP,), record="wacht:node_gpu_sampled:max",
        about="when a node's newest sample was taken: the age of the facts, not of the fetch",
        expr=f"max by ($host) (timestamp(<{TEMP}>))",
    ),
    Query(
        name="xids", unit="XID", low=1.0, high=100_000.0, by=("node", "gpu", "UUID"), series=(XID,),
        record="wacht:gpu_xid:last", about="the last XID of every GPU that had one; the gauge does not clear",
        expr=f"max by ($host, gpu, UUID) (<{XID}>) > 0",
    ),
    Query(
        name="xid_counts", unit="XIDs", low=1.0, high=1e6, by=("node", "gpu", "UUID", "xid"),
        series=(f"{XID_COUNT} (off by default)",),
        about="XIDs counted in the exporter's window of 5 minutes: repeats, which the gauge does not show",
        expr=f"max by ($host, gpu, UUID, xid) (<{XID_COUNT}>) > 0",
    ),
    Query(
        name="lacking", by=("lacks",), series=(TEMP, XID),
        about="how many series lack a label that everything hangs on, and whether XIDs are exported at all",
        expr=f'label_replace(count(<{TEMP} $unhosted>), "lacks", "host", "", "")'
             f' or label_replace(count(<{TEMP} UUID="">), "lacks", "UUID", "", "")'
             f' or label_replace(absent(<{XID}>), "lacks", "xids", "", "")',
    ),
    Query(
        name="node_power", unit="W", high=1e6, series=("power.node_series",), record="wacht:node_power:max",
        about="power of a node, where its series is configured", expr="$node_series", over="avg_over_time",
    ),
    Query(
        name="rack_power", unit="W", high=1e9, by=("rack",), series=("power.rack_series",),
        record="wacht:rack_power:sum", about="power of a rack, where its series is configured",
        expr="sum by ($rack) ($rack_series)",
    ),
    Query(
        name="site_power", unit="W", high=1e12, by=(), series=("power.rack_series, power.node_series or " + WATTS,),
        about="power of the site: racks where they are measured, else nodes, else GPUs; every 5 minutes over the last "
              "hour for the trend, and for the chart",
        expr="sum($site_series)", record="wacht:site_$source_power:sum", asked="each reading, and for charts",
    ),
    Query(
        name="power_sampled", unit="s", by=(), series=("power.rack_series or power.node_series",),
        about="when the newest sample of the site's power was taken, where the series is a plain metric",
        expr="max(timestamp($plain_series))",
    ),
    Query(
        name="site_util", unit="%", high=101.0, by=(), series=(UTIL, f"{ENGINE} (MIG)"),
        about="mean utilisation of all GPUs, for the chart", expr=f"avg(({_GPU_BUSY}) >= 0)",
        record="wacht:site_gpu_util:avg", asked="for charts",
    ),
    Query(
        name="slurmctld", by=("count",), series=("slurm_nodes", "slurm_jobs", "slurm_node_gpus (26.05)"),
        about="nodes and jobs by state as slurmctld itself counts them, and when: of the target that was sampled last",
        expr=f"max by (count) ({_COUNTED})",
        asked="each reading, with slurm_metrics",
    ),
    Query(
        name="targets", by=("job", "what"), series=("up",), asked="when there are no GPU series",
        about="what the server scrapes: told when there are no GPU series, to say where to look",
        expr='label_replace(sum by (job) (up), "what", "up", "", "")'
             ' or label_replace(count by (job) (up), "what", "all", "", "")',
    ),
    Query(
        name="clock", by=(), series=(), asked="once, before the first chart",
        about="the server's time, by which it keeps its samples", expr="vector(1)",
    ),
    Query(
        name="hosts", by=("$host",), series=(TEMP,), asked="for the nodes on the screen",
        about="how the host is spelt in the series of the nodes asked for", expr=f"count by ($host) (<{TEMP}>)",
    ),
    Query(
        name="gpu_fields", low=-1e15, high=1e16, asked="for the nodes on the screen",
        by=("$host", "gpu", "UUID", "modelName", "GPU_I_ID", "hpc_job", "__name__"),
        series=tuple(f"DCGM_FI_{field}" for field in GPU_FIELDS), about="all that is exported of some nodes' GPUs",
        expr="max by ($host, gpu, UUID, modelName, GPU_I_ID, hpc_job, __name__) ({__name__=~\"$fields\",$only})",
    ),
    Query(
        name="gpu_sampled", unit="s", by=("$host", "UUID"), series=(TEMP,), asked="for the nodes on the screen",
        about="when each GPU of some nodes was sampled", expr=f"max by ($host, UUID) (timestamp(<{TEMP}>))",
    ),
    Query(
        name="xid_past", unit="XID", high=100_000.0, by=("UUID",), series=(XID,), asked="once for a GPU with a new XID",
        about="the XIDs of some GPUs over the last day (step 1 to 10 min) or month (1 h): first and last time, count",
        expr=f'max by (UUID) (<{XID} UUID=~"$uuids">)',
    ),
    Query(
        name="energy", unit="mJ", high=1e18, by=("$host",), series=(ENERGY,), asked="for the job on the screen",
        about="energy that the GPUs of some nodes took in a span of time; since the boot, where there was one in it",
        expr=f"sum by ($host) ({_NOW} - {_THEN} >= 0 or {_NOW} * ({_NOW} - {_THEN} < bool 0) > 0)",
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Query] = {query.name: query for query in TABLE}


def quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def is_plain(series: str | None) -> bool:
    """True for the name of a metric alone, False for PromQL."""
    return series is not None and _BARE.fullmatch(series) is not None


def fill(template: str, words: Mapping[str, str], only: str = "", over: str = "", span: int = 0) -> str:
    """A template with its series and words filled in; series with the matchers `only`, and summed up with `over`,
    a function like avg_over_time, over `span` seconds: for charts."""

    def series(match: re.Match[str]) -> str:
        matchers = ",".join(part for part in (match[2], only) if part)
        found = f"{match[1]}{{{matchers}}}" if matchers else match[1]
        return f"{over}({found}[{span}s])" if over else found

    def word(match: re.Match[str]) -> str:
        return words.get(match[1], match[0])

    return _WORD.sub(word, _SERIES.sub(series, template.replace(",$only", f",{only}" if only else "")))


def by_node(expr: str, labels: tuple[str, ...], pattern: str, keep: tuple[str, ...] = ("node",)) -> str:
    """What an expression gives by host labels, by Slurm's node names: the first label that is there wins."""
    text = expr
    for label in reversed(labels):
        text = f'label_replace({text}, "node", "$1", {quoted(label)}, {quoted(pattern)})'
    return f"max by ({', '.join(keep)}) ({text})"


def one_node(expr: str, node: str) -> str:
    """The rows of one node of an expression that gives the label `node`."""
    return f'{expr} and on (node) label_replace(vector(1), "node", {quoted(node)}, "", "")'
