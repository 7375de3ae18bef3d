"""The query table as one site's settings make it: the PromQL that is really sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.queries import (
    BY_NAME,
    GPU_FIELDS,
    Query,
    by_node,
    fill,
    is_plain,
    one_node,
    quoted,
)
from collectors.web import DEFAULT_NODE

SOURCES: Mapping[str, str] = {"rack": "PDU", "node": "BMC", "gpu": "sum of GPUs"}
"""What the site's power is a sum of, and how the screen says it."""


class Book:
    """The queries of one site."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self.power = settings.power or PowerSettings()
        self.source = "rack" if self.power.rack_series else "node" if self.power.node_series else "gpu"
        self.plain_host = settings.node == DEFAULT_NODE
        """True where a node's name can be looked for in the host labels as it is."""
        depth: dict[str, list[str]] = {"dev": [], "prof": []}
        for field in GPU_FIELDS:
            kind, _, name = field.partition("_")
            depth[kind.lower()].append(name)
        self._words = {
            "host": ", ".join(settings.host_labels),
            "rack": self.power.rack_label,
            "source": self.source,
            "slurmctld": settings.slurmctld,
            "fields": f"DCGM_FI_(DEV_({'|'.join(depth['dev'])})|PROF_({'|'.join(depth['prof'])}))",
        }

    @property
    def tells_age(self) -> bool:
        """Whether the age of the site's power can be asked for: of a plain metric, which is not a recorded one."""
        series = self.power.rack_series or self.power.node_series or BY_NAME["gpu_power"].series[0]
        return is_plain(series)

    # -- the whole machine ---------------------------------------------------------------------------------------------

    def whole(self, name: str) -> str:
        """A query for the whole machine, as it is sent for each reading."""
        query = BY_NAME[name]
        if self._is_recorded(query):
            return self._recorded(query)
        return self._mapped(query, self._fill(self._template(query), self.settings.matchers))

    def shown(self, name: str) -> str:
        """A query as the documentation shows it: with `$only` where the matchers of the nodes asked for will stand."""
        query = BY_NAME[name]
        if query.asked.startswith("for the") and "$only" not in self._template(query):
            return self._mapped(query, self._fill(self._template(query), "$only"))
        return self._mapped(query, self._fill(self._template(query), "$only" if "$fields" in query.expr else ""))

    def needs(self, name: str) -> tuple[str, ...]:
        """The series that a query rests on here, for the person who looks for them."""
        query = BY_NAME[name]
        if self._is_recorded(query):
            return (self._record(query),)
        named = {"power.node_series": self.power.node_series, "power.rack_series": self.power.rack_series}
        if name == "site_power":
            return ((self.power.rack_series or self.power.node_series or BY_NAME["gpu_power"].series[0]),)
        return tuple(named.get(series) or series for series in query.series)

    # -- some nodes ----------------------------------------------------------------------------------------------------

    def among(self, name: str, only: str, **words: str) -> str:
        """A query of the nodes on the screen: those that the matchers `only` let through."""
        return self._fill(self._template(BY_NAME[name]), self._all(only), words=words)

    def hosts(self, label: str, nodes: tuple[str, ...]) -> str:
        """How these nodes are spelt in one of the host labels, with or without a domain or port."""
        return self.among("hosts", _spelt(label, nodes))

    def all_hosts(self) -> str:
        """How all nodes are spelt, with their `node`: where the site maps names no matcher can look for one."""
        labels = self.settings.host_labels
        expr = self._fill(self._template(BY_NAME["hosts"]), self.settings.matchers)
        return by_node(expr, labels, self.settings.node, ("node", *labels))

    def chart(self, name: str, node: str, only: str, step: int) -> str:
        """A query of the table for one node, over time. `only` are the matchers of the node's DCGM series."""
        query = BY_NAME[name]
        over = query.over if step > 60 else ""
        if self._is_recorded(query):
            text = f"{self._record(query)}{{node={quoted(node)}}}"
            return f"max by (node) ({over}({text}[{step}s]))" if over else f"max by (node) ({text})"
        if name == "node_power":
            series, plain = self.power.node_series or "", is_plain(self.power.node_series)
            narrow = plain and self.power.node == DEFAULT_NODE
            only = _spelt(self.power.node_label, (node,)) if narrow else ""
            text = self._mapped(query, self._fill(f"<{series}>" if plain else series, self._all(only), over, step))
            return text if narrow else one_node(text, node)
        template = self._template(query)
        text = self._mapped(query, self._fill(template, self._all(only), over, step))
        # What a site wrote for the whole machine may not let itself be narrowed down.
        return one_node(text, node) if name in self.settings.queries else text

    def past_of(self, uuids: tuple[str, ...]) -> str:
        """The gauges of some GPUs, by UUID."""
        template = self._template(BY_NAME["xid_past"]).replace('"$uuids"', quoted("|".join(map(re.escape, uuids))))
        return self._fill(template, self.settings.matchers)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _template(self, query: Query) -> str:
        return self.settings.queries.get(query.name, query.expr)

    def _all(self, only: str) -> str:
        return ",".join(part for part in (only, self.settings.matchers) if part)

    def _fill(
        self, template: str, only: str, over: str = "", span: int = 0, words: Mapping[str, str] | None = None
    ) -> str:
        power, watts = self.power, BY_NAME["gpu_power"].series[0]
        node = _series(power.node_series)
        if is_plain(power.node_series) and not over:
            # A reading that stopped must not stand there as the present.
            node = f"{node} and time() - timestamp({node}) < {self.settings.stale_s:g}"
        sums = {
            "rack": _series(power.rack_series),
            "node": f"{by_node(node, (power.node_label,), power.node)} >= 0",
            "gpu": f"max by ($host, UUID) (<{watts}>) >= 0",
        }
        first = {
            "node_series": node,
            "rack_series": sums["rack"],
            "site_series": sums[self.source],
            "plain_series": _series(power.rack_series or power.node_series or watts),
            "unhosted": ",".join(f'{label}=""' for label in self.settings.host_labels),
        }
        expanded = re.sub(r"\$([a-z_]+)", lambda match: first.get(match[1], match[0]), template)
        return fill(expanded, {**self._words, **(words or {})}, only, over, span)

    def _mapped(self, query: Query, text: str) -> str:
        if "node" not in query.by:
            return text
        if query.name == "node_power":
            return by_node(text, (self.power.node_label,), self.power.node)
        return by_node(text, self.settings.host_labels, self.settings.node, query.by)

    def _is_recorded(self, query: Query) -> bool:
        return self.settings.recorded and query.record is not None and query.name not in self.settings.queries

    def _record(self, query: Query) -> str:
        return (query.record or "").replace("$source", self.source)

    def _recorded(self, query: Query) -> str:
        by = f" by ({', '.join(query.by)})" if query.by else ""
        return f"max{by} ({self._record(query)})"


def _series(series: str | None) -> str:
    """A plain metric as a template, which takes matchers; PromQL as it is."""
    return f"<{series}>" if is_plain(series) else series or ""


def _spelt(label: str, nodes: tuple[str, ...]) -> str:
    """The matcher for nodes by their names, with or without a domain or port."""
    names = "|".join(re.escape(node) for node in nodes)
    return f"{label}=~{quoted(f'({names})([.:].*)?')}"


def exactly(label: str, values: tuple[str, ...]) -> str:
    """The matcher for these values of a label."""
    if len(values) == 1:
        return f"{label}={quoted(values[0])}"
    return f"{label}=~{quoted('|'.join(re.escape(value) for value in values))}"
