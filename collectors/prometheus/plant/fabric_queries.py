"""The queries of the fabric: ports of adapters as node_exporter gives them, summed up by device on the server.

`node_infiniband_*` covers every RDMA adapter (InfiniBand and RoCE), `node_network_*` Ethernet, whose ports have no
label `port`. A cluster of 12,000 nodes has 108,000 ports: answers about all of them are rows by device, single ports
are returned only if they are unhealthy, `$most` of them at most.
"""

from __future__ import annotations

from collectors.prometheus.query import Query

from . import PlantSource

STATE, PHYSICAL = "node_infiniband_state_id", "node_infiniband_physical_state_id"
RATE, DOWNED = "node_infiniband_rate_bytes_per_second", "node_infiniband_link_downed_total"
UP, SPEED, CARRIER = "node_network_up", "node_network_speed_bytes", "node_network_carrier_changes_total"
#: Errors of the link itself; they are added up.
ERRORS = tuple(f"node_infiniband_{name}_total" for name in (
    "symbol_error", "local_link_integrity_errors", "port_errors_received",
))  # fmt: skip

_ETH = 'device=~"$ethernet"'
_CABLED = 'device!~"$uncabled"'
_ALL = f"count by (device, port) (<{STATE}>) or count by (device, port) (<{UP} {_ETH}>)"
_ACTIVE = f"count by (device, port) (<{STATE}> == 4) or count by (device, port) (<{UP} {_ETH}> == 1)"
_RUNS = f"(<{RATE}> and (<{STATE}> == 4)) or ((<{SPEED} {_ETH}> > 0) and (<{UP} {_ETH}> == 1))"
_SLOW = 'device=~"$devices"'
_DOWNED = f"<{DOWNED}> - <{DOWNED}> offset $window"
# A link that goes down and comes back changes its carrier twice.
_CARRIER = f"(<{CARRIER} {_ETH}> - <{CARRIER} {_ETH}> offset $window) / 2"
_ERRORS = f'sum by ($exported, device, port) ({{__name__=~"{"|".join(ERRORS)}",$only}}'
_PORT = ("node", "device", "port")
_HOST = "node_labels"

#: Placeholder values for the documentation, before anything is known of a site.
WORDS = {"uncabled": "", "devices": ".+", "usual": "0", "least": "2", "ill": "1000"}

SOURCE = PlantSource(name="prom.fabric", subject="the fabric's ports", reader="fabric:FabricReader")
QUERIES: tuple[Query, ...] = (
    Query(
        name="ports", unit="ports", by=("device", "port", "what"), series=(STATE, UP),
        about="the ports of each device name: all, and those whose link is up",
        expr=f'label_replace({_ALL}, "what", "all", "", "") or label_replace({_ACTIVE}, "what", "up", "", "")',
    ),
    Query(
        name="ports_of_day", unit="ports", by=("device", "port"), series=(STATE, UP), asked="each hour",
        about="the most ports of a device name that were up at an hour of the last day: a device that is down nearly "
              "everywhere, and was all day, has no cable",
        expr=f"max_over_time(({_ACTIVE})[1d:1h])",
    ),
    Query(
        name="port_speeds", unit="ports", by=("device", "port", "rate"), series=(RATE, SPEED),
        about="how many ports of each device name run at which speed (bytes a second): what is usual",
        expr=f'count_values by (device, port) ("rate", {_RUNS})',
    ),
    Query(
        name="ports_down", by=_PORT, series=(STATE, PHYSICAL, UP), host=_HOST,
        about="ports whose link is not up, of the devices that have a cable somewhere: ten times the state and the "
              "physical state (12 is Down and Polling), 0 for Ethernet",
        expr=f"topk($most, (10 * (<{STATE} {_CABLED}> != 4) + <{PHYSICAL}>) or (<{UP} {_ETH},{_CABLED}> == 0))",
    ),
    Query(
        name="ports_slow", unit="bytes/s", by=_PORT, series=(RATE, SPEED), host=_HOST,
        asked="each reading, for each usual speed",
        about="ports that run slower than is usual for their device name",
        expr=f"topk($most, (<{RATE} {_SLOW}> < $usual and (<{STATE}> == 4))"
             f" or (0 < <{SPEED} {_ETH},{_SLOW}> < $usual and (<{UP}> == 1)))",
    ),
    Query(
        name="ports_flapping", unit="times", by=_PORT, series=(DOWNED, CARRIER), host=_HOST,
        about="how often links went down within `flaps_s` (an hour), where it was twice or more; two looks at the "
              "counters cost a thirtieth of increase()",
        expr=f"topk($most, ({_DOWNED} or {_CARRIER}) >= $least)",
    ),
    Query(
        name="ports_ill", unit="errors", by=_PORT, series=ERRORS, host=_HOST,
        about="symbol, integrity and receive errors of ports within `flaps_s`, where there were many",
        expr=f"topk($most, ({_ERRORS}) - {_ERRORS} offset $window)) >= $ill)",
    ),
    Query(
        name="fabric_sampled", unit="s", by=(), series=(STATE, UP),
        about="when the newest sample of a port was taken",
        expr=f"max(timestamp(<{STATE}>) or timestamp(<{UP} {_ETH}>))",
    ),
    Query(
        name="switch_ports", unit="ports", by=("switch_label",), series=("fabric.links",), low=1.0,
        about="the ports behind each switch, where a series of the site (UFM's, a file of its own) names them",
        expr="count by ($switch) ($links)", asked="each reading, with fabric.links",
    ),
    Query(
        name="switch_of", by=("node_label", "device_label", "switch_label", "port_label"), series=("fabric.links",),
        about="which switch the ports of some nodes lead to", asked="for nodes with ports that are not well",
        expr="max by ($link_node, $link_device, $switch, $switch_port) ($links)",
    ),
    Query(
        name="node_ports", low=-1.0, by=("node", "device", "port", "__name__"), host=_HOST,
        series=(STATE, PHYSICAL, RATE, UP, SPEED), asked="for the node on the screen",
        about="every port of some nodes: state and speed",
        expr="max by ($exported, device, port, __name__) "
             f'({{__name__=~"{STATE}|{PHYSICAL}|{RATE}|{UP}|{SPEED}",$only}})',
    ),
    Query(
        name="node_flaps", unit="times", by=_PORT, series=(DOWNED, CARRIER), host=_HOST,
        asked="for the node on the screen", about="how often the links of some nodes went down within `flaps_s`",
        expr=f"{_DOWNED} or {_CARRIER}",
    ),
    Query(
        name="node_errors", unit="errors", by=_PORT, series=ERRORS, host=_HOST, asked="for the node on the screen",
        about="the errors of the links of some nodes within `flaps_s`", expr=f"{_ERRORS}) - {_ERRORS} offset $window)",
    ),
    Query(
        name="node_ports_sampled", unit="s", by=("node",), series=(STATE, UP), host=_HOST,
        asked="for the node on the screen", about="when the ports of some nodes were sampled",
        expr=f"timestamp(<{STATE}>) or timestamp(<{UP}>)",
    ),
)  # fmt: skip
