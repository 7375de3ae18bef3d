"""docs/queries.md, written from the query table."""

from __future__ import annotations

from .dcgm_names import GPU, Quantity
from .query_table import TABLE
from .recording_rules import DEFAULT, POWER
from .site_queries import SOURCES, SiteQueries

_HEAD = f"""\
# What wacht asks Prometheus

Every query, the series it needs, and what it is for. Written from `collectors/prometheus/query_table.py`; a test holds
it. Thanos, Mimir and VictoriaMetrics answer the same queries.

Any query can be replaced in the configuration, by its name; the answer must bear the labels in the third column:

```toml
[cluster.groningen]
prometheus = {{ url = "https://prometheus.example", queries = {{ util = "avg by (Hostname) (my_gpu_util)" }} }}
power = {{ budget_mw = 6.5, node_series = "{POWER.node_series}", rack_series = "{POWER.rack_series}" }}
```

In a query of one's own `$host` is replaced by the host labels, `$only` by the matchers of the site and of the nodes
asked for, `<NAME>` by a series with those matchers. A query with the label `node` gives rows by host; wacht makes
nodes of Slurm of them.

- **Hosts and nodes**: which label holds the host is found by looking (query `hosts`): of `Hostname`, `hostname`,
  `node`, `nodename` and `instance` those that most of Slurm's nodes are found by. A host is a node where it equals its
  NodeName, NodeHostname or NodeAddr, without a port; or where its first part and that of one of these are equal and one
  of both has no domain (NodeName `gpu1` fits `gpu1.site`, also with NodeAddr `gpu1.ib.site`). An IP address that is no
  NodeAddr is no node. What fits several nodes, or by its first part alone shares one with a host of another domain in
  series of the same kind, is left out. `wacht doctor` says of each source which label was chosen and which hosts are no
  nodes.
- `host_labels`, `node_labels` (of node_exporter's series: ports, mounts, checks) and `node`, a regular expression, say
  it for a site where that does not fit; they win over what is found.
- **Recorded series** bear the host without its port as `node`: the server does not know Slurm. wacht maps it as any.
- **Counted once**: `max by (host, UUID)` comes before every sum: MIG instances, jobs that share a GPU and a second
  exporter of a host give more series, not more GPUs.
- **Age**: `sampled` is the time of the sample, not of the answer. Older than `stale_s` (180 s): the value is left out.
- **Power** is what the site names: {", ".join(SOURCES.values())}, in this order.

"""


_NAMES = """\
## Names of dcgm-exporter

dcgm-exporter 4.9.0 renamed the fields that it gives by default, and counts some of them in another unit since. wacht
reads either, node by node, also while a site is rolled out, and shows its own unit; where a node gives both names, the
newer one counts, of the utilisation the older one. Nothing is to be set. `wacht doctor` says how many nodes speak
which. Written from `collectors/prometheus/dcgm_names.py`, which has the sources.

| what | shown in | up to 4.8 | from 4.9 on |
|---|---|---|---|
"""
_PERCENT = """
Alerts and dashboards of a site's own need the newer names as well. With DCGM 4.6 a counters file that already names
`DCGM_FI_DEV_GPU_UTIL_RATIO` gives percent under it: what is above 1 is left out, and `wacht doctor` warns.
"""


def _row(quantity: Quantity) -> str:
    told = [f"`{name.series}`" + (f" ({name.unit})" if name.unit else "") for name in quantity.names]
    return f"| {quantity.about} | {quantity.unit} | {told[0]} | {told[1] if told[1:] else 'the same'} |"


def _spelt(series: str) -> str:
    """A series that a query needs: its names as code, remarks about them unchanged."""
    names = series.split(" or ")
    return " or ".join(f"`{name}`" if name.isidentifier() else name for name in names)


def text() -> str:
    """The whole page."""
    book, lines = SiteQueries(DEFAULT), [_HEAD]
    lines += ["| query | unit | labels | series | asked | recorded as |", "|---|---|---|---|---|---|"]
    for query in TABLE:
        labels = ", ".join(f"`{label}`" for label in query.by).replace("`$host`", "host")
        series = "<br>".join(_spelt(series) for series in query.series)
        record = f"`{query.record}`".replace("$source", "SOURCE") if query.record else ""
        lines.append(f"| `{query.name}` | {query.unit} | {labels} | {series} | {query.asked} | {record} |")
    lines.append("\nSOURCE is " + ", ".join(f"`{key}` ({word})" for key, word in SOURCES.items()) + ".\n")
    lines.append(_NAMES + "\n".join(map(_row, GPU)) + "\n" + _PERCENT)
    lines.append("## As they are sent\n")
    lines.append(
        f"With the default settings, `{POWER.node_series}` for nodes and `{POWER.rack_series}` for racks.\n"
        "`$only`, `$span` and `$uuids` are filled in with what is on the screen.\n"
    )
    for query in TABLE:
        # Matchers are shown in their place, although a query for the whole cluster has none.
        sent = book.shown(query.name)
        lines.append(f"**{query.name}**: {query.about}\n\n```promql\n{sent}\n```\n")
    return "\n".join(lines)
