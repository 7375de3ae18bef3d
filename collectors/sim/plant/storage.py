"""Shared file systems: a Lustre scratch file system, and home directories over NFS."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from collectors.model import Facts, FileSystem
from collectors.sim.host import Host
from collectors.sim.timeline import Timeline

from .site_layout import HOUR, SimSite

SCRATCH, HOME = "/scratch", "/home"
TB = 10**12
LUSTRE_FS = "fs1"


class SimFileSystem(Struct):
    """One file system."""

    name: str
    kind: str
    device: str
    size_tb: float
    used_pct: float
    targets: int | None = None
    lost: int = 0
    """Number of targets (OSTs) that do not answer."""
    hung: set[int] = field(default_factory=set)
    """Indices of the hosts on which it hangs."""
    missing: dict[int, int] = field(default_factory=dict)
    """Index of a host that has not mounted it to its boot time: the next boot mounts it again."""


class Storage:
    """The two shared file systems."""

    def __init__(self, rng: random.Random, site: SimSite, timeline: Timeline) -> None:
        self._site = site
        self._timeline = timeline
        size = max(200.0, len(site.hosts) * 1.2)
        device = f"10.9.0.1@o2ib:10.9.0.2@o2ib:/{LUSTRE_FS}"
        self.file_systems = {
            SCRATCH: SimFileSystem(SCRATCH, "lustre", device, size, 71.4, targets=max(4, len(site.hosts) // 8)),
            HOME: SimFileSystem(HOME, "nfs4", "nas1:/export/home", 60.0, 48.2),
        }
        self._rng = rng

    def seed(self) -> None:
        """Add an old fault: one drained node missed the home mount at its last boot."""
        drained = [host for host in self._site.hosts if host.drain and not host.silent and not host.invalid]
        if drained:
            host = self._rng.choice(drained)
            self.file_systems[HOME].missing[host.index] = host.boot_at

    def _not_mounted(self, store: SimFileSystem, host: Host) -> bool:
        return store.missing.get(host.index) == host.boot_at

    def hang(self, hosts: list[Host], lost: int) -> None:
        """Lose `lost` Lustre targets; the file system hangs on these hosts."""
        self.file_systems[SCRATCH].hung.update(host.index for host in hosts)
        self.file_systems[SCRATCH].lost = lost

    def repair(self) -> None:
        """Restore all targets and hosts."""
        self.file_systems[SCRATCH].hung.clear()
        self.file_systems[SCRATCH].lost = 0

    def used_pct(self, store: SimFileSystem) -> float:
        """Used space in %, which grows over the day."""
        return round(store.used_pct + self._timeline.now % (24 * HOUR) / (24 * HOUR) * 0.8, 1)

    def mounts(self, host: Host) -> dict[str, bool]:
        """Mount point to whether it answers; empty if the node does not answer."""
        if host.silent:
            return {}
        stores = self.file_systems.values()
        return {one.name: host.index not in one.hung for one in stores if not self._not_mounted(one, host)}

    def rows(self) -> dict[str, FileSystem]:
        """One row for each file system, over the nodes that answer."""
        hosts = self._site.hosts
        answering = sum(not host.silent for host in hosts)

        def names(indices: Iterable[int]) -> tuple[str, ...]:
            return tuple(hosts[index].name for index in sorted(indices) if not hosts[index].silent)

        found = {}
        for one in self.file_systems.values():
            missing = names(index for index in one.missing if self._not_mounted(one, hosts[index]))
            wrong = (f"{one.lost} of {one.targets} targets do not answer",) if one.lost else ()
            found[one.name] = FileSystem(
                name=one.name,
                kind=one.kind,
                device=one.device,
                used_pct=self.used_pct(one),
                size_tb=one.size_tb,
                targets=one.targets,
                targets_up=None if one.targets is None else one.targets - one.lost,
                mounted=answering - len(missing),
                hung=names(one.hung),
                missing=missing,
                wrong=wrong,
            )
        return found


def _facts(machine: Any) -> Facts:
    with machine.locked():
        return Facts(storage=machine.storage.rows())


SOURCE = "prom.storage", 30.0, _facts
