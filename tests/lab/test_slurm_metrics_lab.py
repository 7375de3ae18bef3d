"""slurmctld's own counts, through a real server that scrapes a real Slurm: those that the commands give, and once."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from collectors.model import SlurmCounts, SourceFault
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.sources import Counts
from collectors.slurm import SlurmSettings
from console.session.cluster_sources import ClusterSources
from tests.support.operator import console_on

from .place import wait_for
from .prometheus import Monitor
from .running import require_engine, running
from .slurm import Lab

#: Who is no operator sees no job of others; without the second line slurmctld would then ask who scrapes it.
CONF = """\
MetricsType=metrics/openmetrics
MetricsParameters=ignore_private_data
PrivateData=jobs
"""


@pytest.fixture(scope="module")
def metered() -> Iterator[Lab]:
    """Slurm 26.05 that serves its metrics, with nodes and jobs in many states, at rest."""
    for lab in running("forky", nodes=16, extra=CONF):
        works = lab.submit(3, user="alice", gpus=4) + lab.submit(user="bob", nodes=2)
        lab.wait_jobs("RUNNING", works)
        lab.submit(user="carol", array="0-99", hold=True)
        lab.submit(2, user="carol", hold=True)
        busy = lab.check(["squeue", "-h", "-j", works[0], "-o", "%N"]).strip()
        lab.check(["scontrol", "update", f"NodeName={busy},gpu0012,gpu0013", "State=DRAIN", "Reason=test"])
        lab.check(["scontrol", "update", "NodeName=gpu0014", "State=DOWN", "Reason=test"])
        yield lab


def by_commands(lab: Lab) -> SlurmCounts:
    """The same figures from squeue and scontrol."""
    jobs = Counter(lab.check(["squeue", "-hr", "-o", "%T"]).split())
    nodes = [state.split("+") for state in lab.node_states().values()]
    base = Counter(one[0].lower() for one in nodes)
    drain = [one[0] in {"ALLOCATED", "MIXED"} for one in nodes if "DRAIN" in one]
    used = re.findall(r"GresUsed=gpu:h100:(\d+)", lab.check(["scontrol", "show", "node", "-d"]))
    by_state = {"alloc": base["allocated"]} | {word: base[word] for word in ("mixed", "idle", "down", "future")}
    return SlurmCounts(
        nodes=len(nodes),
        nodes_by_state=by_state | {"unknown": 0, "drained": drain.count(False), "draining": drain.count(True)},
        gpus_alloc=sum(map(int, used)),
        jobs_by_state={"running": jobs["RUNNING"], "pending": jobs["PENDING"], "suspended": 0, "completing": 0},
    )


@pytest.mark.lab
@pytest.mark.parametrize("engine", ["prometheus-2", "prometheus-3", "victoria"])
def test_the_counts_are_those_of_the_commands_and_once(metered: Lab, engine: str) -> None:
    require_engine(engine)
    port = metered.state.port
    truth = by_commands(metered)
    assert truth.nodes_by_state["draining"] == 1 and truth.nodes_by_state["drained"] == 2
    assert truth.jobs_by_state["pending"] == 102 and truth.gpus_alloc == 28
    # One controller under two names, as in a pair of which the standby sends the scrape to the other.
    with Monitor(engine, nodes=1, slurmctld=[f"127.0.0.1:{port}", f"localhost:{port}"]) as monitor:
        monitor.wait_for_samples('{__name__=~"slurm_(nodes|jobs)"}', 4)
        source = Counts(PrometheusSettings(url=monitor.url, slurm_metrics=True))

        def missing() -> str:
            monitor._flush()
            seen = source.collect().counts
            assert seen and seen.nodes_at and seen.jobs_at and 0 <= time.time() - min(seen.nodes_at, seen.jobs_at) < 10
            seen = replace(seen, nodes_at=None, jobs_at=None)
            return "" if seen == truth else f"{seen}, not {truth}"

        wait_for(missing, 60)
        assert source.collect().warnings == ()
        source.close()


@pytest.mark.lab
async def test_the_overview_says_what_is_hidden_and_what_cannot_be_read(metered: Lab, tmp_path, monkeypatch) -> None:
    require_engine("prometheus-3")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    commands = metered.bin_dir_as("alice")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    with Monitor("prometheus-3", nodes=1, slurmctld=[f"127.0.0.1:{metered.state.port}"]) as monitor:
        monitor.wait_for_samples('{__name__=~"slurm_(nodes|jobs)"}', 2)
        settings = PrometheusSettings(url=monitor.url, slurm_metrics=True)
        place = ClusterSources(name="lab", demo=False, slurm=SlurmSettings(), others={"prometheus": settings})
        async with console_on(place, (180, 50)) as op:
            await op.until(lambda: op.cluster.counts, "the counts")
            assert len(op.cluster.jobs) == 3  # alice's own
            await op.comes("s ago: 4 running, 102 pending")
            op.sees(" ctld ", "Nodes 16")
            op.sees_not("16 nodes, 1 down")
            (commands / "scontrol").rename(commands / "away")
            try:
                await op.until(
                    lambda: op.app.session.poller.refresh_now() or "16 nodes, 1 down, 2 drained" in op.screen(), "nodes"
                )
                op.sees("s ago: 28 in jobs")
            finally:
                (commands / "away").rename(commands / "scontrol")
            await op.until(
                lambda: op.app.session.poller.refresh_now() or "16 nodes, 1 down" not in op.screen(),
                "all is well again",
            )


@pytest.mark.lab
def test_a_controller_that_is_gone_gives_no_counts(metered: Lab) -> None:
    require_engine("prometheus-3")
    with Monitor("prometheus-3", nodes=1, slurmctld=[f"127.0.0.1:{metered.state.port}"]) as monitor:
        monitor.wait_for_samples('{__name__=~"slurm_(nodes|jobs)"}', 2)
        source = Counts(PrometheusSettings(url=monitor.url, slurm_metrics=True))
        assert source.collect().counts
        metered.stop_controller()
        monitor.wait_for_samples('{__name__=~"slurm_(nodes|jobs)"}', 0)
        with pytest.raises(SourceFault, match="no series slurm_nodes or slurm_jobs"):
            source.collect()
        source.close()
        metered.start_controller()
