"""The recording rules that ship with wacht, written from the query table: wacht-rules.yml.

For a server that is overloaded by many consoles: it sums up once, and each console reads the sums. They are read with
`prometheus = { recorded = true }`. `text` writes them for any site; the file is for the default settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from . import PowerSettings, PrometheusSettings
from .plant.cooling_queries import CoolingLimits, CoolingSettings
from .query import Query
from .query_table import BY_NAME, TABLE, by_host
from .site_queries import SOURCES, SiteQueries

FILE = Path(__file__).with_name("wacht-rules.yml")
#: The settings for the file and the documentation.
POWER = PowerSettings(node_series="ipmi_dcmi_power_consumption_watts", rack_series="pdu_power_watts")
COOLING = CoolingSettings(
    supply_c="cdu_supply_temperature_celsius", return_c="cdu_return_temperature_celsius",
    flow_lpm="cdu_flow_liters_per_minute", pressure_bar="cdu_pressure_bar", leak="redfish_leak_detector_state",
    place_label="detector", limits=CoolingLimits(supply_high=34, return_high=50, flow_low=300),
)  # fmt: skip
DEFAULT = PrometheusSettings(url="http://localhost:9090", power=POWER, cooling=COOLING)

_HEAD = """\
# Recording rules of wacht: sums by node, by rack and of the site, from the table in docs/queries.md.
#
# Load this file with rule_files (Prometheus, Mimir, Thanos Rule) or vmalert, evaluate it every 15 to 30 s, and set
# recorded = true in the cluster's prometheus table. Put your own series in place of ipmi_dcmi_power_consumption_watts
# and pdu_power_watts, and of the host labels, where they are called differently; leave out what you do not measure.
# The label node is the host as its label has it, without a port: wacht finds the node of Slurm.
"""

#: Sums of recorded sums, instead of 96,000 series again.
_SITE = {
    "rack": f"sum({BY_NAME['rack_power'].record})",
    "node": f"sum({BY_NAME['node_power'].record} >= 0)",
    "gpu": f"sum({BY_NAME['gpu_power'].record} >= 0)",
}
_UTIL, _GPUS = BY_NAME["util"].record, BY_NAME["util_gpus"].record


def rules(settings: PrometheusSettings = DEFAULT) -> Iterator[tuple[str, str, str]]:
    """Group, series, PromQL. A sum comes after the series that it sums, in the same group."""
    book = SiteQueries(replace(settings, recorded=False))
    power = settings.power or PowerSettings()
    given = {"rack": power.rack_series, "node": power.node_series, "gpu": True}
    for query in TABLE:
        if query.record is None or query.name in {"site_power", "site_util"}:
            continue
        if query.name in {"node_power", "rack_power"} and not given[query.name.removesuffix("_power")]:
            continue
        yield "wacht", query.record, _by_node(book, query)
    for source in SOURCES:
        if given[source]:
            yield "wacht", (BY_NAME["site_power"].record or "").replace("$source", source), _SITE[source]
    known = f"({_UTIL} >= 0)"
    yield (
        "wacht", BY_NAME["site_util"].record or "",
        f"sum({known} * on (node) {_GPUS}) / sum({_GPUS} and on (node) {known})",
    )  # fmt: skip


def _by_node(book: SiteQueries, query: Query) -> str:
    """A query as a recording rule. The server knows no Slurm nodes: its label `node` is the host."""
    whole = book.whole(query.name)
    if "node" not in query.by:
        return whole
    return by_host(whole, book.labels[query.host], book.rule(query.host), query.by)


def text(settings: PrometheusSettings = DEFAULT) -> str:
    """The rule file for a site."""
    lines, group = [_HEAD + "groups:"], ""
    for name, series, expr in rules(settings):
        if name != group:
            group = name
            lines += [f"  - name: {name}", "    rules:"]
        lines += [f"      - record: {series}", "        expr: |-", f"          {expr}"]
    return "\n".join(lines) + "\n"
