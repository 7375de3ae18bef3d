"""The named incidents: things that go wrong while somebody watches."""

from __future__ import annotations

import random
from collections.abc import Callable

from collectors.sim import INCIDENTS
from collectors.sim.alerts import Alerts
from collectors.sim.faults import MINUTE, Faults, Kind
from collectors.sim.queue import Queue
from collectors.sim.timeline import Timeline
from collectors.sim.topology import HOUR, Host, Trouble, indices_of

#: Simulated seconds between the start and the incident.
STARTS_S = 30.0
#: Nodes on which a storm rages at most: enough to fill any screen.
STORM_NODES = 64
OFF_THE_BUS = Kind(1, "gpu", "NHC: check_gpu GPU {gpu} is off the bus", xid=79, hours=(4, 90))


class Incidents:
    """Starts one incident and keeps it going."""

    def __init__(self, rng: random.Random, queue: Queue, faults: Faults, alerts: Alerts, timeline: Timeline) -> None:
        self._rng = rng
        self._queue = queue
        self._faults = faults
        self._alerts = alerts
        self._timeline = timeline
        self._hosts = queue.site.hosts
        self.slow = False
        """True while the controller takes seconds to answer."""
        self.hit: tuple[str, ...] = ()
        """Names of the nodes in the incident."""

    def plan(self, name: str) -> None:
        """Let it begin in STARTS_S. Raises ValueError, naming the incidents there are, for one there is not."""
        begins: dict[str, Callable[[], None]] = {
            "pdu": self._pdu,
            "xid-storm": self._xid_storm,
            "lemon": self._lemon,
            "controller-slow": self._controller_slow,
            "fabric": self._fabric,
        }
        if name not in begins:
            raise ValueError(f"no incident is called {name!r}; there are: {', '.join(INCIDENTS)}")
        self._timeline.after(STARTS_S, begins[name])

    def _rack(self) -> list[Host]:
        """The hosts of a rack in the middle of the room."""
        racks = list(self._queue.site.racks.values())
        return [self._hosts[index] for index in racks[len(racks) // 2]]

    def _on(self, hosts: list[Host]) -> list[Host]:
        self.hit = tuple(host.name for host in hosts)
        return hosts

    # -- pdu ---------------------------------------------------------------------------------------------------------

    def _pdu(self) -> None:
        """One of the two power units of a rack dies, and slurmctld notices node after node."""
        rack = self._rack()
        pdu = rack[-1].pdu
        hosts = self._on([host for host in rack if host.pdu == pdu])
        alert = self._alerts.raise_(
            "PduPowerLost",
            "critical",
            f"{pdu} lost its input: {len(hosts)} nodes without power",
            self._timeline.now,
            {"rack": rack[0].rack, "pdu": pdu},
        )
        self._timeline.after(5 * HOUR, self._alerts.drop, alert)
        for host in hosts:
            host.mute = True
            self._queue.pool.touch(host)
            self._timeline.after(self._rng.uniform(2, 20), self._lose_power, host)

    def _lose_power(self, host: Host) -> None:
        host.trouble, host.mute = None, False
        trouble = Trouble("power", "Not responding", "slurm", True, self._timeline.now + self._rng.uniform(3, 5) * HOUR)
        self._faults.hit(host, trouble)

    # -- xid-storm ---------------------------------------------------------------------------------------------------

    def _xid_storm(self) -> None:
        """A user's code faults on all its nodes, over and over; between the noise one GPU is truly lost."""
        runs = self._queue.runs
        if not runs:
            return
        # The job with the most nodes, and of these the lowest id: a choice that must repeat takes no order by chance.
        largest = min(runs, key=lambda job: (-len(runs[job].hosts), job))
        user, indices = self._queue.jobs[largest].user, set(runs[largest].hosts)
        if len(indices) < 4:
            indices.update(*(run.hosts for job, run in runs.items() if self._queue.jobs[job].user == user))
        hosts = self._on([self._hosts[index] for index in sorted(indices)[:STORM_NODES]])
        for round_ in range(12):
            for host in hosts:
                at = round_ * 15 + self._rng.uniform(0, 15)
                self._timeline.after(at, self._noise, host, user, self._rng.choice((31, 31, 31, 43, 43, 94)))
        self._timeline.after(170, self._faults.strike, self._rng.choice(hosts), OFF_THE_BUS)

    def _noise(self, host: Host, user: str, code: int) -> None:
        """One XID on a GPU that the user's job holds."""
        held = 0
        for job, gpus in host.jobs.items():
            held |= gpus if self._queue.jobs[job].user == user else 0
        if held:
            self._faults.xid(host, code, self._rng.choice(indices_of(held)))

    # -- lemon -------------------------------------------------------------------------------------------------------

    def _lemon(self) -> None:
        """One node that everybody trusts too often."""
        well = [host for host in self._hosts if host.usable and host.jobs] or self._hosts
        host = self._on([well[len(well) // 2]])[0]
        self._fail_again(host)

    def _fail_again(self, host: Host) -> None:
        """Every few minutes: an error, a drain, a reboot, and back among the good ones."""
        rng = self._rng
        self._timeline.after(rng.uniform(150, 240), self._fail_again, host)
        if host.trouble is not None or not host.usable:
            return
        gpu = 5 % self._queue.site.gpus
        code = rng.choice((119, 94, 63, 119))
        self._faults.xid(host, code, gpu)
        self._faults.fail_jobs(host)
        mends = self._timeline.now + rng.uniform(60, 100)
        self._faults.hit(host, Trouble("lemon", f"NHC: check_gpu GPU {gpu} XID {code}", "root", False, mends))

    # -- controller-slow -----------------------------------------------------------------------------------------------

    def _controller_slow(self) -> None:
        """Somebody's loop around squeue; the readings tell."""
        self.slow = True
        self._alerts.raise_(
            "SlurmctldSlow",
            "warning",
            "slurmctld answers in more than 3 s, 256 server threads",
            self._timeline.now,
            {"service": "slurmctld"},
        )

    # -- fabric --------------------------------------------------------------------------------------------------------

    def _fabric(self) -> None:
        """A leaf switch loses its links one by one: jobs across it fail, the health check drains node after node."""
        hosts = self._on(self._rack())
        alert = self._alerts.raise_(
            "IbSwitchUnhealthy",
            "critical",
            f"{hosts[0].switch} loses links: {len(hosts)} nodes behind it",
            self._timeline.now,
            {"rack": hosts[0].rack, "switch": hosts[0].switch},
        )
        self._timeline.after(5 * HOUR, self._alerts.drop, alert)
        for host in hosts:
            self._timeline.after(self._rng.uniform(5, 75), self._lose_link, host)

    def _lose_link(self, host: Host) -> None:
        gpu = self._rng.randrange(self._queue.site.gpus)
        if self._rng.random() < 0.5:
            self._faults.xid(host, 74, gpu)
        for job in [job for job in host.jobs if len(self._queue.runs[job].hosts) > 1]:
            self._queue.end(job, "FAILED")
        mends = self._timeline.now + self._rng.uniform(90, 240) * MINUTE
        trouble = Trouble("network", f"NHC: check_ib mlx5_{gpu} link down", "root", False, mends)
        self._timeline.after(self._rng.uniform(3, 20), self._faults.hit, host, trouble)
