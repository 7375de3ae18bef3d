"""One query of the table in `query_table`, to which the `plant` modules add theirs."""

from __future__ import annotations

from msgspec import Struct


class Query(Struct, frozen=True, kw_only=True):
    """One query: its name, its series, its PromQL, and the range of its values."""

    name: str
    about: str
    series: tuple[str, ...]
    expr: str
    unit: str = ""
    by: tuple[str, ...] = ("node",)
    """Labels of the answer; with `node` among them its rows are mapped to Slurm's nodes, else taken as they are."""
    record: str | None = None
    """The recording rule's series with the same value."""
    low: float = 0.0
    high: float = 1e15
    """Values outside are DCGM's blanks or errors, and are left out."""
    asked: str = "each reading"
    over: str = ""
    """How charts aggregate the samples between two points: avg_over_time, max_over_time, or the newest."""
    host: str = "host_labels"
    """Which labels hold the host: dcgm-exporter's, node_exporter's (`node_labels`), or `power`."""
