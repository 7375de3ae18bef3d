"""Whatever happens between the console and a real Prometheus, Alertmanager or slurmrestd: old facts stay and are told
as old, nothing is ever shown as nought, and what has been mended is read again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_sources as open_alerts
from collectors.clock import ManualClock
from collectors.model import Collector, Totals
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.sources import open_sources as open_prometheus
from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from collectors.slurm.sources import open_sources as open_slurm
from console.health.inconsistencies import inconsistencies
from tests.faults import fault
from tests.faults.proxy import Proxy
from tests.faults.watch import NEVER_S, Watch, memory_mb
from tests.support import make

from . import rest
from .alertmanager import Alertmanager
from .prometheus import Monitor
from .running import running
from .slurm import Lab

#: Source to the kind of facts that it brings.
SOURCES = {"prom.loads": "loads", "alerts.alerts": "alerts", "slurm.nodes": "nodes", "slurm.jobs": "jobs"}
Behind = tuple[Proxy, Callable[..., Collector]]


@pytest.fixture(scope="module")
def restd() -> Iterator[Lab]:
    """A Slurm with slurmrestd and a few jobs."""
    for lab in running("forky", nodes=4, restd=True):
        lab.submit(3, user="alice", hold=True)
        yield lab


@pytest.fixture(params=SOURCES)
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    """A proxy before the real server, and what opens the source behind it."""
    name: str = request.param
    if name == "prom.loads":
        monitor: Monitor = request.getfixturevalue("prometheus_3")
        upstream = monitor.url
    elif name == "alerts.alerts":
        alertmanager: Alertmanager = request.getfixturevalue("alertmanager_forky")
        alertmanager.fire({"alertname": "NodeDown", "node": "gpu0001"})
        upstream = alertmanager.url
    else:
        lab: Lab = request.getfixturevalue("restd")
        upstream = rest.url(lab)
        token = tmp_path / "token"
        token.touch(mode=0o600)
        token.write_text(rest.token(lab))
    with Proxy(upstream) as proxy:

        def opened(timeout_s: float = 10, interval_s: float = NEVER_S) -> Collector:
            web = {"url": proxy.url, "timeout_s": timeout_s, "interval_s": interval_s}
            if name == "prom.loads":
                every = open_prometheus("lab", PrometheusSettings(**web))
            elif name == "alerts.alerts":
                every = open_alerts("lab", AlertmanagerSettings(**web))
            else:
                every = open_slurm("lab", SlurmSettings(
                    transport="rest", url=proxy.url, token_file=str(token), deadline_s=timeout_s, interval_s=interval_s,
                    share=False,
                ))  # fmt: skip
            return next(one for one in every if one.name == name)

        yield proxy, opened
    RestServer.forget()


@pytest.mark.parametrize(
    ("spoilt", "kinds", "says"),
    [
        pytest.param("hang after accept", {"timeout"}, "did not answer", marks=fault(
            "HTTP sources", "hang after accept",
            "a fault within the deadline; old facts stay, as old as they are; mended, it is read again")),
        pytest.param("connection refused", {"refused"}, "refuses the connection", marks=fault(
            "HTTP sources", "connection refused", "a fault at once; old facts stay")),
        pytest.param("1 byte a second", {"timeout"}, "did not answer", marks=fault(
            "HTTP sources", "1 byte a second", "a fault within the deadline, which is for the whole answer")),
        pytest.param("cut in the middle", {"cut"}, "cut|hung up", marks=fault(
            "HTTP sources", "connection cut within an answer", "a fault, never the half that came")),
        pytest.param("truncated JSON", {"malformed"}, "truncated|JSON is malformed", marks=fault(
            "HTTP sources", "truncated JSON", "a fault, never the half that came")),
        pytest.param("500 MB reply", {"malformed", "empty"}, "gave", marks=fault(
            "HTTP sources", "500 MB reply", "a fault, and memory has a bound")),
        pytest.param("429", {"backoff"}, "answered 429.*30 s", marks=fault(
            "HTTP sources", "429", "back-off: it is left alone for as long as it asks")),
        pytest.param("503 with Retry-After", {"backoff"}, "answered 503.*30 s", marks=fault(
            "HTTP sources", "503 with Retry-After", "back-off: it is left alone for as long as it asks")),
        pytest.param("empty answer", {"malformed", "empty"}, "none of|nothing at all", marks=fault(
            "HTTP sources", "200 with nothing in it", "a fault, never an empty machine, never no alerts")),
        pytest.param("errors[] with 200", {"refused", "malformed", "empty"}, "spoil", marks=fault(
            "HTTP sources", "an error inside a 200", "a fault with the server's words", case="errors[] with rc 0")),
        pytest.param("fields missing", {"malformed", "empty"}, "missing|left out", marks=fault(
            "HTTP sources", "fields missing", "where no row can be read that is a fault, never no rows")),
        pytest.param("fields null", {"malformed"}, "got `null`", marks=fault(
            "HTTP sources", "fields null", "where no row can be read that is a fault, never no rows")),
        pytest.param("fields of the other type", {"malformed"}, "Expected `", marks=fault(
            "HTTP sources", "fields of the other type", "where no row can be read that is a fault, never no rows")),
        pytest.param("redirect to http", {"refused"}, "http://evil.example/: not followed", marks=fault(
            "network", "redirect to http", "a fault that names the place; nothing is sent there")),
    ],
)  # fmt: skip
def test_a_spoilt_answer_costs_no_fact(behind: Behind, spoilt: str, kinds: set[str], says: str) -> None:
    proxy, opened = behind
    with Watch(opened(0.5 if kinds == {"timeout"} else 10), ManualClock()) as watch:
        good = watch.well()
        facts = getattr(good, SOURCES[watch.name])
        assert facts
        watch.clock.advance(60)
        began, before = time.monotonic(), memory_mb(anew=True)
        proxy.spoils(spoilt)
        bad, source = watch.again(), watch.source
        assert time.monotonic() - began < 60 and memory_mb() - before < 250
        assert getattr(bad, SOURCES[watch.name]) is facts and bad.totals == good.totals, "the old facts stay"
        assert (source.ok, source.failures, source.age_s(watch.clock.mono())) == (False, 1, 60), "and grow old"
        assert source.fault is not None and source.fault.kind in kinds and str(source.fault).isprintable()
        assert re.search(says, str(source.fault)), source.fault
        if kinds == {"backoff"}:
            assert source.fault.rest_s == 30
        proxy.heals()
        mended = watch.well()
        assert watch.source.failures == 0
        assert getattr(mended, SOURCES[watch.name]).keys() == facts.keys()


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param("connection refused", marks=fault(
            "HTTP sources", "nobody there from the start", "unknown: no sum is 0, nothing is known to be empty",
            case="Alertmanager down")),
        pytest.param("empty answer", marks=fault(
            "HTTP sources", "nothing in any answer from the start",
            "unknown: no sum is 0, nothing is known to be empty")),
        pytest.param("fields missing", marks=fault(
            "HTTP sources", "fields missing in every row from the start",
            "unknown: no sum is 0, nothing is known to be empty")),
    ],
)  # fmt: skip
def test_what_was_never_read_is_unknown(behind: Behind, spoilt: str) -> None:
    proxy, opened = behind
    proxy.spoils(spoilt)
    with Watch(opened()) as watch:
        assert not watch.source.ok and watch.source.read_mono is None
        assert watch.cluster.known == frozenset() and watch.cluster.totals == Totals()
        proxy.heals()
        assert getattr(watch.well(), SOURCES[watch.name])


@fault("HTTP sources", "slower than the interval", "one call in flight, however often it is asked for; it waits longer")
def test_a_slow_server_is_asked_once_at_a_time(behind: Behind) -> None:
    proxy, opened = behind
    with Watch(opened(timeout_s=20, interval_s=1)) as watch:
        proxy.spoils("slower than the interval")
        watch.poller.refresh_now()
        until = time.monotonic() + 10
        while not proxy.at_once and time.monotonic() < until:
            watch.poller.refresh_now()
        watch.reads()
        took = watch.source.took_s
        assert watch.source.ok and took is not None and took >= 0.2 and watch.source.due_s >= 10 * took
        assert proxy.most_at_once == 1


@fault(
    "Prometheus",
    "samples 10 minutes old",
    "gaps with their age, in no sum; no exporter and no job is accused",
)
def test_old_samples_are_gaps(prometheus_3: Monitor) -> None:
    with Proxy(prometheus_3.url) as proxy:
        loads = open_prometheus("lab", PrometheusSettings(url=proxy.url, interval_s=NEVER_S))[0]
        with Watch(loads) as watch:
            known = [load for load in watch.cluster.loads.values() if load.gpu_util_pct is not None]
            assert known and watch.cluster.totals.gpu_util_pct is not None
            proxy.spoils("samples 10 minutes old")
            cluster = watch.again()
            assert {load.gpu_util_pct for load in cluster.loads.values()} == {None}
            assert {load.temp_c for load in cluster.loads.values()} == {None}
            assert cluster.totals.gpu_util_pct is None and cluster.totals.gpus_idle_in_jobs is None
            assert any("samples older than" in said for said in watch.source.warnings), watch.source.warnings
            nodes = {name: make.node(name, "ALLOCATED", gpus_alloc=8) for name in cluster.loads}
            seen = msgspec.structs.replace(cluster, nodes=nodes, known=cluster.known | {"nodes"})
            told = {one.kind for one in inconsistencies(seen, watch.clock.now(), mono=watch.clock.mono())}
            assert told <= {"xid"}, "neither exporters nor jobs are accused, where all samples are old"
