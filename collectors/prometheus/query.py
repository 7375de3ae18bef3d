"""One query of the table of `queries`, which the modules of single subjects (`plant_…`) add theirs to."""

from __future__ import annotations

from msgspec import Struct


class Query(Struct, frozen=True, kw_only=True):
    """One query: what it is called, what it needs and gives, and what becomes of its values."""

    name: str
    about: str
    series: tuple[str, ...]
    expr: str
    unit: str = ""
    by: tuple[str, ...] = ("node",)
    """Labels of the answer; with `node` among them its rows are mapped to Slurm's nodes, else taken as they are."""
    record: str | None = None
    """The series of the recording rules that holds the same."""
    low: float = 0.0
    high: float = 1e15
    """What is outside is no value but a blank of DCGM's or an error: it is left out."""
    asked: str = "each reading"
    over: str = ""
    """How charts sum up the samples between two points: avg_over_time, max_over_time, or the newest."""
    host: str = "host_labels"
    """Which labels hold the host: those of dcgm-exporter's series, `node_labels` of node_exporter's, or `power`."""
