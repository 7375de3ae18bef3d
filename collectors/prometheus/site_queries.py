"""The query table with one site's settings: the PromQL that is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import PowerSettings, PrometheusSettings, dcgm_names
from .plant import fabric_queries, storage_queries
from .plant.cooling_queries import expression
from .query import Query
from .query_table import BY_NAME, by_host, fill, is_plain, one_node, quoted

#: Most rows of an answer with unhealthy items, and most file systems.
MAX_ROWS, MAX_MOUNTS = 3000, 60
SOURCES: Mapping[str, str] = {"rack": "PDU", "node": "BMC", "gpu": "sum of GPUs"}
"""What the site's power is a sum of, to its name on the screen."""
#: The labels that may hold the host, by the kind of series, the likeliest first; and the defaults before any host
#: query, and in rules that are written without one.
CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "host_labels": ("Hostname", "hostname", "node", "nodename", "instance"),
    "node_labels": ("instance", "node", "nodename", "Hostname", "hostname"),
    "power": ("instance", "node", "nodename", "Hostname", "hostname"),
    "recorded": ("node",),
}
FIRST: Mapping[str, tuple[str, ...]] = {
    "host_labels": ("Hostname", "hostname"), "node_labels": ("instance",), "power": ("instance",),
    "recorded": ("node",),
}  # fmt: skip


class SiteQueries:
    """The queries of one site."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self.power = settings.power or PowerSettings()
        self.source = "rack" if self.power.rack_series else "node" if self.power.node_series else "gpu"
        self._own: dict[str, tuple[str, ...] | None] = {
            "host_labels": settings.host_labels,
            "node_labels": settings.node_labels,
            "power": None if self.power.node_label is None else (self.power.node_label,),
        }
        self.labels = {kind: self._own.get(kind) or first for kind, first in FIRST.items()}
        """The labels that hold the host, by the kind of series; `hosts` puts those there that it chose."""
        fabric = settings.fabric
        self._words = {
            "ethernet": fabric.ethernet or "no device",
            "window": f"{fabric.flaps_s}s",
            "most": str(MAX_ROWS),
            "link_node": fabric.node_label,
            "link_device": fabric.device_label,
            "switch": fabric.switch_label,
            "switch_port": fabric.port_label,
            "fstypes": settings.storage.fstypes,
            "mounts": str(MAX_MOUNTS),
            "stale": f"{settings.stale_s:g}",
            "rack": self.power.rack_label,
            "source": self.source,
            "slurmctld": settings.slurmctld,
            "fields": dcgm_names.pattern(),
        }

    @property
    def tells_age(self) -> bool:
        """Whether the age of the site's power can be read: only for a plain metric that is not recorded."""
        series = self.power.rack_series or self.power.node_series
        return series is None or is_plain(series)

    # -- hosts ---------------------------------------------------------------------------------------------------------

    def candidates(self, kind: str) -> tuple[str, ...]:
        """The labels that may hold the host: the configured ones, if any."""
        return self._own.get(kind) or CANDIDATES[kind]

    def rule(self, kind: str) -> str | None:
        """The configured regular expression for a node's name; None: hosts are compared with Slurm's nodes."""
        return None if kind == "recorded" else self.power.node if kind == "power" else self.settings.node

    def every_host(self, kind: str, series: tuple[str, ...], only: str = "") -> str:
        """Every host of these series, or of a site's own PromQL, by all labels that may hold it."""
        words = {"hosts": ", ".join(self.candidates(kind)), "series": quoted("|".join(map(re.escape, series)))[1:-1]}
        template = self._template(BY_NAME["hosts"])
        if len(series) == 1 and not is_plain(series[0]):
            template = f"group by ($hosts) ({series[0]})"
        return self._fill(template, only if kind == "recorded" else self._all(only), words=words)

    # -- the whole machine ---------------------------------------------------------------------------------------------

    def whole(self, name: str) -> str:
        """A query for the whole cluster, as it is sent for each reading."""
        query = BY_NAME[name]
        if self.is_recorded(query):
            return self._recorded(query)
        return self._mapped(query, self._fill(self._template(query), self.settings.matchers))

    def shown(self, name: str) -> str:
        """A query as the documentation shows it: with `$only` in place of the node matchers."""
        query = BY_NAME[name]
        if name == "hosts":
            series = tuple(one for told in query.series for one in told.split(" or "))
            return self.every_host("host_labels", series, "$only")
        if query.asked.startswith("for the") and "$only" not in self._template(query):
            return self._mapped(query, self._fill(self._template(query), "$only"))
        return self._mapped(query, self._fill(self._template(query), "$only" if "$fields" in query.expr else ""))

    def needs(self, name: str) -> tuple[str, ...]:
        """The series that a query needs here, for people who look for them."""
        query = BY_NAME[name]
        if self.is_recorded(query):
            return (self._record(query),)
        named = {"power.node_series": self.power.node_series, "power.rack_series": self.power.rack_series,
                 "fabric.links": self.settings.fabric.links}  # fmt: skip
        if name == "site_power":
            return ((self.power.rack_series or self.power.node_series or dcgm_names.WATTS.told),)
        return tuple(named.get(series) or series for series in query.series)

    def asking(self, name: str, only: str = "", **words: str) -> str:
        """A query with rows by host, restricted by the matchers `only`, with these words filled in."""
        query = BY_NAME[name]
        if self.is_recorded(query) and not only:
            return self._recorded(query)
        return self._mapped(query, self._fill(self._template(query), self._all(only), words=words))

    def of_node(self, name: str, spelled: str) -> str:
        """A query for one node, joined on the server by its possible label values `spelled`. For a site's own query;
        others are restricted by a matcher."""
        return one_node(self.asking(name), self.candidates(BY_NAME[name].host), spelled)

    def linked(self, nodes: str) -> str:
        """The switches of some nodes' ports; `nodes` is a regular expression of their label."""
        fabric = self.settings.fabric
        if is_plain(fabric.links):
            return self.asking("switch_of", f"{fabric.node_label}=~{quoted(nodes)}")
        # A site's query for the whole cluster may not accept matchers: restrict it by a join, on the server.
        label = fabric.node_label
        keep = f'label_replace({self.asking("switch_of")}, "wanted", "yes", "{label}", {quoted(nodes)})'
        return f'{keep} and on (wanted) label_replace(vector(1), "wanted", "yes", "", "")'

    # -- some nodes ----------------------------------------------------------------------------------------------------

    def among(self, name: str, only: str, **words: str) -> str:
        """A query for the nodes on the screen: those that the matchers `only` select."""
        return self._fill(self._template(BY_NAME[name]), self._all(only), words=words)

    def chart(self, name: str, spelled: str, only: str, step: int) -> str:
        """A query of the table for one node, over time. `spelled` is its possible label values, `only` the matchers of
        its current series; older series under another label are included, since exporters may have been restarted in
        between."""
        query = BY_NAME[name]
        over = query.over if step > 60 else ""
        if self.is_recorded(query):
            text = f"{self._record(query)}{{node=~{quoted(spelled)}}}"
            return f"max ({over}({text}[{step}s]))" if over else f"max ({text})"
        candidates, template = self.candidates(query.host), self._template(query)
        plain = is_plain(self.power.node_series)
        if name in self.settings.queries or (query.host == "power" and not plain):
            # A site's query for the whole cluster may not accept matchers.
            own = self._mapped(query, self._fill(template, self._all(""), over, step))
            return f"max ({one_node(own, candidates, spelled)})"
        if query.host == "power":
            template, only = f"<{self.power.node_series}>", ""
        kept = () if self.rule(query.host) is not None and only else (*self.labels[query.host], *FIRST[query.host])
        others = (label for label in dict.fromkeys(kept) if label in candidates and not only.startswith(f"{label}="))
        spelt = [*((only,) if only else ()), *(f"{label}=~{quoted(spelled)}" for label in others)]
        return " or ".join(f"max ({self._fill(template, self._all(one), over, step)})" for one in spelt)

    def past_of(self, uuids: tuple[str, ...]) -> str:
        """The XID gauges of some GPUs, by UUID."""
        template = self._template(BY_NAME["xid_past"]).replace('"$uuids"', quoted("|".join(map(re.escape, uuids))))
        return self._fill(template, self.settings.matchers)

    def hidden_of(self, uuids: tuple[str, ...], step: int) -> str:
        """XID codes of some GPUs that a step of this many seconds may skip, and those that were counted."""
        template = self._template(BY_NAME["xid_hidden"]).replace('"$uuids"', quoted("|".join(map(re.escape, uuids))))
        return self._fill(template.replace("$steps", f"{step}s"), self.settings.matchers)

    def present(self, series: tuple[str, ...], only: str = "") -> str:
        """Which of these series exist, for the nodes that the matchers select."""
        template = self._template(BY_NAME["present"]).replace('"$series"', quoted("|".join(map(re.escape, series))))
        return self._fill(template, self._all(only))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _template(self, query: Query) -> str:
        return self.settings.queries.get(query.name, query.expr)

    def _all(self, only: str) -> str:
        return ",".join(part for part in (only, self.settings.matchers) if part)

    def _fill(
        self, template: str, only: str, over: str = "", span: int = 0, words: Mapping[str, str] | None = None
    ) -> str:
        power = self.power
        node, measured = _series(power.node_series), power.rack_series or power.node_series
        if is_plain(power.node_series) and not over:
            # A series that ended must not appear as current.
            node = f"{node} and time() - timestamp({node}) < {self.settings.stale_s:g}"
        sums = {
            "rack": _series(power.rack_series),
            "node": f"{by_host(node, self.labels['power'], power.node)} >= 0",
            # By host first: two exporters of a host that write its label differently count once.
            "gpu": f"{by_host(BY_NAME['gpu_power'].expr, self.labels['host_labels'], self.settings.node)} >= 0",
        }
        recent = dcgm_names.WATTS.each("max by ($host) (timestamp(<{}>))")
        first = {
            "node_series": node,
            "rack_series": sums["rack"],
            "site_series": sums[self.source],
            "sampled_series": f"timestamp({_series(measured)})" if measured else recent,
            "cooling": expression(self.settings.cooling, self.settings.stale_s),
            "links": _series(self.settings.fabric.links),
            **fabric_queries.WORDS,
            **storage_queries.WORDS,
            "ill": str(self.settings.fabric.errors),
            **(words or {}),
            "unhosted": ",".join(f'{label}=""' for label in self.labels["host_labels"]),
        }
        expanded = re.sub(r"\$([a-z_]+)", lambda match: first.get(match[1], match[0]), template)
        hosts = {word: ", ".join(self.labels[kind]) for word, kind in
                 (("host", "host_labels"), ("exported", "node_labels"))}  # fmt: skip
        return fill(expanded, {**hosts, **self._words}, only, over, span)

    def _mapped(self, query: Query, text: str) -> str:
        """Aggregate by the host labels and the query's own labels, whatever else a series has."""
        if "node" not in query.by:
            return text
        own = query.name in self.settings.queries
        hosts = (*self.candidates(query.host), "node") if own else self.labels[query.host]
        return f"max by ({', '.join(dict.fromkeys((*hosts, *(one for one in query.by if one != 'node'))))}) ({text})"

    def is_recorded(self, query: Query) -> bool:
        """Whether a recording rule answers a query."""
        return self.settings.recorded and query.record is not None and query.name not in self.settings.queries

    def _record(self, query: Query) -> str:
        return (query.record or "").replace("$source", self.source)

    def _recorded(self, query: Query) -> str:
        by = f" by ({', '.join(query.by)})" if query.by else ""
        return f"max{by} ({self._record(query)})"


def _series(series: str | None) -> str:
    """A plain metric as a template, which takes matchers; PromQL unchanged."""
    return f"<{series}>" if is_plain(series) else series or ""


def exactly(label: str, values: tuple[str, ...]) -> str:
    """The matcher for these values of a label."""
    if len(values) == 1:
        return f"{label}={quoted(values[0])}"
    return f"{label}=~{quoted('|'.join(re.escape(value) for value in values))}"
