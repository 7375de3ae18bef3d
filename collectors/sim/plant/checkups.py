"""Results of the health checks of the nodes, as facts and as node_exporter and ipmi_exporter would serve them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from collectors.model import Checkup, Facts
from collectors.sim.host import Host

from .hardware import serial, versions_of
from .site_layout import DAY, SimSite

#: Node Health Check runs every 300 s, `dcgmi diag` every two weeks, at level 3.
NHC_S, DIAG_S, LEVEL = 300, 14 * DAY, 3
_NHC = "NHC: "


class Checks:
    """The checks of all nodes. Rows are made on demand and stay the same objects until a check runs again."""

    def __init__(self, site: SimSite) -> None:
        self._site = site
        self._rows: dict[str, Checkup] = {}

    def rows(self, now: float) -> dict[str, Checkup]:
        """One row for each node that answers."""
        found = {}
        for host in self._site.hosts:
            if host.silent:
                continue
            result, at, ran = failing_check(host) or "ok", nhc_at(host, now), diag_at(host, now)
            row = self._rows.get(host.name)
            if row is None or (row.nhc, row.nhc_at, row.diag_at) != (result, at, ran):
                row = Checkup(
                    node=host.name,
                    nhc=result,
                    nhc_at=at,
                    diag=f"r{LEVEL} pass",
                    diag_at=ran,
                    health="ok",
                    serial=serial(host.name),
                    versions=versions_of(host.name),
                )
            found[host.name] = row
        self._rows = found
        return dict(found)


def failing_check(host: Host) -> str | None:
    """The check that Node Health Check reports as failed; None if all pass."""
    failure = host.failure
    if failure is None or not failure.reason.startswith(_NHC):
        return None
    return failure.reason.removeprefix(_NHC).partition(" ")[0]


def nhc_at(host: Host, now: float) -> int:
    """Unix time of its last run on the node."""
    return int(now) - (int(now) + _draw(host)) % NHC_S


def diag_at(host: Host, now: float) -> int:
    """Unix time of the last diagnosis of the node."""
    return int(now) - (int(now) + 7919 * _draw(host)) % DIAG_S


def _draw(host: Host) -> int:
    return zlib.crc32(host.name.encode())


def text(hosts: Iterable[Host], one: bool, port: int, now: float) -> str:
    """The exposition of these hosts; with `one` as the node's own exporter, without `instance`. Hosts that do not
    answer are left out."""
    found: dict[str, list[str]] = {}

    def add(name: str, labels: Mapping[str, str], value: float) -> None:
        label_text = ",".join(f'{key}="{text}"' for key, text in labels.items())
        found.setdefault(name, []).append(
            f"{name}{{{label_text}}} {value:.10g}" if label_text else f"{name} {value:.10g}"
        )

    for host in hosts:
        if host.silent:
            continue
        where = {} if one else {"instance": f"{host.name}:{port}"}
        runs, check = versions_of(host.name), failing_check(host)
        add("node_uname_info", where | {"nodename": host.name, "release": runs["kernel"], "sysname": "Linux"}, 1)
        dmi = {"bios_version": runs["bios"], "product_serial": serial(host.name)}
        dmi["product_name"] = host.hardware.product
        add("node_dmi_info", where | dmi, 1)
        add("ipmi_bmc_info", where | {"firmware_revision": runs["bmc"], "manufacturer_id": "Example (0)"}, 1)
        for name in ("check_gpu", "check_ib", "check_nvlink", "check_fs_mount"):
            add("nhc_status", where | {"check": name}, float(name != check))
        add("nhc_last_run_timestamp_seconds", where, nhc_at(host, now))
        for test in ("memory", "pcie", "targeted_power"):
            add("dcgmi_diag_result", where | {"level": str(LEVEL), "test": test}, 1)
        add("dcgmi_diag_last_run_timestamp_seconds", where | {"level": str(LEVEL)}, diag_at(host, now))
    lines = [line for name, samples in found.items() for line in (f"# TYPE {name} gauge", *samples)]
    return "\n".join(lines) + "\n" if lines else ""


def _facts(machine: Any) -> Facts:
    with machine.locked():
        return Facts(checkups=machine.checks.rows(machine.now))


SOURCE = "prom.checkups", 60.0, _facts
