"""Every port of one node, from node_exporter; what is usual is computed from the whole cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from collectors.model import Port
from collectors.prometheus.client import SKEW_S, PrometheusClient
from collectors.prometheus.host_labels import Hosts
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.values import NODE_NAME, Notes

from .fabric import Device, FabricReader, Usual, gbps, numeric_rows, port_of, state_words
from .fabric_queries import PHYSICAL, RATE, SPEED, STATE, UP


class NodePorts:
    """Every port of one node, on demand; what is usual is read again after ten minutes."""

    USUAL_HOLDS_S = 600.0

    def __init__(self, book: SiteQueries, mono: Callable[[], float]) -> None:
        self._book = book
        self._mono = mono
        self._usual: tuple[float, Usual | None] | None = None

    def read(self, client: PrometheusClient, hosts: Hosts, node: str) -> tuple[Port, ...]:
        """Its cabled ports by name; () if unknown. Raises SourceFault."""
        if NODE_NAME.fullmatch(node) is None:
            return ()
        found: dict[Device, dict[str, float]] = {}
        for one, value in self._of(hosts, "node_ports", node):
            device = (one.get("device", ""), one.get("port", ""))
            found.setdefault(device, {})[one.get("__name__", "")] = value
        ethernet = re.compile(self._book.settings.fabric.ethernet or "(?!)")
        found = {one: fields for one, fields in found.items() if one[1] or ethernet.fullmatch(one[0])}
        if not found:
            return ()
        flaps = self._by_device(hosts, "node_flaps", node)
        errors = self._by_device(hosts, "node_errors", node)
        sampled = next((at for _, at in self._of(hosts, "node_ports_sampled", node)), None)
        ahead = client.ahead_s or 0.0
        taken = None if sampled is None else int(sampled) - (round(ahead) if abs(ahead) > SKEW_S else 0)
        old = sampled is None or client.server_now() - sampled > self._book.settings.stale_s
        usual = self._usually(client)
        ports = []
        for device, fields in sorted(found.items()):
            if device in usual.uncabled and not fields.get(UP) and fields.get(STATE) != 4:
                continue
            port = self._port(node, device, fields, usual, flaps.get(device), errors.get(device))
            # Old values are not shown as current: only their age is known.
            ports.append(Port(node=node, device=port.device, port=port.port, link=port.link, sampled_at=taken)
                         if old else replace(port, sampled_at=taken))  # fmt: skip
        return tuple(ports)

    def _port(
        self,
        node: str,
        device: Device,
        fields: Mapping[str, float],
        usual: Usual,
        flaps: float | None,
        ill: float | None,
    ) -> Port:
        state = fields.get(STATE if device[1] else UP)
        up = None if state is None else state == (4 if device[1] else 1)
        rate = fields.get(RATE if device[1] else SPEED)
        rate = rate if up and rate is not None and rate > 0 else None
        usually = usual.speeds.get(device)
        slow = rate is not None and usually is not None and rate < usually
        code = 10 * int(state or 0) + int(fields.get(PHYSICAL, 0)) if device[1] else int(state or 0)
        many = ill is not None and ill >= self._book.settings.fabric.errors
        port = port_of(
            node, device, usual, code if up is False else None, rate if slow else None, flaps, ill if many else None
        )
        word = state_words(device[1], code) if device[1] else "up" if up else "no carrier"
        return replace(
            port, up=up, state=None if state is None else word, speed_gbps=gbps(rate),
            errors=None if ill is None else int(ill),
        )  # fmt: skip

    def _by_device(self, hosts: Hosts, name: str, node: str) -> dict[Device, float]:
        return {(one.get("device", ""), one.get("port", "")): value for one, value in self._of(hosts, name, node)}

    @staticmethod
    def _of(hosts: Hosts, name: str, node: str) -> list[tuple[Mapping[str, str], float]]:
        return numeric_rows(hosts.rows_of(name, node), name)

    def _usually(self, client: PrometheusClient) -> Usual:
        now = self._mono()
        if self._usual is None or now - self._usual[0] > self.USUAL_HOLDS_S:
            self._usual = now, FabricReader(self._book, client, self._mono).usual(Notes())
        return self._usual[1] or Usual({}, {}, {}, frozenset())
