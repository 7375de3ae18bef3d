"""Free GPUs: hosts as bits of large integers, so that first fit over 12,000 nodes costs a microsecond."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collectors.sim.host import Host
from collectors.sim.plant.site_layout import SimSite, span


class GpuPool:
    """Allocates GPUs to jobs and releases them; tracks the hosts whose rows are out of date."""

    def __init__(self, site: SimSite) -> None:
        self.site = site
        self.stale_rows: set[int] = set(range(len(site.hosts)))
        """Hosts whose Node row is out of date."""
        self.stale_loads: set[int] = set(range(len(site.hosts)))
        """Hosts whose Load row is out of date."""
        self.on_change: Callable[[Host], None] = lambda host: None
        """Called for every host that changed."""
        # free[k] has the bit of every host with at least k free GPUs.
        self._free = [span(0, len(site.hosts))] * (site.gpus + 1) + [0]
        for host in site.hosts:
            host.offered = site.gpus

    def mark_changed(self, host: Host) -> None:
        """Mark the rows of a host as out of date."""
        self.stale_rows.add(host.index)
        self.stale_loads.add(host.index)
        self.on_change(host)

    def refresh(self, host: Host) -> None:
        """Update the free GPUs that the scheduler sees: none if the host is out of service."""
        new, old = (host.free.bit_count() if host.usable else 0), host.offered
        if new != old:
            bit = 1 << host.index
            for k in range(min(new, old) + 1, max(new, old) + 1):
                self._free[k] ^= bit
            host.offered = new
        self.mark_changed(host)

    def find(self, count: int, gpus: int, mask: int) -> list[int] | None:
        """`count` hosts of `mask` with `gpus` free GPUs each: the lowest indices; for part of a host the fullest
        that fits."""
        fits = self._free[gpus] & mask
        if not fits or (count > 1 and fits.bit_count() < count):
            return None
        if count == 1:
            for k in range(gpus, self.site.gpus + 1):
                exactly = fits & ~self._free[k + 1]
                if exactly:
                    return [(exactly & -exactly).bit_length() - 1]
        chosen = []
        for _ in range(count):
            low = fits & -fits
            chosen.append(low.bit_length() - 1)
            fits ^= low
        return chosen

    def allocate(self, job: str, indices: Sequence[int], gpus: int, until: float) -> None:
        """Allocate `gpus` GPUs of each host to the job, the lowest free ones; `until` is the end of its time limit."""
        whole = gpus == self.site.gpus
        taken = 0
        for index in indices:
            host = self.site.hosts[index]
            if whole:
                held, taken = host.free, taken | 1 << index
                host.free = host.offered = 0
                self.mark_changed(host)
            else:
                held = _lowest(host.free, gpus)
                host.free ^= held
                self.refresh(host)
            host.jobs[job] = held
            host.free_at = max(host.free_at, until)
        if taken:
            for k in range(1, self.site.gpus + 1):
                self._free[k] &= ~taken

    def release(self, job: str, indices: Sequence[int], now: float) -> list[Host]:
        """Release the job's GPUs. Returns its hosts; the caller recomputes their `free_at`."""
        hosts = [self.site.hosts[index] for index in indices]
        for host in hosts:
            host.free |= host.jobs.pop(job)
            host.busy_at = int(now)
            self.refresh(host)
        return hosts


def _lowest(bits: int, count: int) -> int:
    """The lowest `count` bits of `bits`."""
    found = 0
    for _ in range(count):
        low = bits & -bits
        found |= low
        bits ^= low
    return found
