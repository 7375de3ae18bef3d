"""Every query that wacht sends to Prometheus, in one table, and how a site's settings are filled in.

A template names a series as `<NAME>` or `<NAME label="value">`, which becomes the series with the matchers of the site
and of the requested node. `$host` becomes the labels that hold the host, `$only` the matchers only. A query with
the label `node` gives rows by those labels: `host_labels` maps each to a Slurm node, and makes one row of a host with
two exporters that write its label differently. `max by ($host, UUID)` counts a GPU once that has one series for each
job, instance or exporter.

`dcgm_names` has dcgm-exporter's series: each quantity with all its names. `each` joins the names with `or`, after the
first sum: a GPU or a node counts under the first name that it has. So a half rolled-out site answers like any other, in
one query, and an absent name costs the server one index look-up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.hosts import HOST_PATTERN, HOST_REPLACEMENT
from collectors.model import FOLLOWERS

from .dcgm_names import ENERGY, ENGINE, FREE, GPU, MARK, RESERVED, TEMP, USED, UTIL, WATTS, XID
from .plant import query_modules
from .query import Query

_SERIES = re.compile(r"<([A-Za-z_:][A-Za-z0-9_:]*)(?: ([^>]+))?>")
_WORD = re.compile(r"\$([a-z_]+)")
_BARE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")

XID_COUNT = "DCGM_EXP_XID_ERRORS_COUNT"
_XIDS_OF = f'max by (UUID) ({{__name__=~"{"|".join(XID.series)}",UUID=~"$uuids",$only}})'
#: Matchers of the targets with slurmctld's own metrics, if the site does not name them.
SLURMCTLD = 'job=~"slurm.*"'

#: slurmctld's counts: base states, of which a node has one, then flags, which are counted in addition.
NODE_COUNTS = ("alloc", "mixed", "idle", "down", "future", "unknown", "drained", "draining")
JOB_COUNTS = ("running", "pending", "suspended", "completing")


_GPU, _PART = "max by ($host, UUID) (<{}>)", 'max by ($host, UUID) (<{} GPU_I_ID!="">)'
_GPU_BUSY = f"{UTIL.each(_GPU)} or {ENGINE.each(_PART)}"
#: A NaN sample is unknown: it is in no mean and no idle GPU.
_KNOWN_BUSY = f"({_GPU_BUSY}) >= 0"
_BUSY = (UTIL.told, f"{ENGINE.told} (MIG)")
_NOW, _THEN = f"({ENERGY.each(_GPU)})", f"({ENERGY.each('max by ($host, UUID) (<{}> offset $span)')})"
_JOBS_OF_GPUS = TEMP.each("group by (job) (<{}>)")
_UNHOSTED, _UNKNOWN = TEMP.each("<{} $unhosted>"), TEMP.each('<{} UUID="">')
_NO_XIDS = " and ".join(f"absent(<{name}>)" for name in XID.series)


def _memory(used: str, free: str, reserved: str) -> str:
    """The share of the memory in use, from these names: the unit is the same for all three and cancels out."""
    return (
        f"100 * sum by ($host) (max by ($host, UUID, GPU_I_ID) (<{used}>))"
        f" / sum by ($host) (max by (__name__, $host, UUID, GPU_I_ID)"
        f' ({{__name__=~"{used}|{free}|{reserved}",$only}})) and count by ($host) (<{free}>)'
    )


#: The newest sample only, and thus one target: a standby controller repeats the primary's counts (it forwards the
#: scrape), a second Prometheus of a pair gives those of another moment. All series of a target share its labels.
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
        name="util", unit="%", high=101.0, series=_BUSY, record="wacht:node_gpu_util:avg",
        about="mean utilisation of a node's GPUs; of one that is cut up (MIG), that of its busiest part",
        expr=f"avg by ($host) ({_KNOWN_BUSY})", over="avg_over_time",
    ),
    Query(
        name="util_gpus", unit="GPUs", high=1e4, series=_BUSY, record="wacht:node_gpus_util:count",
        about="GPUs of a node whose utilisation is known: the weight of its mean in that of the site",
        expr=f"count by ($host) ({_KNOWN_BUSY})",
    ),
    Query(
        name="memory", unit="%", high=101.0, series=(USED.told, FREE.told, RESERVED.told),
        record="wacht:node_gpu_memory:percent", about="GPU memory in use on a node",
        expr=" or ".join(
            _memory(*(name.series for name in names))
            for names in zip(USED.ranked, FREE.ranked, RESERVED.ranked, strict=True)
        ),
    ),
    Query(
        name="temperature", unit="°C", low=-50.0, high=200.0, series=(TEMP.told,), record="wacht:node_gpu_temp:max",
        about="the hottest GPU of a node", expr=TEMP.each("max by ($host) (<{}>)"), over="max_over_time",
    ),
    Query(
        name="gpu_power", unit="W", high=1e6, series=(WATTS.told,), record="wacht:node_gpu_power:sum",
        about="power of a node's GPUs", expr=f"sum by ($host) ({WATTS.each(_GPU)})", over="avg_over_time",
    ),
    Query(
        name="gpus", unit="GPUs", high=1e4, series=(TEMP.told,), record="wacht:node_gpus:count",
        about="GPUs of a node that report", expr=f"count by ($host) ({TEMP.each(_GPU)})",
    ),
    Query(
        name="idle", unit="GPUs", high=1e4, series=_BUSY, record="wacht:node_gpus_idle:count",
        about="GPUs of a node below 5 %", expr=f"sum by ($host) (({_KNOWN_BUSY}) < bool 5)",
    ),
    Query(
        name="sampled", unit="s", series=(TEMP.told,), record="wacht:node_gpu_sampled:max",
        about="when a node's newest sample was taken: the age of the facts, not of the fetch",
        expr=TEMP.each("max by ($host) (timestamp(<{}>))"),
    ),
    Query(
        name="xids", unit="XID", low=1.0, high=100_000.0, by=("node", "gpu", "UUID"), series=(XID.told,),
        record="wacht:gpu_xid:last", about="the last XID of every GPU that had one; the gauge does not clear",
        expr=f"({XID.each('max by ($host, gpu, UUID) (<{}>)')}) > 0",
    ),
    Query(
        name="xid_counts", unit="XIDs", low=1.0, high=1e6, by=("node", "gpu", "UUID", "xid"),
        series=(f"{XID_COUNT} (off by default)",),
        about="XIDs counted in the exporter's window of 5 minutes: repeats, which the gauge does not show",
        expr=f"max by ($host, gpu, UUID, xid) (<{XID_COUNT}>) > 0",
    ),
    Query(
        name="lacking", by=("lacks",), series=(TEMP.told, XID.told),
        about="how many series lack a label that everything hangs on, and whether XIDs are exported at all",
        expr=f'label_replace(count({_UNHOSTED}), "lacks", "host", "", "")'
             f' or label_replace(count({_UNKNOWN}), "lacks", "UUID", "", "")'
             f' or label_replace({_NO_XIDS}, "lacks", "xids", "", "")',
    ),
    Query(
        name="node_power", unit="W", high=1e6, series=("power.node_series",), host="power",
        record="wacht:node_power:max", about="power of a node, where its series is configured", expr="$node_series",
        over="avg_over_time",
    ),
    Query(
        name="rack_power", unit="W", high=1e9, by=("rack",), series=("power.rack_series",),
        record="wacht:rack_power:sum", about="power of a rack, where its series is configured",
        expr="sum by ($rack) ($rack_series)",
    ),
    Query(
        name="site_power", unit="W", high=1e12, by=(),
        series=(f"power.rack_series, power.node_series or {WATTS.told}",),
        about="power of the site: racks where they are measured, else nodes, else GPUs; every 5 minutes over the last "
              "hour for the trend, and for the chart",
        expr="sum($site_series)", record="wacht:site_$source_power:sum", asked="each reading, and for charts",
    ),
    Query(
        name="power_sampled", unit="s", by=(), series=("power.rack_series or power.node_series",),
        about="when the newest sample of the site's power was taken, where the series is a plain metric",
        expr="max($sampled_series)",
    ),
    Query(
        name="site_util", unit="%", high=101.0, by=(), series=_BUSY,
        about="mean utilisation of all GPUs, for the chart", expr=f"avg({_KNOWN_BUSY})",
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
        about="what the server scrapes: shown when there are no GPU series, to say where to look",
        expr='label_replace(sum by (job) (up), "what", "up", "", "")'
             ' or label_replace(count by (job) (up), "what", "all", "", "")',
    ),
    Query(
        name="scrapes", by=("job", "what"), series=("up", TEMP.told), unit="targets", asked="by wacht doctor",
        about="the targets of the jobs that GPUs come from: all, those that are up, those that missed a scrape in the "
              "last ten minutes",
        expr=" or ".join(
            f'label_replace(count by (job) (({up}) and on (job) ({_JOBS_OF_GPUS})), "what", "{what}", "", "")'
            for up, what in (("up", "all"), ("up == 1", "up"), ("avg_over_time(up[10m]) < 1", "gaps"))
        ),
    ),
    Query(
        name="present", by=("__name__",), series=("those of what came back empty",), asked="by wacht doctor",
        about="which series there are behind an answer that was empty: nothing is wrong, or nothing is exported",
        expr="count by (__name__) ({__name__=~\"$series\",$only})",
    ),
    Query(
        name="clock", by=(), series=(), asked="once, before the first chart",
        about="the server's time, by which it keeps its samples", expr="vector(1)",
    ),
    Query(
        name="generations", by=("names",), series=(MARK.told, UTIL.told), unit="nodes", asked="by wacht doctor",
        about="how many nodes speak the older names of dcgm-exporter and how many those since 4.9; samples of "
              f"{UTIL.series[1]} that are no share of one, as DCGM 4.6 gives them",
        expr=" or ".join(
            f'label_replace(count({expr}), "names", "{word}", "", "")' for word, expr in (
                ("older", f"count by ($host) (<{MARK.series[0]}>)"),
                ("newer", f"count by ($host) (<{MARK.series[1]}>)"),
                ("percent", f"<{UTIL.series[1]}> > 1"),
            )
        ),
    ),
    Query(
        name="hosts", by=("$hosts",), series=(TEMP.told, XID.told), asked="at the start, and when Slurm's nodes change",
        about="every host that has series, by each label that may hold it: which label holds Slurm's nodes; of "
              "node_exporter's series, of recorded ones and of power.node_series as well, where they are read",
        expr='group by ($hosts) ({__name__=~"$series",$only})',
    ),
    Query(
        name="gpu_fields", low=-1e15, high=1e16, asked="for the nodes on the screen",
        by=("$host", "gpu", "UUID", "modelName", "GPU_I_ID", "hpc_job", "__name__"),
        series=tuple(quantity.told for quantity in GPU), about="all that is exported of some nodes' GPUs",
        expr="max by ($host, gpu, UUID, modelName, GPU_I_ID, hpc_job, __name__) ({__name__=~\"$fields\",$only})",
    ),
    Query(
        name="gpu_sampled", unit="s", by=("$host", "UUID"), series=(TEMP.told,), asked="for the nodes on the screen",
        about="when each GPU of some nodes was sampled", expr=TEMP.each("max by ($host, UUID) (timestamp(<{}>))"),
    ),
    Query(
        name="xid_past", unit="XID", high=100_000.0, by=("UUID",), series=(XID.told,),
        asked="once for a GPU with a new XID",
        about="the XIDs of some GPUs over the last day (step 1 to 10 min) or month (1 h): first and last time, count",
        expr=_XIDS_OF,
    ),
    Query(
        name="xid_hidden", unit="XID", low=1.0, high=1e6, by=("UUID", "xid"), series=(XID.told, XID_COUNT),
        asked="once for a GPU whose new XID follows another (43, 45, 154, …)",
        about="XIDs of the last day that the gauge showed between two steps, and those that the exporter counted",
        expr=f'max by (UUID, xid) (max_over_time(<{XID_COUNT} UUID=~"$uuids">[$steps])) > 0'
             f' or max_over_time(({_XIDS_OF} > 0 {" ".join(f"!= {code}" for code in sorted(FOLLOWERS))})[$steps:10s])',
    ),
    Query(
        name="energy", unit="J", by=("$host",), series=(ENERGY.told,), asked="for the job on the screen",
        about="energy that the GPUs of some nodes took in a span of time; since the boot, where there was one in it",
        expr=f"sum by ($host) ({_NOW} - {_THEN} >= 0 or {_NOW} * ({_NOW} - {_THEN} < bool 0) > 0)",
    ),
    *(query for module in query_modules() for query in module.QUERIES),
)  # fmt: skip
BY_NAME: Mapping[str, Query] = {query.name: query for query in TABLE}
#: Queries for what only some sites have, detected automatically: an empty answer is no fault.
OPTIONAL = frozenset(query.name for module in query_modules("SOURCE") for query in module.QUERIES)


def quoted(text: str) -> str:
    """A PromQL string literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def is_plain(series: str | None) -> bool:
    """True for a plain metric name, False for PromQL."""
    return series is not None and _BARE.fullmatch(series) is not None


def fill(template: str, words: Mapping[str, str], only: str = "", over: str = "", span: int = 0) -> str:
    """A template with its series and words filled in; series get the matchers `only` and, for charts, the function
    `over` (such as avg_over_time) over `span` seconds."""

    def series(match: re.Match[str]) -> str:
        matchers = ",".join(part for part in (match[2], only) if part)
        found = f"{match[1]}{{{matchers}}}" if matchers else match[1]
        return f"{over}({found}[{span}s])" if over else found

    def word(match: re.Match[str]) -> str:
        return words.get(match[1], match[0])

    return _WORD.sub(word, _SERIES.sub(series, template.replace(",$only", f",{only}" if only else "")))


def by_host(expr: str, labels: tuple[str, ...], rule: str | None, keep: tuple[str, ...] = ("node",)) -> str:
    """An expression by host labels, converted to one label `node`: the first label present wins.

    For sums on the server, which does not know Slurm's names. With a rule of the site, a regular expression, the node
    is what the rule gives; else the host without its port, so that two hosts are never one.
    """
    pattern, to = (HOST_PATTERN, HOST_REPLACEMENT) if rule is None else (rule, "$1")
    text = expr
    for label in reversed(labels):
        text = f'label_replace({text}, "node", "{to}", {quoted(label)}, {quoted(pattern)})'
    return f"max by ({', '.join(keep)}) ({text})"


def one_node(expr: str, labels: tuple[str, ...], spelled: str) -> str:
    """One node's rows of an expression with host labels, selected by its possible label values: a join on the server,
    for PromQL of a site that cannot be narrowed down by matchers."""
    text = expr
    for label in (*labels, "node"):
        text = f'label_replace({text}, "wanted", "yes", {quoted(label)}, {quoted(spelled)})'
    return f'{text} and on (wanted) label_replace(vector(1), "wanted", "yes", "", "")'
