"""Maps a host in a label to a Slurm node: the one place for that mapping, for Prometheus and Alertmanager alike.

A label holds a host as its exporter or scrape configuration writes it: short or with its domain, with or without a
port, or as an IP address. Slurm knows a node by three names: NodeName, NodeHostname and NodeAddr. A host is a node if

1. it equals one of these three, in this order, or
2. its first part equals the first part of one of them, and one of both has no domain. Each name is compared by itself:
   NodeName gpu1 matches gpu1.site, whatever domain NodeAddr has.

An IP address is a node only if Slurm itself gives it (rule 1). A host that matches several nodes is mapped to none.
Neither is a host that rule 2 would match, if a host of another domain matches that node too in series of the same kind:
these are reported, never merged. Alerts are not merged since each keeps its labels: there both such hosts are mapped to
the node.

Until Slurm's nodes are known, a host is called by its first part, and an IP address is no node.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct

from .clean import clean
from .model import Node

NAME, HOSTNAME, ADDRESS, SHORT, RULE, UNCHECKED = "NodeName", "NodeHostname", "NodeAddr", "short name", "rule", ""
"""How a host matched a node: what it equals."""
_EXACT = (NAME, HOSTNAME, ADDRESS)
FOREIGN, IP, AMBIGUOUS, UNMATCHED = "foreign", "IP address", "ambiguous", "unmatched"
"""Why a host is no node: a name that Slurm does not know, an IP address that is no NodeAddr, several nodes match, or
the site's rule does not match."""

#: Name, NodeHostname and NodeAddr of every node.
Ids = tuple[tuple[str, str | None, str | None], ...]
_PORT = re.compile(r"(\[.+\]|[^:]+):[0-9]{1,5}")


class HostMatch(Struct, frozen=True):
    """What a host in a label maps to."""

    node: str | None
    how: str
    host: str
    """The host, without a port."""
    domain: str = ""
    """The domain of the host if Slurm's names do not confirm it."""


def host_of(value: str) -> str:
    """The host in a label's value, without the port and the brackets of an IPv6 address."""
    match = _PORT.fullmatch(value)
    host = match[1] if match is not None else value
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def is_ip(host: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    if not host[:1].isdigit() and ":" not in host:  # most hosts
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def node_ids_of(nodes: Iterable[Node]) -> Ids:
    """The names that the mapping is built from."""
    return tuple((node.name, node.hostname, node.address) for node in nodes)


class NodeNames:
    """The nodes of one cluster as Slurm names them. Immutable except for the hosts found to be ambiguous."""

    def __init__(self, ids: Ids = ()) -> None:
        self.known = bool(ids)
        """False until Slurm has named its nodes."""
        self.nodes = frozenset(name for name, _, _ in ids)
        self._exact: dict[str, tuple[str, str]] = {}
        """Host to how it fits, and the node; "" for several nodes."""
        self._short: dict[str, dict[str, set[str]]] = {}
        """First part of a name to the nodes that have it, each with the domains of its names; "" for a name without."""
        self._hosts: dict[str, list[str]] = {}
        """Node to the hosts that are no other."""
        self._twofold: dict[str, frozenset[str]] = {}
        """Kind of series to the nodes that hosts of several domains would be there: a BMC that exports ports makes no
        other series of its node doubtful."""
        self._lock = threading.Lock()
        self.version = 0
        """Another number once other hosts are ambiguous than before."""
        for name, _, _ in ids:
            self._exact[name] = (NAME, name)
        for how, place in ((HOSTNAME, 1), (ADDRESS, 2)):
            for one in ids:
                host = one[place]
                known = self._exact.get(host or "")
                if host and known is None:
                    self._exact[host] = (how, one[0])
                elif host and known is not None and known[0] == how and known[1] != one[0]:
                    self._exact[host] = (how, "")
        for host, (_, name) in self._exact.items():
            if not name:
                continue
            self._hosts.setdefault(name, []).append(host)
            if not is_ip(host):
                first, _, domain = host.partition(".")
                self._short.setdefault(first, {}).setdefault(name, set()).add(domain)

    def fit(self, value: str, rule: re.Pattern[str] | None = None, family: str = "") -> HostMatch:
        """The match of a label's value; with a rule of the site by that rule alone. `family` is the kind of series, as
        in `learn`."""
        host = host_of(value)
        if rule is not None:
            return self._by_rule(value, host, rule, family)
        exact = self._exact.get(host)
        if exact is not None:
            how, node = exact
            return HostMatch(node, how, host) if node else HostMatch(None, AMBIGUOUS, host)
        if is_ip(host):
            return HostMatch(None, IP, host)
        first, _, domain = host.partition(".")
        if not self.known:
            twofold = self._is_twofold(first, domain, family)
            return (
                HostMatch(None, AMBIGUOUS, host, domain)
                if twofold
                else HostMatch(first or None, UNCHECKED, host, domain)
            )
        fitting = [node for node, domains in self._short.get(first, {}).items() if not domain or "" in domains]
        if not fitting:
            return HostMatch(None, FOREIGN, host, domain)
        if len(fitting) > 1 or self._is_twofold(fitting[0], domain, family):
            return HostMatch(None, AMBIGUOUS, host, domain)
        return HostMatch(fitting[0], SHORT, host, domain)

    def learn(self, family: str, fits: Iterable[HostMatch]) -> None:
        """Record the nodes that hosts of different domains would match in series of one kind. These hosts are ambiguous
        from now on, except those that Slurm itself names so, until the same kind is learned again without them."""
        domains: dict[str, set[str]] = {}
        for fit in fits:
            domain = fit.domain
            if fit.how in _EXACT and not is_ip(fit.host):
                domain = fit.host.partition(".")[2]
            if domain and (node := fit.node or self._meant(fit)):
                domains.setdefault(node, set()).add(domain)
        twofold = frozenset(node for node, found in domains.items() if len(found) > 1)
        with self._lock:
            if self._twofold.get(family, frozenset()) != twofold:
                self._twofold = {**self._twofold, family: twofold}
                self.version += 1

    def spelled(self, node: str) -> str:
        """A regular expression (RE2) that matches every label value that may be this node."""
        words: dict[str, None] = {}
        for host in self._hosts.get(node, [node]):
            first, _, domain = host.partition(".")
            if is_ip(host):
                words[re.escape(f"[{host}]" if ":" in host else host)] = None
                continue
            if domain:
                words[re.escape(host)] = None
            bare = "" in self._short.get(first, {}).get(node, ("",))
            words[re.escape(first) + ("([.][^:]*)?" if bare else "")] = None
        return f"({'|'.join(words)})(:[0-9]+)?"

    # -- inside --------------------------------------------------------------------------------------------------------

    def _by_rule(self, value: str, host: str, rule: re.Pattern[str], family: str) -> HostMatch:
        match = rule.fullmatch(value)
        name = (match[1] or "") if match is not None else ""
        if not name:
            return HostMatch(None, UNMATCHED, host)
        if self.known and name in self.nodes:
            domain = host.partition(".")[2]
            own = is_ip(host) or self._exact.get(host, ("", ""))[1] == name
            twofold = not own and self._is_twofold(name, domain, family)
            return (
                HostMatch(None, AMBIGUOUS, host, domain)
                if twofold
                else HostMatch(name, RULE, host, "" if own else domain)
            )
        if is_ip(name) or is_ip(host):
            return HostMatch(None, IP, host)
        return HostMatch(None, FOREIGN, name) if self.known else HostMatch(name, UNCHECKED, host)

    def _is_twofold(self, node: str, domain: str, family: str) -> bool:
        return bool(domain) and node in self._twofold.get(family, ())

    def _meant(self, fit: HostMatch) -> str:
        """The node that an ambiguous host would be if it were the only one of its kind."""
        if fit.how != AMBIGUOUS:
            return ""
        first = fit.host.partition(".")[0]
        found = [node for node, domains in self._short.get(first, {}).items() if "" in domains]
        return first if not self.known else found[0] if len(found) == 1 else ""


#: Used until Slurm's nodes are known.
UNNAMED = NodeNames()


@runtime_checkable
class NeedsNodeNames(Protocol):
    """A source that finds nodes in labels, and therefore needs Slurm's node names."""

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's current node names. May be called by any thread, at any time."""
        ...


class HostMapping(Struct, frozen=True, kw_only=True):
    """How the hosts of one kind of series were mapped, for diagnosis."""

    what: str
    """What the series are: "GPUs", "ports"."""
    labels: tuple[str, ...]
    """The labels in use; the first one that matches counts."""
    hows: tuple[tuple[str, int], ...] = ()
    """How the hosts matched, to how many; the most frequent first."""
    hosts: int = 0
    known: int = 0
    """Hosts that are nodes of Slurm."""
    missing: int = 0
    """Slurm nodes that no host maps to."""
    unknown: tuple[str, ...] = ()
    """Hosts that are no node."""
    ambiguous: tuple[str, ...] = ()
    """Hosts that match several nodes, or share one node with another host."""
    unlabelled: int = 0
    """Series without any of the labels."""
    checked: bool = True
    """False where Slurm's nodes are not known."""
    configured: bool = False
    """True if the configuration gives the rule."""
    whole: bool = True
    """True if every node should be among the hosts; False for alerts, which are about some nodes."""


@runtime_checkable
class ReportsHostMapping(Protocol):
    """A source that reports how it mapped the hosts in its series."""

    def host_mappings(self) -> tuple[HostMapping, ...]:
        """One mapping for each kind of series, as of the last reading."""
        ...


def mapping_summary(
    what: str, labels: tuple[str, ...], fits: Iterable[HostMatch], names: NodeNames, *, configured: bool,
    unlabelled: int = 0, whole: bool = True,
) -> HostMapping:  # fmt: skip
    """The mapping summed up from the match of each host; a host that occurs several times counts once."""
    by_host: Mapping[str, HostMatch] = {fit.host: fit for fit in fits}
    hows = Counter(fit.how for fit in by_host.values() if fit.node is not None)
    ambiguous = tuple(clean(host) for host, fit in by_host.items() if fit.how == AMBIGUOUS)
    unknown = tuple(clean(host) for host, fit in by_host.items() if fit.node is None and fit.how != AMBIGUOUS)
    nodes = {fit.node for fit in by_host.values() if fit.node is not None}
    return HostMapping(
        what=what, labels=labels, hows=tuple(hows.most_common()), hosts=len(by_host), known=sum(hows.values()),
        missing=len(names.nodes - nodes),
        unknown=unknown, ambiguous=ambiguous, unlabelled=unlabelled, checked=names.known, configured=configured,
        whole=whole,
    )  # fmt: skip


# -- where a server sums up by host, without knowing Slurm's names ----------------------------------------------------

#: Reduces a label's value to the host without its port. Two hosts never become one.
HOST_PATTERN, HOST_REPLACEMENT = r"([^:]+|\[.+\])(?::[0-9]+)?|(.+)", "$1$2"
