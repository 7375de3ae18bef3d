"""Telemetry on demand: every GPU of the nodes on the screen, charts of a node and of the site, energy of a job."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from collectors.clock import Clock
from collectors.hosts import UNNAMED, NodeNames
from collectors.model import Attached, Gpu, Series

from . import PrometheusSettings
from .client import SKEW_S, PrometheusClient
from .dcgm_names import TEMP
from .gpu_rows import gpus_of
from .host_labels import CHUNK, HostFamilies
from .plant.fabric_queries import STATE, UP
from .plant.node_ports import NodePorts
from .plant.storage import node_mounts
from .plant.storage_queries import ERROR
from .query_table import BY_NAME
from .site_queries import SiteQueries, exactly
from .values import NODE_NAME, Notes, number, points

#: The node_exporter series shown for a node.
_EXPORTED = (STATE, UP, ERROR)
#: More nodes than this are read as the whole cluster.
ALL_NODES_ABOVE = 400
#: Seconds between two points of a chart; the smallest that gives no more than this many points.
STEPS = (15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
POINTS, SITE_POINTS = 200, 60
#: The share of the nodes that must be known for a sum of energy to count.
_ENOUGH = 0.95


class PrometheusTelemetry:
    """Reads in the calling thread, with a client for each thread."""

    def __init__(self, settings: PrometheusSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._book = SiteQueries(settings)
        self._mine = threading.local()
        self._clients: list[PrometheusClient] = []
        self._ports = NodePorts(self._book, clock.mono)
        self._looking = threading.Lock()
        self._names = UNNAMED
        self._eyes: tuple[PrometheusClient, HostFamilies] | None = None
        """The hosts of all series, and the client that asks for them: one thread at a time, by `_looking`."""

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self._names = names
        if self._eyes is not None:
            self._eyes[1].set_node_names(names)

    # -- what the console asks -----------------------------------------------------------------------------------------

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of these nodes at its last sample; nodes with a silent exporter are left out. Raises
        SourceFault."""
        client = self._client()
        found: dict[str, tuple[Gpu, ...]] = {}
        for label, names in self._spelt(nodes).items():
            for only in _parts(label, tuple(names)):
                fields = client.ask("gpu_fields", self._book.among("gpu_fields", only))
                taken = client.ask("gpu_sampled", self._book.among("gpu_sampled", only))
                found |= gpus_of(
                    fields.rows, taken.rows, label, names, client.server_now(), _shift(client), self._settings.stale_s
                )
        # Hosts that changed their label value are searched for next time.
        with self._looking:
            self._hosts().of("gpu_fields").forget(node for node in nodes if node not in found)
        return {node: found[node] for node in nodes if node in found}

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of a node: utilisation, memory, hottest GPU and power; () for an unknown node."""
        if NODE_NAME.fullmatch(node) is None:
            return ()
        client = self._client()
        own = self._book.power.node_series is not None
        wanted = [("util", "utilisation", "%"), ("memory", "memory", "%"), ("temperature", "temperature", "°C")]
        wanted.append(("node_power", "power", "W") if own else ("gpu_power", "power of the GPUs", "W"))
        with self._looking:
            hosts = self._hosts().of("gpu_fields")
            label, values = hosts.find((node,), Notes()).get(node, ("", ()))
            spelled = dict.fromkeys(("util", "memory", "temperature", "gpu_power"), hosts.spelled(node))
            if own:
                measured = self._hosts().of("node_power")
                measured.look(Notes())
                spelled["node_power"] = measured.spelled(node)
        if not label:
            wanted = wanted[3:] if own else []
        step = step_of(seconds, POINTS)
        only = exactly(label, values) if label else ""
        made = [
            self._series(client, name, self._book.chart(name, spelled[name], only, step), title, unit, seconds, step)
            for name, title, unit in wanted
        ]
        return made if any(value is not None for one in made for _, value in one.points) else ()

    def attached(self, node: str) -> Attached:
        """The ports and shared file systems of a node from node_exporter; empty without them."""
        with self._looking:
            hosts = self._hosts().of("node_ports")
            assert self._eyes is not None
            ports = self._ports.read(self._eyes[0], hosts, node)
            return Attached(ports=ports, mounts=node_mounts(hosts, node))

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Charts of the whole site: its power and its mean utilisation."""
        client, step = self._client(), step_of(seconds, SITE_POINTS)
        return [
            self._series(client, "site_power", self._book.whole("site_power"), "power", "W", seconds, step),
            self._series(client, "site_util", self._book.whole("site_util"), "utilisation", "%", seconds, step),
        ]

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Energy in joules that the GPUs of these nodes used since then; None if too few of them are known.

        Up to one node in twenty may be silent and counts as 0, so the sum is a lower bound.
        """
        client = self._client()
        span = int(self._clock.now() - since)
        if span <= 0 or not nodes:
            return None
        known: dict[str, float] = {}
        for label, names in self._spelt(nodes).items():
            parts = [""] if len(names) > ALL_NODES_ABOVE else _parts(label, tuple(names))
            for only in parts:
                for row in client.ask("energy", self._book.among("energy", only, span=f"{span}s")).rows:
                    node = names.get(row.metric.get(label, ""))
                    used = number(row.value[1], "energy") if row.value is not None else None
                    if node is not None and used is not None:
                        known[node] = max(known.get(node, 0.0), used)
        return sum(known.values()) if known and len(known) >= _ENOUGH * len(frozenset(nodes)) else None

    def close(self) -> None:
        """End running requests, in every thread."""
        for client in list(self._clients):
            client.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _client(self) -> PrometheusClient:
        client: PrometheusClient | None = getattr(self._mine, "client", None)
        if client is None:
            client = self._mine.client = PrometheusClient(self._settings, self._clock)
            self._clients.append(client)
        return client

    def _hosts(self) -> HostFamilies:
        """The hosts of all series. Only with `_looking` held."""
        if self._eyes is None:
            client, measured = PrometheusClient(self._settings, self._clock), self._book.power.node_series
            self._clients.append(client)
            # A chart of recorded series uses the possible values of the label `node`.
            recorded = [BY_NAME[name].record or "" for name in ("gpus", *(("node_power",) if measured else ()))]
            self._eyes = client, HostFamilies(
                self._book, client, self._clock.mono,
                host_labels=("GPUs", TEMP.series), node_labels=("ports and mounts", _EXPORTED),
                power=("node power", (measured,) if measured else ()),
                recorded=("recorded series", recorded if self._settings.recorded else ()),
            )  # fmt: skip
            self._eyes[1].set_node_names(self._names)
        return self._eyes[1]

    def _spelt(self, nodes: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Label to value to node, for nodes that have series."""
        spelt: dict[str, dict[str, str]] = {}
        with self._looking:
            where = self._hosts().of("gpu_fields").find(nodes, Notes())
        for node in nodes:
            label, values = where.get(node, ("", ()))
            for value in values:
                spelt.setdefault(label, {})[value] = node
        return spelt

    def _series(
        self, client: PrometheusClient, name: str, query: str, title: str, unit: str, seconds: int, step: int
    ) -> Series:
        """One line of a chart, on our clock; at whole steps, so that two charts a moment apart agree."""
        now = client.server_now()
        end = int(now) // step * step
        start = end - max(1, seconds // step) * step
        rows = client.ask_range(name, query, start, end, step).rows
        shift = _shift(client)
        return Series(
            name=title, unit=unit,
            points=tuple((at + shift, value) for at, value in points(rows, name, start, end, step)),
        )  # fmt: skip


def _parts(label: str, values: tuple[str, ...]) -> list[str]:
    """Matchers for these values of a label, in chunks."""
    return [exactly(label, values[at : at + CHUNK]) for at in range(0, len(values), CHUNK)]


def _shift(client: PrometheusClient) -> int:
    """The shift from the server's clock to ours, if they differ by more than network delay."""
    ahead = client.ahead_s or 0.0
    return -round(ahead) if abs(ahead) > SKEW_S else 0


def step_of(seconds: int, most: int) -> int:
    """Seconds between two points of a chart over `seconds`."""
    return next((step for step in STEPS if seconds <= step * most), STEPS[-1])
