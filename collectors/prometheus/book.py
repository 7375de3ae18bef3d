"""The query table as one site's settings make it: the PromQL that is really sent."""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.prometheus import PowerSettings, PrometheusSettings, names, plant_fabric, plant_storage
from collectors.prometheus.plant_cooling import expression
from collectors.prometheus.queries import (
    BY_NAME,
    by_node,
    fill,
    is_plain,
    one_node,
    quoted,
)
from collectors.prometheus.query import Query
from collectors.web import DEFAULT_NODE

#: Most rows of an answer that names what is not well, and most file systems.
MOST, MOUNTS = 3000, 60
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
        fabric = settings.fabric
        self._words = {
            "host": ", ".join(settings.host_labels),
            "exported": ", ".join(settings.node_labels),
            "ethernet": fabric.ethernet or "no device",
            "window": f"{fabric.flaps_s}s",
            "most": str(MOST),
            "link_node": fabric.node_label,
            "link_device": fabric.device_label,
            "switch": fabric.switch_label,
            "switch_port": fabric.port_label,
            "fstypes": settings.storage.fstypes,
            "mounts": str(MOUNTS),
            "stale": f"{settings.stale_s:g}",
            "rack": self.power.rack_label,
            "source": self.source,
            "slurmctld": settings.slurmctld,
            "fields": names.pattern(),
        }

    @property
    def tells_age(self) -> bool:
        """Whether the age of the site's power can be asked for: of a plain metric, which is not a recorded one."""
        series = self.power.rack_series or self.power.node_series
        return series is None or is_plain(series)

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
        named = {"power.node_series": self.power.node_series, "power.rack_series": self.power.rack_series,
                 "fabric.links": self.settings.fabric.links}  # fmt: skip
        if name == "site_power":
            return ((self.power.rack_series or self.power.node_series or names.WATTS.told),)
        return tuple(named.get(series) or series for series in query.series)

    def asking(self, name: str, only: str = "", **words: str) -> str:
        """A query that gives rows by node, of those that the matchers `only` let through, with these words in it."""
        query = BY_NAME[name]
        return self._mapped(query, self._fill(self._template(query), self._all(only), words=words))

    def of_node(self, name: str, node: str) -> str:
        """A query that gives rows by node, of one node: narrowed down by its label where it stands there plainly."""
        query = BY_NAME[name]
        labels = getattr(self.settings, query.host)
        if self.plain_host and len(labels) == 1 and name not in self.settings.queries:
            return self.asking(name, _spelt(labels[0], (node,)))
        return one_node(self.asking(name), node)

    def linked(self, nodes: str) -> str:
        """Which switches the ports of some nodes lead to; `nodes` is a regular expression of their label."""
        fabric = self.settings.fabric
        if is_plain(fabric.links):
            return self.asking("switch_of", f"{fabric.node_label}=~{quoted(nodes)}")
        # What a site wrote for the whole machine may not let itself be narrowed down: by a join, on the server.
        label = fabric.node_label
        keep = f'label_replace({self.asking("switch_of")}, "wanted", "yes", "{label}", {quoted(nodes)})'
        return f'{keep} and on (wanted) label_replace(vector(1), "wanted", "yes", "", "")'

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
        """A query of the table for one node, over time. `only` are the matchers of the node's DCGM series now; what
        there was of them under another host label comes with it, since exporters were renewed in between."""
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
        spelt = [only]
        if self.plain_host and name not in self.settings.queries:
            others = (label for label in self.settings.host_labels if not only.startswith(f"{label}="))
            spelt += [_spelt(label, (node,)) for label in others]
        text = " or ".join(self._mapped(query, self._fill(template, self._all(one), over, step)) for one in spelt)
        # What a site wrote for the whole machine may not let itself be narrowed down.
        return one_node(text, node) if name in self.settings.queries else text

    def past_of(self, uuids: tuple[str, ...]) -> str:
        """The gauges of some GPUs, by UUID."""
        template = self._template(BY_NAME["xid_past"]).replace('"$uuids"', quoted("|".join(map(re.escape, uuids))))
        return self._fill(template, self.settings.matchers)

    def hidden_of(self, uuids: tuple[str, ...], step: int) -> str:
        """The codes of some GPUs that a step of this many seconds may have passed over, and those that were counted."""
        template = self._template(BY_NAME["xid_hidden"]).replace('"$uuids"', quoted("|".join(map(re.escape, uuids))))
        return self._fill(template.replace("$steps", f"{step}s"), self.settings.matchers)

    def present(self, series: tuple[str, ...], label: str = "", node: str = "") -> str:
        """Which of these series there are at all, or of one node by one of the host labels."""
        template = self._template(BY_NAME["present"]).replace('"$series"', quoted("|".join(map(re.escape, series))))
        return self._fill(template, self._all(_spelt(label, (node,)) if node else ""))

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
            # A reading that stopped must not stand there as the present.
            node = f"{node} and time() - timestamp({node}) < {self.settings.stale_s:g}"
        sums = {
            "rack": _series(power.rack_series),
            "node": f"{by_node(node, (power.node_label,), power.node)} >= 0",
            # By node first: what two exporters of a host, which spell its label differently, give is counted once.
            "gpu": f"{by_node(BY_NAME['gpu_power'].expr, self.settings.host_labels, self.settings.node)} >= 0",
        }
        recent = names.WATTS.each("max by ($host) (timestamp(<{}>))")
        first = {
            "node_series": node,
            "rack_series": sums["rack"],
            "site_series": sums[self.source],
            "sampled_series": f"timestamp({_series(measured)})" if measured else recent,
            "cooling": expression(self.settings.cooling, self.settings.stale_s),
            "links": _series(self.settings.fabric.links),
            **plant_fabric.WORDS,
            **plant_storage.WORDS,
            "ill": str(self.settings.fabric.errors),
            **(words or {}),
            "unhosted": ",".join(f'{label}=""' for label in self.settings.host_labels),
        }
        expanded = re.sub(r"\$([a-z_]+)", lambda match: first.get(match[1], match[0]), template)
        return fill(expanded, self._words, only, over, span)

    def _mapped(self, query: Query, text: str) -> str:
        if "node" not in query.by:
            return text
        if query.name == "node_power":
            return by_node(text, (self.power.node_label,), self.power.node)
        return by_node(text, getattr(self.settings, query.host), self.settings.node, query.by)

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
