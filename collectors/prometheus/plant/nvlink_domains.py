"""The NVLink fabric in one reading: a row for each node, from its GPUs' domain, clique and health."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from collectors.clean import clean
from collectors.model import Facts, Tray
from collectors.nodeset import natural_key
from collectors.nvml.labels import fabric_problems
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.host_labels import HostFamilies
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.values import NODE_NAME, Notes, number

from .domain_queries import CLIQUE, DOMAIN, IMEX

if TYPE_CHECKING:
    from collectors.prometheus.answers import Row

#: From this value on a 32-bit number is a DCGM blank: not known, not supported, no permission.
_BLANK = 0x7FFFFFF0
#: The domain id of a GPU outside any fabric of several nodes: zeros.
_NO_DOMAIN = re.compile(r"[0-]*")
#: Problems with which a GPU still reaches the others; any other takes it out of the fabric.
_DEGRADED = frozenset({"degraded bandwidth", "route recovery", "access timeout", "limited capacity"})
#: DcgmImexDaemonStatus; a negative value is absent or unknown.
_DAEMON = ("initialising", "starting", "waiting for peers", "waiting for recovery", "initialising GPUs", "up",
           "shutting down", "unavailable")  # fmt: skip
#: DCGM_FI_IMEX_DOMAIN_STATUS, worst first; other values do not describe the domain.
_IMEX = {"DOWN": "down", "DEGRADED": "degraded", "UP": "up"}

Part = tuple[str, str]
"""The ids of a domain and of a clique in it."""


def health(wrong: tuple[str, ...]) -> str:
    """healthy, degraded or unhealthy, from the problems."""
    return "healthy" if not wrong else "degraded" if _DEGRADED.issuperset(wrong) else "unhealthy"


class TrayReader:
    """Reads the fabric of all nodes."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> None:
        self.hosts = HostFamilies(book, client, mono, host_labels=("the NVLink fabric", (CLIQUE,)))

    def read(self) -> Facts:
        """One reading; no trays if no GPU is in a fabric of several nodes. Raises SourceFault."""
        notes = Notes()
        parts: dict[str, Counter[Part]] = {}
        imex: dict[str, set[str]] = {}
        for row, gpus in self._rows("nvlink_cliques", notes):
            node, clique = row.metric["node"], row.metric.get("clique", "")
            domain = clean(row.metric.get(DOMAIN, "")[:64])
            domain = "" if _NO_DOMAIN.fullmatch(domain) else domain
            if not (clique.isascii() and clique.isdecimal() and len(clique) < 11 and int(clique) < _BLANK):
                continue
            if not domain and clique == "0":
                continue
            parts.setdefault(node, Counter())[domain, clique] += gpus
            imex.setdefault(node, set()).add(_IMEX.get(row.metric.get(IMEX, ""), ""))
        if not parts:
            return Facts(warnings=tuple(notes.said))
        told = self._health(notes)
        daemons = {row.metric["node"]: value for row, value in self._rows("imex", notes)}
        trays = {
            node: _tray(node, parts[node], told.get(node), daemons.get(node), imex[node])
            for node in sorted(parts, key=natural_key)
        }
        return Facts(trays=trays, warnings=tuple(notes.said))

    def _health(self, notes: Notes) -> Mapping[str, tuple[int, tuple[str, ...]]]:
        """Node to its number of unhealthy GPUs and their problems; a node without values is left out.

        The driver's summary counts GPUs as the mask does, but the mask also gives the reason: if both are there, the
        one with more GPUs counts.
        """
        found: dict[str, tuple[int, tuple[str, ...]]] = {}
        for name, label in (("nvlink_masks", "mask"), ("nvlink_health", "summary")):
            ill: Counter[str] = Counter()
            for row, gpus in self._rows(name, notes):
                node, word = row.metric["node"], row.metric.get(label, "")
                if not (word.isascii() and word.isdecimal() and len(word) < 11 and 0 < int(word) < _BLANK):
                    continue  # 0: not supported
                value = int(word)
                wrong = fabric_problems(value) if label == "mask" else fabric_problems(0, value)
                ill[node] += gpus if wrong else 0
                before, words = found.get(node, (0, ()))
                found[node] = max(before, ill[node]), tuple(dict.fromkeys((*words, *wrong)))
        return found

    def _rows(self, name: str, notes: Notes) -> list[tuple[Row, int]]:
        """Rows of nodes with their value; a refused query is a named gap."""
        found = []
        for row in self.hosts.rows(name, notes):
            value = None if row.value is None else number(row.value[1], name)
            if value is not None and NODE_NAME.fullmatch(row.metric.get("node", "")):
                found.append((row, int(value)))
        return found


def _shown(wrong: tuple[str, ...]) -> tuple[str, ...]:
    """The problems to show: the summary's word only if the mask gives no reason."""
    return tuple(word for word in wrong if word not in {"unhealthy", "limited capacity"}) or wrong


def _tray(
    node: str, parts: Counter[Part], told: tuple[int, tuple[str, ...]] | None, daemon: int | None, imex: set[str]
) -> Tray:
    (domain, _), _ = max(parts.items(), key=lambda part: (part[1], part[0]))
    cliques = sorted({clique if of == domain else f"{of[:8]}/{clique}" for of, clique in parts}, key=natural_key)
    gpus = sum(parts.values())
    return Tray(
        node=node,
        domain=domain,
        clique=",".join(cliques),
        gpus=gpus,
        ready=None if told is None else max(0, gpus - told[0]),
        fabric=None if told is None else health(told[1]),
        wrong=() if told is None else _shown(told[1]),
        imex=None if daemon is None or daemon < 0 else _DAEMON[daemon],
        imex_domain=next((word for word in _IMEX.values() if word in imex), None),
    )
