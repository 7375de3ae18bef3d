"""The fields that each table exports for programs, and the table's word in file names."""

from __future__ import annotations

from collections.abc import Sequence

from console.fields.field import attribute, moment
from console.fields.job_fields import JOBS
from console.fields.node_fields import NODES, load_export
from console.fields.partition_fields import PARTITIONS
from console.fields.reservation_fields import RESERVATIONS
from console.tables.account_columns import ACCOUNTS, MEMBERS
from console.tables.alert_columns import GROUPS, SILENCES
from console.tables.cluster_columns import CLUSTERS
from console.tables.control_columns import HUNG, RPC_USERS
from console.tables.cooling_columns import LOOPS
from console.tables.domain_columns import DOMAINS
from console.tables.fabric_columns import PORTS, SWITCHES
from console.tables.inbox_columns import INBOX, INCONSISTENCIES
from console.tables.journal_columns import JOURNAL
from console.tables.power_columns import JOBS as POWER_JOBS
from console.tables.power_columns import RACKS
from console.tables.storage_columns import STORE_NODES, STORES
from widgets.table_column import Column, ExportField

from .table_export import shown

Fields = Sequence[ExportField]

#: The tables, each with the word for it in the name of a file.
TABLES: Sequence[tuple[Sequence[Column], str]] = (
    (NODES, "nodes"),
    (JOBS, "jobs"),
    (GROUPS, "alerts"),
    (SILENCES, "silences"),
    (INBOX, "inbox"),
    (INCONSISTENCIES, "contradictions"),
    (PARTITIONS, "partitions"),
    (RESERVATIONS, "reservations"),
    (RACKS, "racks"),
    (LOOPS, "cooling"),
    (POWER_JOBS, "power-jobs"),
    (JOURNAL, "journal"),
    (DOMAINS, "domains"),
    (ACCOUNTS, "accounts"),
    (MEMBERS, "account-users"),
    (SWITCHES, "fabric"),
    (PORTS, "ports"),
    (STORES, "storage"),
    (STORE_NODES, "storage-nodes"),
    (CLUSTERS, "clusters"),
    (RPC_USERS, "control"),
    (HUNG, "hung"),
)
_GPU = (
    "node", "index", "uuid", "model", "util_pct", "tensor_pct", "memory_used_mb", "memory_mb", "temp_c",
    "memory_temp_c", "power_w", "power_limit_w", "sm_clock_mhz", "throttle", "ecc_corrected", "ecc_uncorrected",
    "remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failed", "nvlinks_up", "nvlinks", "pcie_gen",
    "pcie_width", "pcie_replays", "xid", "recovery", "job", "lost",
)  # fmt: skip
#: The fields of a GPU.
GPU: Fields = (*map(attribute, _GPU), moment("sampled_at"))
#: The fields of a node in the GPU map before zooming in.
MAP: Fields = (
    *(field for column in NODES if column.key in {"name", "state", "gpus", "rack"} for field in column.export or ()),
    *map(
        load_export,
        ("gpus_seen", "gpus_idle", "gpu_util_pct", "gpu_memory_pct", "temp_c", "power_w", "gpu_power_w", "xid"),
    ),
)


def fields_of(columns: Sequence[Column]) -> tuple[str, Fields]:
    """The table's word in file names ("" for a table without one) and its fields, in the order of its columns."""
    name = next((name for known, name in TABLES if known is columns or known == columns), "")
    return name, tuple(field for one in columns for field in (one.export if one.export is not None else (shown(one),)))
