"""What programs are given of each table: for a column its fields, where its text alone would not do. Data.

A column that does not stand here gives its text under its key; one with no fields says nothing that others do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.jobstate import job_word
from console.journal.entries import words
from console.plant.fabric import WRONGS
from console.session.snapshot import stamp
from console.tables.account_columns import ACCOUNTS, MEMBERS
from console.tables.alert_columns import GROUPS, SILENCES
from console.tables.cluster_columns import CLUSTERS, power_w, worst_need
from console.tables.control_columns import HUNG, RPC_USERS
from console.tables.cooling_columns import LOOPS
from console.tables.domain_columns import DOMAINS, jobs_on
from console.tables.fabric_columns import PORTS, SWITCHES
from console.tables.inbox_columns import CONTRADICTIONS, INBOX
from console.tables.journal_columns import JOURNAL
from console.tables.partition_columns import PARTITIONS, RESERVATIONS
from console.tables.power_columns import JOBS as POWER_JOBS
from console.tables.power_columns import RACKS
from console.tables.storage_columns import STORE_NODES, STORES
from console.tables.table_columns import JOBS, NODES
from widgets.table_column import Column

from .table_export import ExportField, shown

Fields = Sequence[ExportField]


def _f(name: str, path: str = "") -> ExportField:
    """A field that is an attribute of the row, by its dotted path; its own name where none is given."""
    steps = (path or name).split(".")

    def value(row: Any, _: Any) -> Any:
        for step in steps:
            row = getattr(row, step)
        return row

    return ExportField(name, value)


def _at(name: str, path: str = "") -> ExportField:
    """The same, of a moment."""
    plain = _f(name, path)
    return ExportField(name, lambda row, ctx: stamp(plain.value(row, ctx)))  # type: ignore[arg-type]


def _load(name: str) -> ExportField:
    """A figure of the telemetry of a node."""
    return ExportField(
        name, lambda n, c: None if (load := c.cluster.loads.get(n.name)) is None else getattr(load, name)
    )


_NODES: Mapping[str, Fields] = {
    "name": (_f("name"),),
    "state": (_f("state", "display"), ExportField("slurm_state", lambda n, _: "+".join((n.state, *n.flags)))),
    "gpus": (_f("gpus_alloc"), _f("gpus")),
    "rack": (_f("rack"),),
    "util": (_load("gpu_util_pct"),),
    "temp": (_load("temp_c"),),
    "power": (_load("power_w"),),
    "load": (_f("cpu_load"),),
    "cpus": (_f("cpus_alloc"), _f("cpus")),
    "memory": (_f("free_memory_mb"),),
    "jobs": (
        ExportField("jobs", lambda n, c: c.cluster.jobs_on.get(n.name, ()) if "jobs" in c.cluster.known else None),
    ),
    "partitions": (_f("partitions"),),
    "by": (_f("reason_by"),),
    "age": (_at("reason_at"),),
    "reason": (_f("reason"),),
}
_JOBS: Mapping[str, Fields] = {
    "id": (_f("id"),),
    "state": (ExportField("state", lambda j, _: job_word(j)), _f("slurm_state", "state")),
    "account": (_f("account"),),
    "partition": (_f("partition"),),
    "qos": (_f("qos"),),
    "nodes_n": (_f("node_count"),),
    "gpus": (_f("gpus"), _f("gpus_held")),
    "elapsed": (_at("submitted"), _at("started"), ExportField("elapsed_s", lambda j, c: j.elapsed_s(c.now))),
    "left": (_at("expected"), ExportField("left_s", lambda j, c: j.left_s(c.now))),
    "limit": (_f("time_limit_s"),),
    "priority": (_f("priority"),),
    "restarts": (_f("restarts"),),
    "where": (_f("nodes"), _f("reason")),
}
_GROUPS: Mapping[str, Fields] = {
    "state": (_f("state"), _f("severity")),
    "what": (_f("what", "title"),),
    "nodes": (_f("nodes"), _f("unknown_hosts", "unknown")),
    "jobs": (_f("jobs"),),
    "users": (_f("users"),),
    "gpus": (_f("gpus"),),
    "racks": (_f("racks"),),
    "since": (_at("since"),),
    "who": (_f("taken_by"),),
    "alerts": (ExportField("alerts", lambda g, _: len(g.alerts)), _f("quiet")),
    "summary": (_f("summary"),),
}
_SILENCES: Mapping[str, Fields] = {
    "state": (_f("id", "silence.id"), _f("state", "silence.state"), _f("taken", "silence.taken")),
    "left": (_at("starts", "silence.starts"), _at("ends", "silence.ends")),
    "alerts": (_f("alerts"),),
    "matchers": (ExportField("matchers", lambda q, _: tuple(map(str, q.silence.matchers))),),
}
_INBOX: Mapping[str, Fields] = {
    "nodes": (_f("nodes"),),
    "state": (_f("states", "displays"),),
    "age": (_at("since"), _f("forgotten")),
    "by": (_f("by"), _f("who")),
    "ticket": (_f("ticket"),),
    "rack": (_f("rack"),),
    "jobs": (_f("jobs"),),
    "reason": (_f("reason"), _f("xid")),
}
_ASKERS: Mapping[str, Fields] = {"time": (_f("time_us"),), "mean": (), "share": (_f("all_us", "of_us"),)}
_HUNG: Mapping[str, Fields] = {"what": (_f("what"), _f("late")), "since": (_at("since"),)}
_CONTRADICTIONS: Mapping[str, Fields] = {
    "node": (_f("node"), _f("nodes")),
    "text": (_f("text"),),
    "since": (_at("since"),),
    "kind": (_f("kind"), _f("severity")),
    "jobs": (_f("jobs"),),
}
_PARTITIONS: Mapping[str, Fields] = {
    "name": (_f("name", "partition.name"), _f("default", "partition.default")),
    "state": (_f("state", "partition.state"),),
    "nodes": (_f("node_count", "partition.node_count"),),
    "out": (_f("nodes_out"),),
    "gpus": (_f("gpus_alloc"), _f("gpus")),
    "running": (_f("running"),),
    "pending": (_f("pending"),),
    "asked": (_f("gpus_asked"),),
    "wait": (_at("oldest_submitted", "oldest"),),
    "limit": (_f("time_limit_s", "partition.time_limit_s"),),
    "tier": (_f("priority_tier", "partition.priority_tier"),),
    "where": (_f("nodes", "partition.nodes"),),
}
_DOMAINS: Mapping[str, Fields] = {
    "usable": (ExportField("usable", lambda d, _: len(d.usable)), ExportField("trays", lambda d, _: len(d.nodes))),
    "free": (ExportField("free", lambda d, _: len(d.free)),),
    "fits": (_f("fits"), _f("fits_now")),
    "ready": (_f("gpus_ready"), _f("gpus")),
    "clique": (ExportField("cliques", lambda d, _: [part.clique for part in d.parts]), _f("split")),
    "fabric": (_f("fabric"), _f("wrong"), _f("ill")),
    "imex": (_f("imex"), _f("imex_ill")),
    "jobs": (ExportField("jobs", jobs_on),),
    "rack": (_f("rack"),),
    "where": (_f("nodes"),),
    "by": (_f("said_by"),),
}
_RESERVATIONS: Mapping[str, Fields] = {
    "state": (_f("state"),),
    "nodes_n": (_f("node_count"),),
    "starts": (_at("starts"),),
    "ends": (_at("ends"),),
    "who": (_f("users"), _f("accounts")),
    "flags": (_f("flags"),),
    "where": (_f("nodes"),),
}
_RACKS: Mapping[str, Fields] = {
    "rack": (_f("rack"),),
    "row": (_f("row"),),
    "power": (_f("power_w"),),
    "bar": (),
    "reporting": (_f("nodes_reporting", "reporting"), _f("nodes")),
    "jobs": (_f("jobs"),),
    "out": (_f("nodes_out", "out"),),
    "back": (_f("gives_back_w"),),
}


def _point(name: str, of: str) -> ExportField:
    """What a point of a loop measures."""
    return ExportField(name, lambda loop, _: None if (row := getattr(loop, of)) is None else row.value)


_LOOPS: Mapping[str, Fields] = {
    "name": (_f("name"),),
    "state": (_f("state"),),
    "supply": (_point("supply_c", "supply"),),
    "return": (_point("return_c", "back"),),
    "delta": (_f("delta_c"),),
    "flow": (_point("flow_lpm", "flow"),),
    "pressure": (_point("pressure_bar", "pressure"),),
    "leak": (_f("wet"), _f("detectors"), _f("detectors_unknown", "unknown"), _f("where_wet")),
    "racks": (_f("racks"),),
    "nodes": (_f("nodes"),),
    "jobs": (_f("jobs"),),
    "power": (_f("power_w"),),
    "text": (_f("text"),),
}
_POWER_JOBS: Mapping[str, Fields] = {
    "power": (_f("power_w"), _f("complete")),
    "account": (_f("account", "job.account"),),
    "gpus": (_f("gpus_held", "job.gpus_held"),),
    "left": (ExportField("left_s", lambda j, c: j.job.left_s(c.now)),),
}
_JOURNAL: Mapping[str, Fields] = {
    "at": (_at("at"), _f("plan")),
    "targets": (_f("kind"), _f("targets")),
    "outcome": (
        ExportField("outcome", lambda e, _: words(e)),
        ExportField("undone", lambda e, c: c.undone.get(e.key)),
        _f("undoes"),
    ),
    "reason": (_f("reason"),),
    "host": (_f("host"),),
}


def _share(name: str, of: str) -> ExportField:
    """A figure of the fair share of an account or user."""
    return ExportField(name, lambda h, _: None if h.share is None else getattr(h.share, of))


def _nearest(name: str, of: str) -> ExportField:
    """A figure of the limit nearest to being hit."""
    return ExportField(name, lambda h, _: None if h.nearest is None else getattr(h.nearest, of))


def _held(name: str, of: str) -> ExportField:
    """A figure of the jobs of an account or user; None where the jobs were never read."""
    return ExportField(name, lambda h, c: getattr(h.held, of) if "jobs" in c.cluster.known else None)


_HOLDERS: Mapping[str, Fields] = {
    "gpus": (_held("gpus_held", "gpus"),),
    "running": (_held("running", "running"),),
    "nodes": (_held("nodes_held", "nodes"),),
    "pending": (_held("pending", "pending"),),
    "asked": (_held("gpus_asked", "asked"),),
    "shares": (_share("shares", "shares"), _share("shares_norm", "shares_norm")),
    "used": (_share("usage", "usage"), _share("usage_part", "usage_part")),
    "factor": (_share("fair_share", "factor"),),
    "limit": tuple(_nearest(f"limit_{name}", name) for name in ("name", "tres", "qos", "used", "most")),
}


def _of_switch(word: str) -> ExportField:
    """How many ports of a switch are so."""
    return ExportField(word, lambda row, _: row.count(word))


def _total(name: str) -> ExportField:
    """A sum over a whole cluster."""

    def value(row: Any, _: Any) -> Any:
        cluster = row.standing.cluster
        return None if cluster is None else getattr(cluster.totals, name)

    return ExportField(name, value)


_CLUSTERS: Mapping[str, Fields] = {
    "name": (_f("cluster", "standing.name"), _f("shown", "standing.shown"), _f("not_open", "standing.why")),
    "alerts": (_f("critical", "standing.critical"), _f("warning", "standing.warning")),
    "up": (_total("nodes"),),
    "gpus": (_total("gpus_alloc"), _total("gpus")),
    "power": (ExportField("power_w", power_w),),
    "age": (_f("oldest_s"),),
    "ill": (_f("sources", "standing.ill"),),
    "need": (ExportField("worst_need", worst_need),),
}
_SWITCHES: Mapping[str, Fields] = {
    "name": (_f("switch", "name"), _f("kind")),
    "state": (ExportField("ports_not_well", lambda row, _: len(row.unwell)),),
    "ports": (_f("ports"),),
    **{word: (_of_switch(word),) for word in WRONGS},
    "nodes": (ExportField("nodes_hit", lambda row, _: len(row.nodes)),),
    "jobs": (_f("jobs_hit", "jobs"),),
    "where": (_f("nodes"),),
}
_PORTS: Mapping[str, Fields] = {
    "device": (_f("device"), _f("port"), _f("link")),
    "wrong": (_f("wrong"), _f("up")),
    "speed": (_f("speed_gbps"),),
    "usual": (_f("usual_gbps"),),
    "downed": (_f("downed"),),
    "errors": (_f("errors"),),
    "word": (_f("state"),),
    "switch": (_f("switch"), _f("switch_port")),
}
_STORES: Mapping[str, Fields] = {
    "name": (_f("name", "store.name"),),
    "kind": (_f("kind", "store.kind"),),
    "state": (_f("state"),),
    "used": (_f("used_pct", "store.used_pct"),),
    "size": (_f("size_tb", "store.size_tb"),),
    "targets": (_f("targets_up", "store.targets_up"), _f("targets", "store.targets")),
    "mounted": (_f("mounted", "store.mounted"),),
    "hung": (_f("hung", "store.hung"),),
    "missing": (_f("missing"),),
    "jobs": (_f("jobs_hit", "jobs"), _f("users")),
    "where": (_f("wrong", "store.wrong"),),
    "device": (_f("device", "store.device"),),
}
_STORE_NODES: Mapping[str, Fields] = {
    "node": (_f("node", "name"), _f("file_system", "mount")),
    "jobs": (_f("jobs"),),
    "users": (_f("users"),),
    "stuck": (_f("stuck"),),
}
#: The tables: the word for each in the name of a file, and the fields of its columns.
TABLES: Sequence[tuple[Sequence[Column], str, Mapping[str, Fields]]] = (
    (NODES, "nodes", _NODES),
    (JOBS, "jobs", _JOBS),
    (GROUPS, "alerts", _GROUPS),
    (SILENCES, "silences", _SILENCES),
    (INBOX, "inbox", _INBOX),
    (CONTRADICTIONS, "contradictions", _CONTRADICTIONS),
    (PARTITIONS, "partitions", _PARTITIONS),
    (RESERVATIONS, "reservations", _RESERVATIONS),
    (RACKS, "racks", _RACKS),
    (LOOPS, "cooling", _LOOPS),
    (POWER_JOBS, "power-jobs", _POWER_JOBS),
    (JOURNAL, "journal", _JOURNAL),
    (DOMAINS, "domains", _DOMAINS),
    (ACCOUNTS, "accounts", {**_HOLDERS, "users": (_f("users"),)}),
    (MEMBERS, "account-users", _HOLDERS),
    (SWITCHES, "fabric", _SWITCHES),
    (PORTS, "ports", _PORTS),
    (STORES, "storage", _STORES),
    (STORE_NODES, "storage-nodes", _STORE_NODES),
    (CLUSTERS, "clusters", _CLUSTERS),
    (RPC_USERS, "control", _ASKERS),
    (HUNG, "hung", _HUNG),
)
_GPU = (
    "node", "index", "uuid", "model", "util_pct", "tensor_pct", "memory_used_mb", "memory_mb", "temp_c",
    "memory_temp_c", "power_w", "power_limit_w", "sm_clock_mhz", "throttle", "ecc_corrected", "ecc_uncorrected",
    "remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failed", "nvlinks_up", "nvlinks", "pcie_gen",
    "pcie_width", "pcie_replays", "xid", "recovery", "job", "lost",
)  # fmt: skip
#: Of one GPU a row.
GPU: Fields = (*map(_f, _GPU), _at("sampled_at"))
#: Of a node what the map of GPUs knows, where nobody has zoomed in.
MAP: Fields = (
    *(field for key in ("name", "rack", "state", "gpus") for field in _NODES[key]),
    *map(
        _load, ("gpus_seen", "gpus_idle", "gpu_util_pct", "gpu_memory_pct", "temp_c", "power_w", "gpu_power_w", "xid")
    ),
)


def fields_of(columns: Sequence[Column]) -> tuple[str, Fields]:
    """The word for a table, "" for one that nobody knows, and its fields in the order of its columns."""
    name, own = next(((name, own) for known, name, own in TABLES if known is columns or known == columns), ("", {}))
    return name, tuple(field for one in columns for field in own.get(one.key, (shown(one),)))
