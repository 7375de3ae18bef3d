"""The fabric: all ports in sums, the unhealthy ones individually, and every port of a node on the screen.

What is usual is derived from the cluster itself, by device name (mlx5_3, eno1), which means the same on nodes of a
kind:

- A device that is up on fewer than half of the nodes that have it, at every hour of the last day, has *no cable* there:
  it is counted separately and is no fault. A failing switch or row affects far fewer ports, and a fabric that fails as
  a whole was up within the day. If nothing would be left, nothing is left out.
- The *usual speed* of a device is that of most of its ports. Another speed of a third or more of them is usual too
  (nodes of another kind), and then the lower one counts. A port that is up and below it is slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Fabric, Facts, Port, SourceFault
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.host_labels import HostFamilies
from collectors.prometheus.query_table import quoted
from collectors.prometheus.site_queries import MAX_ROWS, SiteQueries
from collectors.prometheus.values import NODE_NAME, Notes, number

from .fabric_queries import STATE, UP

if TYPE_CHECKING:
    from collectors.prometheus.answers import Row

INFINIBAND, ETHERNET = "InfiniBand", "Ethernet"
#: If fewer than this share of a device's ports are up all day, it has no cable.
CABLED = 0.5
#: A speed of this share of a device's ports is usual, besides the most frequent one.
USUAL = 1 / 3
#: A link that goes down this often within `flaps_s` is flapping.
FLAPS = 2
#: Seconds between two reads of the last day.
DAY_EVERY_S = 3600.0
#: Nodes in one switch query, queries in one reading, and seconds that an answer stays valid.
LOOK_NODES, LOOKS, LOOK_HOLDS_S = 40, 5, 6 * 3600.0
#: The InfiniBand specification's words for a port's state and physical state, by node_exporter's numbers.
STATES = {1: "Down", 2: "Initializing", 3: "Armed", 4: "Active", 5: "Active, deferred"}
PHYSICAL_STATES = {1: "Sleep", 2: "Polling", 3: "Disabled", 4: "Training", 5: "LinkUp", 6: "Recovering", 7: "Test"}

Device = tuple[str, str]
"""Name and port of a device; "" is the port of Ethernet devices."""


class Usual(Struct, frozen=True):
    """What is usual on this cluster, by device."""

    ports: Mapping[Device, int]
    up: Mapping[Device, int]
    speeds: Mapping[Device, float]
    """Bytes a second."""
    uncabled: frozenset[Device]


def usual_of(
    counts: Mapping[tuple[str, str, str], float],
    rates: Iterable[tuple[str, str, float, float]],
    day: Mapping[Device, float],
) -> Usual:
    """What is usual, from (device, port, "all" or "up") to ports, rows of (device, port, rate, ports), and the day's
    maximum."""
    ports = {(name, port): int(count) for (name, port, what), count in counts.items() if what == "all"}
    up = {(name, port): int(count) for (name, port, what), count in counts.items() if what == "up"}
    bare = {one for one, every in ports.items() if max(up.get(one, 0), day.get(one, 0.0)) < CABLED * every}
    by_device: dict[Device, dict[float, float]] = {}
    for name, port, rate, count in rates:
        known = by_device.setdefault((name, port), {})
        known[rate] = known.get(rate, 0.0) + count
    speeds: dict[Device, float] = {}
    for one, found in by_device.items():
        most, every = max(found.values()), sum(found.values())
        speeds[one] = min(rate for rate, count in found.items() if count == most or count >= USUAL * every)
    return Usual(ports, up, speeds, frozenset() if bare == ports.keys() else frozenset(bare))


class FabricReader:
    """Reads the whole cluster's ports; remembers the day's ports, and each port's switch."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> None:
        self._book = book
        self._client = client
        self._mono = mono
        self.hosts = HostFamilies(book, client, mono, node_labels=("ports", (STATE, UP)))
        self._day: dict[Device, float] = {}
        self._day_at: float | None = None
        self._links: frozenset[str] = frozenset()
        """The kinds of links that were seen: none of them may vanish in silence."""
        self._switches: dict[tuple[str, str], tuple[str, str]] = {}
        self._looked: dict[str, float] = {}

    def read(self) -> Facts:
        """One reading; empty Facts if the site has no such series. Raises SourceFault."""
        notes = Notes()
        usual = self.usual(notes)
        if usual is None:
            return Facts(warnings=tuple(notes.said))
        links = frozenset(ETHERNET if not port else INFINIBAND for _, port in usual.ports)
        if self._links - links:
            gone = " and ".join(sorted(self._links - links))
            what = f"the series of {gone} ports were there and are gone"
            raise SourceFault("empty", what, "is node_exporter scraped?")
        self._links = links
        self._check_age()
        ports = self._unwell(usual, notes)
        switches = self._with_switches(ports, notes)
        cabled = [one for one in usual.ports if one not in usual.uncabled]
        fabric = Fabric(
            ports=sum(usual.ports[one] for one in cabled),
            up=sum(usual.up.get(one, 0) for one in cabled),
            uncabled=sum(usual.ports[one] for one in usual.uncabled),
            switches=switches,
            source="node_exporter" + ("" if self._book.settings.fabric.links is None else " and the site's links"),
        )
        return Facts(ports=ports, fabric=fabric, warnings=tuple(notes.said))

    def usual(self, notes: Notes) -> Usual | None:
        """What is usual; None without ports."""
        counts = {
            (one["device"], one.get("port", ""), one.get("what", "")): count
            for one, count in self._ask("ports", notes)
            if one.get("device")
        }
        if not counts:
            return None
        now = self._mono()
        if self._day_at is None or now - self._day_at >= DAY_EVERY_S:
            day = self._ask("ports_of_day", notes)
            self._day = {(one.get("device", ""), one.get("port", "")): count for one, count in day}
            self._day_at = now
        for (name, port, word), count in counts.items():
            if word == "up":
                # Ports that were up at this console's first reading count as well: a new server has no history.
                self._day[name, port] = max(count, self._day.get((name, port), 0.0))
        rates = [
            (one.get("device", ""), one.get("port", ""), rate, count)
            for one, count in self._ask("port_speeds", notes)
            if (rate := number(one.get("rate", ""), "ports_slow")) is not None
        ]
        return usual_of(counts, rates, self._day)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, notes: Notes, **words: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each valid row; a refused query is a named gap."""
        return numeric_rows(self._client.rows(name, self._book.asking(name, **words), notes), name)

    def _check_age(self) -> None:
        """Raises SourceFault if the newest sample is old: it is not the current state."""
        rows = self._client.ask("fabric_sampled", self._book.asking("fabric_sampled")).rows
        at = next((value for _, value in numeric_rows(rows, "fabric_sampled")), None)
        check_age(at, self._client, self._book.settings.stale_s, "of a port")

    def _unwell(self, usual: Usual, notes: Notes) -> dict[str, Port]:
        """The unhealthy ports, with all their problems."""
        bare = "|".join(sorted(re.escape(name) for name in _whole_devices(usual)))
        down = self._ports("ports_down", notes, uncabled=quoted(bare)[1:-1])
        slow: dict[tuple[str, Device], float] = {}
        for rate in sorted(set(usual.speeds.values())):
            names = "|".join(sorted({re.escape(name) for (name, _), one in usual.speeds.items() if one == rate}))
            some = self._ports("ports_slow", notes, devices=quoted(names)[1:-1], usual=f"{rate:.0f}")
            slow |= {key: value for key, value in some.items() if value < usual.speeds.get(key[1], 0.0)}
        flaps = self._ports("ports_flapping", notes, least=str(FLAPS))
        ill = self._ports("ports_ill", notes)
        found: dict[str, Port] = {}
        for key in {**down, **slow, **flaps, **ill}:
            node, device = key
            if device in usual.uncabled:
                continue
            port = port_of(node, device, usual, down.get(key), slow.get(key), flaps.get(key), ill.get(key))
            found[port.key] = port
        if len(found) >= MAX_ROWS:
            notes.say(f"more than {MAX_ROWS:,} ports are not well: some of them are not listed")
        return found

    def _ports(self, name: str, notes: Notes, **words: str) -> dict[tuple[str, Device], float]:
        found, odd = {}, []
        for one, value in numeric_rows(self.hosts.rows(name, notes, **words), name):
            if NODE_NAME.fullmatch(one.get("node", "")) is None or not one.get("device"):
                odd.append(one.get("node", ""))
                continue
            found[one["node"], (one["device"], one.get("port", ""))] = value
        notes.some("port", "of no node's name", odd)
        return found

    def _with_switches(self, ports: dict[str, Port], notes: Notes) -> Mapping[str, int]:
        """Add each port's switch if a series has it; returns switch to its number of ports, over all ports."""
        if self._book.settings.fabric.links is None:
            return {}
        label = self._book.settings.fabric.switch_label
        now = self._mono()
        wanted = [node for node in dict.fromkeys(port.node for port in ports.values())
                  if now - self._looked.get(node, -LOOK_HOLDS_S) >= LOOK_HOLDS_S]  # fmt: skip
        for at in range(0, min(len(wanted), LOOKS * LOOK_NODES), LOOK_NODES):
            some = wanted[at : at + LOOK_NODES]
            self._look(some, notes)
            self._looked |= dict.fromkeys(some, now)
        for key, port in ports.items():
            where = self._switches.get((port.node, port.device)) or self._switches.get((port.node, ""))
            if where is not None:
                ports[key] = replace(port, switch=where[0], switch_port=where[1] or None)
        told = self._ask("switch_ports", notes)
        return {clean(one.get(label, "")): int(count) for one, count in told if one.get(label)}

    def _look(self, nodes: Sequence[str], notes: Notes) -> None:
        """Read the switches of these nodes' ports."""
        fabric = self._book.settings.fabric
        hosts = self.hosts.of("ports_down")
        rows = self._client.rows("switch_of", self._book.linked("|".join(map(hosts.spelled, nodes))), notes)
        bare: dict[str, set[str]] = {}
        for row in rows:
            node = hosts.node_at(row.metric.get(fabric.node_label, ""))
            switch = clean(row.metric.get(fabric.switch_label, "")[:80])
            if node and switch:
                device = row.metric.get(fabric.device_label, "")
                self._switches[node, device] = (switch, clean(row.metric.get(fabric.port_label, "")[:40]))
                bare.setdefault(node, set()).add(switch)
        for node, found in bare.items():
            if len(found) == 1:
                self._switches.setdefault((node, ""), (found.pop(), ""))


def _whole_devices(usual: Usual) -> set[str]:
    """Devices without any cabled port: queries can exclude them by name."""
    return {name for name, _ in usual.uncabled} - {name for name, _ in usual.ports.keys() - usual.uncabled}


def port_of(
    node: str,
    device: Device,
    usual: Usual,
    down: float | None,
    slow: float | None,
    flaps: float | None,
    ill: float | None,
) -> Port:
    """One port with its problems."""
    name, port = device
    wrong = (
        *(("down",) if down is not None else ()),
        *(("slow",) if slow is not None else ()),
        *(("flapping",) if flaps is not None and flaps >= FLAPS else ()),
        *(("errors",) if ill is not None else ()),
    )
    return Port(
        node=node,
        device=clean(name[:40]),
        port=int(port) if port.isascii() and port.isdecimal() and len(port) < 4 else 1,
        link=INFINIBAND if port else ETHERNET,
        up=down is None,
        state=state_words(port, int(down)) if down is not None else None,
        speed_gbps=gbps(slow),
        usual_gbps=gbps(usual.speeds.get(device)),
        downed=None if flaps is None else int(flaps),
        errors=None if ill is None else int(ill),
        wrong=wrong,
    )


def state_words(port: str, code: int) -> str:
    """The words for the code `10 * state + physical state`."""
    if not port:
        return "no carrier"
    state, physical = STATES.get(code // 10, "unknown"), PHYSICAL_STATES.get(code % 10)
    return state if physical is None else f"{state}, {physical}"


def gbps(rate: float | None) -> float | None:
    """Bytes per second as the gigabits per second that links are named by."""
    return None if rate is None else round(rate * 8 / 1e9, 1)


def numeric_rows(rows: Iterable[Row], name: str) -> list[tuple[Mapping[str, str], float]]:
    """Labels and value of the rows with a valid value in bounds."""
    found: list[tuple[Mapping[str, str], float]] = []
    for row in rows:
        value = number(row.value[1], name) if row.value is not None else None
        if value is not None:
            found.append((row.metric, value))
    return found


def check_age(at: float | None, client: PrometheusClient, stale_s: float, what: str) -> None:
    """Raises SourceFault for a sample that is too old to be current; `at` is the server's time."""
    age = 0.0 if at is None else client.server_now() - at
    if age > stale_s:
        raise SourceFault("empty", f"the newest sample {what} is {age:.0f} s old", "is node_exporter scraped?")
