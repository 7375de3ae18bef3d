"""Maps the rows of one kind of series to nodes, and chooses the host labels from the data.

A first query asks for every host of the series, by each label that may hold it (`site_queries.CANDIDATES`). The labels
that find most of Slurm's nodes are chosen; the table's queries aggregate by these only. The query is repeated when
Slurm's nodes change, when a row names a new host, and periodically while some hosts are no nodes. `collectors.hosts`
decides which host is which node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.hosts import AMBIGUOUS, FOREIGN, UNNAMED, HostMapping, HostMatch, NodeNames, is_ip, mapping_summary

from .client import PrometheusClient, QueryRefused
from .query_table import BY_NAME, quoted
from .site_queries import SiteQueries
from .values import NODE_NAME, Notes

if TYPE_CHECKING:
    from .answers import Row

#: Seconds between two host queries: while some hosts are no nodes, and at least after a change.
AGAIN_S, LEAST_S = 600.0, 30.0
#: Nodes in one query: their names are in the URL.
CHUNK = 40

Labels = tuple[str, ...]
Where = tuple[str, tuple[str, ...]]
"""The label of a node's series and its values; several if two exporters use different names."""


class Hosts:
    """The hosts of one kind of series. One thread at a time, except for `set_node_names`."""

    def __init__(
        self,
        book: SiteQueries,
        client: PrometheusClient,
        kind: str,
        what: str,
        series: Sequence[str],
        mono: Callable[[], float],
    ) -> None:
        """`kind` selects the labels that may hold the host (`site_queries.CANDIDATES`), `what` names the series for
        people."""
        self.what = what
        self._book = book
        self._client = client
        self._kind = kind
        self._family = f"{kind} {what}"
        self._series = tuple(series)
        self._mono = mono
        rule = book.rule(kind)
        self._rule = None if rule is None else re.compile(rule)
        self._names = self._next = UNNAMED
        self._version = -1
        self._looked: float | None = None
        self._fits: dict[str, HostMatch] = {}
        """Every value of a label that may hold a host in the last host query, to its match."""
        self._seen: dict[str, HostMatch] = {}
        """Every host of the last host query to its match."""
        self._where: dict[str, Where] = {}
        self._missed = False
        """A row named a host that the last host query did not have."""
        self._plural = False
        """A node has several label values; its rows are merged."""
        self._unlabelled = 0
        self.labels: Labels = book.labels[kind]
        self._order = self._ordered()

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self._next = names

    # -- rows ----------------------------------------------------------------------------------------------------------

    def rows(self, name: str, notes: Notes, **words: str) -> list[Row]:
        """The rows of a query that belong to a node, with the label `node`. Raises SourceFault."""
        self.look(notes)
        answer = self._client.rows(name, self._book.asking(name, **words), notes)
        if answer and not any(row.metric.get(label) for row in answer for label in self._order):
            notes.say(f"{name}: {len(answer)} rows without a host label left out")
        return self.named(answer, name)

    def named(self, rows: Iterable[Row], name: str) -> list[Row]:
        """As `rows`, for a given answer. A node with several hosts has one row, the highest."""
        found = []
        for row in rows:
            node = self.node_of(row.metric)
            if node is not None:
                row.metric["node"] = node
                found.append(row)
        if not self._plural and name not in self._book.settings.queries:
            return found
        keep = BY_NAME[name].by
        best: dict[tuple[str, ...], Row] = {}
        for row in found:
            key = tuple(row.metric.get(label, "") for label in keep)
            other = best.get(key)
            if other is None or _value(row) > _value(other):
                best[key] = row
        return list(best.values())

    def node_of(self, metric: Mapping[str, str]) -> str | None:
        """The node of these labels: from the first label that matches one; else the host as labelled if Slurm does not
        know it. None for a host that must not be taken for a node: an IP address, an ambiguous host."""
        first: HostMatch | None = None
        for label in self._order:
            value = metric.get(label)
            if value:
                fit = self._fit(value)
                if fit.node is not None:
                    return fit.node
                first = first or fit
        self._missed = self._missed or first is None
        return first.host if first is not None and first.how == FOREIGN and NODE_NAME.fullmatch(first.host) else None

    def find(self, nodes: Iterable[str], notes: Notes) -> Mapping[str, Where]:
        """Label and values of these nodes, as far as they have series now. Raises SourceFault."""
        self.look(notes)
        missing = [node for node in nodes if node not in self._where and NODE_NAME.fullmatch(node)]
        if missing and self._rule is not None:
            self.look(notes, now=self._looked is None or self._mono() - self._looked >= LEAST_S)
        elif missing:
            for label in self._book.candidates(self._kind):
                every = (metric for part in self._spellings(label, missing) for metric in part)
                rows = [one for one in every if (value := one.get(label)) and self._fit(value).node in missing]
                if rows and label not in self.labels:
                    self.look(notes, now=True)  # restarted exporters may use another label
                    break
                for metric in rows:
                    self._take(metric)
                missing = [node for node in missing if node not in self._where]
                if not missing:
                    break
        return {node: self._where[node] for node in nodes if node in self._where}

    def _spellings(self, label: str, nodes: Sequence[str]) -> Iterator[list[Mapping[str, str]]]:
        """The hosts of these nodes by one label, in chunks."""
        for at in range(0, len(nodes), CHUNK):
            spelled = quoted("|".join(map(self.spelled, nodes[at : at + CHUNK])))
            asked = self._book.every_host(self._kind, self._series, f"{label}=~{spelled}")
            yield [row.metric for row in self._client.ask("hosts", asked).rows]

    def forget(self, nodes: Iterable[str]) -> None:
        """These nodes had no series under their known labels: search for them again."""
        for node in nodes:
            self._where.pop(node, None)

    def spelled(self, node: str) -> str:
        """A regular expression for this node's label values; with a rule of the site, by that rule."""
        if self._rule is None:
            return self._names.spelled(node)
        return "|".join(map(re.escape, self._where.get(node, ("", ()))[1])) or "no host"

    def rows_of(self, name: str, node: str) -> list[Row]:
        """The rows of a query that belong to one node. Raises SourceFault."""
        self.look(Notes())
        spelled = self.spelled(node)
        if name in self._book.settings.queries:
            rows = [*self._client.ask(name, self._book.of_node(name, spelled)).rows]
        else:
            asked = (self._book.asking(name, f"{label}=~{quoted(spelled)}") for label in self.labels)
            rows = [row for query in asked for row in self._client.ask(name, query).rows]
        return [row for row in self.named(rows, name) if row.metric["node"] == node]

    def node_at(self, value: str) -> str | None:
        """The node of one label value."""
        return self._fit(value).node

    # -- looking -------------------------------------------------------------------------------------------------------

    def look(self, notes: Notes, now: bool = False) -> None:
        """Query all hosts again if it is due. Raises SourceFault; after a refusal the labels stay as they are."""
        changed = self._next is not self._names
        self._names = self._next
        if changed or self._names.version != self._version:
            self._fits = {value: self._names.fit(value, self._rule, self._family) for value in self._fits}
            self._version = self._names.version
        if changed or now or self._is_due():
            self._looked, self._missed = self._mono(), False
            try:
                rows = self._client.ask("hosts", self._book.every_host(self._kind, self._series)).rows
            except QueryRefused as error:
                notes.say(str(error.fault))
                return
            self._choose([row.metric for row in rows])
        self._warn(notes)

    @property
    def looked(self) -> bool:
        """Whether hosts were queried and found."""
        return bool(self._seen or self._unlabelled)

    def host_mappings(self) -> HostMapping:
        """How the hosts of the last query were mapped."""
        return mapping_summary(
            self.what, self.labels, self._seen.values(), self._names, configured=self._rule is not None,
            unlabelled=self._unlabelled,
        )  # fmt: skip

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ordered(self) -> Labels:
        """The labels to check in a row: the chosen ones, then those that only a site's own query may have."""
        return tuple(dict.fromkeys((*self.labels, *self._book.candidates(self._kind), "node")))

    def _is_due(self) -> bool:
        if self._looked is None:
            return True
        ago = self._mono() - self._looked
        if self._missed or not self._seen:
            return ago >= LEAST_S
        return ago >= AGAIN_S and any(fit.node is None for fit in self._seen.values())

    def _fit(self, value: str) -> HostMatch:
        fit = self._fits.get(value)
        if fit is None:
            fit = self._fits[value] = self._names.fit(value, self._rule, self._family)
            self._missed = True
        return fit

    def _choose(self, hosts: Sequence[Mapping[str, str]]) -> None:
        """Choose the labels that find most nodes: the best one, then those that find others."""
        candidates = self._book.candidates(self._kind)
        values = {value for metric in hosts for label in candidates if (value := metric.get(label))}
        self._fits = {value: self._names.fit(value, self._rule, self._family) for value in values}
        chosen, left = list[str](), hosts
        while left:
            finds = {label: {self._node(metric, label) for metric in left} - {None} for label in candidates}
            # Of two equal ones, the first in the list.
            label = max(candidates, key=lambda one: len(finds[one]))
            if not finds[label]:
                break
            chosen.append(label)
            left = [metric for metric in left if self._node(metric, label) is None]
        # Hosts that are no nodes are reported by the label that names them.
        bare = [metric for metric in left if not any(metric.get(label) for label in chosen)]
        chosen += [label for label in candidates if any(metric.get(label) for metric in bare)][:1]
        if chosen:
            self.labels = self._book.labels[self._kind] = tuple(chosen)
        self._order = self._ordered()
        self._names.learn(self._family, [fit for fit in map(self._named, hosts) if fit is not None])
        self._version = self._names.version
        self._fits = {value: self._names.fit(value, self._rule, self._family) for value in values}
        fits = [fit for fit in map(self._named, hosts) if fit is not None]
        self._unlabelled = len(hosts) - len(fits)
        self._seen = {fit.host: fit for fit in fits}
        self._where = {}
        for metric in hosts:
            self._take(metric)
        rows = {tuple(metric.get(label, "") for label in self.labels): self._named(metric) for metric in hosts}
        nodes = [fit.node for fit in rows.values() if fit is not None and fit.node]
        self._plural = len(nodes) != len(set(nodes))

    def _node(self, metric: Mapping[str, str], label: str) -> str | None:
        value = metric.get(label)
        return self._fits[value].node if value else None

    def _named(self, metric: Mapping[str, str]) -> HostMatch | None:
        """The match of a row's labels: the first that is a node, else the first present."""
        fits = [self._fit(value) for label in self.labels if (value := metric.get(label))]
        return next((fit for fit in fits if fit.node), fits[0] if fits else None)

    def _take(self, metric: Mapping[str, str]) -> None:
        """Record a node's label and value."""
        for label in self.labels:
            value = metric.get(label)
            node = self._fit(value).node if value else None
            if value and node:
                known = self._where.get(node)
                if known is None:
                    self._where[node] = (label, (value,))
                elif known[0] == label and value not in known[1]:
                    self._where[node] = (label, (*known[1], value))
                return

    def _warn(self, notes: Notes) -> None:
        """Warn about lost rows: ambiguous hosts, addresses, and no match at all."""
        fits = self._seen.values()
        notes.some("host", f"of {self.what} fit several nodes, or share one, and count for none",
                   {fit.host for fit in fits if fit.how == AMBIGUOUS})  # fmt: skip
        notes.some("address", f"of {self.what} that Slurm gives no node: NodeAddr has none of them",
                   {fit.host for fit in fits if fit.node is None and is_ip(fit.host)})  # fmt: skip
        if self._names.known and self._seen and not any(fit.node for fit in fits):
            notes.say(f"no host of {self.what} is a node of Slurm: see wacht doctor")


def _value(row: Row) -> float:
    try:
        return float(row.value[1]) if row.value is not None else float("-inf")
    except ValueError:
        return float("-inf")


class HostFamilies:
    """The hosts of all kinds of series that one source reads."""

    def __init__(
        self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float], **kinds: tuple[str, Sequence[str]]
    ) -> None:
        """Each kind (`site_queries.CANDIDATES`) with the series' name for people, and the series."""
        self._book = book
        self._kinds = {
            kind: Hosts(book, client, kind, what, series, mono) for kind, (what, series) in kinds.items() if series
        }

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        for one in self._kinds.values():
            one.set_node_names(names)

    def of(self, name: str) -> Hosts:
        """The hosts of a query's series."""
        query = BY_NAME[name]
        return self._kinds["recorded" if self._book.is_recorded(query) else query.host]

    def rows(self, name: str, notes: Notes, **words: str) -> list[Row]:
        """The rows of a query that belong to a node, with the label `node`. Raises SourceFault."""
        return self.of(name).rows(name, notes, **words)

    def look(self, notes: Notes) -> None:
        """Query all hosts if it is due: for sums made on the server. Raises SourceFault."""
        for one in self._kinds.values():
            one.look(notes)

    def host_mappings(self) -> tuple[HostMapping, ...]:
        """How the hosts of each queried kind were mapped."""
        return tuple(one.host_mappings() for one in self._kinds.values() if one.looked)
