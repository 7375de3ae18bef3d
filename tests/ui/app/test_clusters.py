"""Several clusters in one console: each has all of its own, an alert elsewhere rings, and what is closed is gone."""

from __future__ import annotations

import gc
import re
import threading
import weakref

import pytest
from msgspec.structs import replace

from collectors import process
from collectors.clock import ManualClock
from collectors.model import Alert, Cluster, Facts, Source
from collectors.sim.machine import Machine
from collectors.slurm import SlurmSettings
from collectors.slurm.writers import open_writer
from console.app import cluster_switching
from console.app.app import WachtApp
from console.app.confirm_dialog import ConfirmDialog
from console.clusters.cluster_summary import ClusterSummary, chip_of, summarise
from console.config.commands import CommandError
from console.config.settings import Config
from console.ingest.poller import WATCHED, Poller
from console.journal.chain import read
from console.recording import replay_site as record_site
from console.runtime.memo import remembered
from console.session import cluster_sources
from tests.support import make
from tests.support.make import Commands, change_of
from tests.support.replays import Direct
from tests.support.two_clusters import A, B, consoles


@pytest.fixture(autouse=True)
def at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_switching, "OPEN_OTHERS_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def idle(machine: Machine) -> str:
    return next(name for name, node in machine.nodes().items() if node.display in {"idle", "allocated", "mixed"})


@pytest.mark.slow
async def test_each_keeps_its_screens_and_what_is_done_is_done_to_one():
    async with consoles() as op:
        await op.both()
        await op.press("2")
        await op.filter("gpu00")
        name = idle(op.machines[A])
        op.list.table.mark([name])
        mine = op.list

        await op.go(B)
        assert op.app.screen.crumb == "overview" and op.app.cluster.name == B
        await op.press("2")
        assert op.list is not mine and not op.list.table.marked and not op.list.filter_text
        there = idle(op.machines[B])
        await op.select(there)
        await op.press("d")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "a dialog")
        op.sees(f"{there} on {B}")
        with pytest.raises(CommandError, match="answer what is open first"):
            op.app.clusters.show(A)
        await op.confirm(reason="bad DIMM", answer="y")
        await op.until(lambda: "DRAIN" in op.machines[B].nodes()[there].flags, "it is drained there")
        assert "DRAIN" not in op.machines[A].nodes()[there].flags
        await op.until(lambda: any(one.startswith(f"{B}: draining: {there}") for one in op.told), "told by name")
        assert [line["cluster"] for line in read(op.app.fleet.sessions[B].journal_path)] == [B] * 3
        assert not op.app.fleet.sessions[A].journal_path.exists()

        await op.go(A)
        assert op.list is mine and op.list.filter_text == "gpu00" and op.list.table.marked == {name}
        await op.press("Z")
        await op.comes("nothing of yours to undo")
        assert op.machines[B].nodes()[there].reason == "bad DIMM"


@pytest.mark.slow
async def test_what_was_sent_comes_back_to_the_cluster_it_was_sent_to(monkeypatch):
    async with consoles() as op:
        await op.both()
        gate, may = op.app.session.gate, threading.Event()
        send = gate.send
        monkeypatch.setattr(gate, "send", lambda *given: (may.wait(60), send(*given))[1])
        await op.press("2")
        name = idle(op.machines[A])
        await op.select(name)
        await op.press("d")
        await op.confirm(reason="bad DIMM", answer="y")
        with pytest.raises(CommandError, match="is on the screen"):
            op.app.clusters.close(A)
        await op.go(B)
        with pytest.raises(CommandError, match="wait until what you sent was seen"):
            op.app.clusters.close(A)
        may.set()
        await op.until(lambda: any(one.startswith(f"{A}: draining: {name}") for one in op.told), "it is seen")
        assert not op.app.session.sent_watch.waiting and op.app.session.name == B
        assert "DRAIN" not in op.machines[B].nodes()[name].flags


@pytest.mark.slow
async def test_a_look_that_ends_on_another_cluster_asks_nothing(monkeypatch):
    async with consoles() as op:
        await op.both()
        may = threading.Event()
        here = op.app.session
        monkeypatch.setattr(here.transport, "read_jobs_on", lambda nodes: may.wait(60) and {}, raising=False)
        monkeypatch.setattr(here.telemetry, "gpus", lambda nodes: may.wait(60) and {}, raising=False)
        name = next(one for one, node in op.cluster.nodes.items() if "DRAIN" in node.flags or node.state == "DOWN")
        await op.press("2")
        await op.select(name)
        await op.press("r")
        await op.until(lambda: op.app.acting.preflight_of, "it looks first")
        await op.go(B)
        may.set()
        await op.until(lambda: any("you went on meanwhile" in one for one in op.told), "it is said")
        assert not isinstance(op.app.screen, ConfirmDialog)


@pytest.mark.slow
async def test_an_alert_elsewhere_rings_and_stands_in_the_top_line():
    async with consoles(size=(80, 24), incident="pdu") as op:
        await op.both()
        await op.until(lambda: op.app.fleet.sessions[B].ring.active is not None, "its alerts were read")
        op.app.clock.advance(60)
        op.app.fleet.sessions[B].poller.refresh_now(["alerts.alerts"])
        await op.until(lambda: any(one.startswith(f"{B}: critical: ") for one in op.told), "it rings")
        assert any(f"(:cluster {B})" in one for one in op.told)
        await op.until(lambda: f"│ {B} ✖" in op.screen().split("\n")[0], "the chip, beside one's own ages")
        # Where all do not fit those stay that are not well.
        assert re.search(r"slurm |prom |alerts ", op.screen().split("\n")[0])
        assert op.app.session.name == A


async def test_all_of_them_on_one_screen_and_enter_goes_there():
    async with consoles(size=(200, 50)) as op:
        await op.both()
        await op.press("9")
        await op.until(lambda: op.screen().count("Not responding") == 2, "what needs somebody")
        op.sees("Clusters", f"▶ {A}", B, "of 16", "of 128")
        await op.until(
            lambda: op.app.fleet.sessions[B].newest.totals.power_w is not None, "its power is read while this shows"
        )
        assert "jobs" not in op.app.fleet.sessions[B].newest.known, "and its queue is not: sdiag counts it"
        op.app.screen.table.select(B)
        await op.press("enter")
        await op.until(lambda: op.app.session.name == B, "it is shown")
        await op.press("C")
        await op.until(lambda: op.app.session.name == A and op.app.screen.crumb == "clusters", "as it was left")


@pytest.mark.slow
async def test_what_is_closed_is_given_back_and_can_be_opened_again():
    async with consoles() as op:
        await op.both()
        await op.go(B)
        await op.press("2")
        await op.go(A)
        gone = op.app.fleet.sessions[B]
        # The overview may have asked for charts: Python keeps that question until the thread is asked the next one.
        held = [weakref.ref(one) for one in (gone.poller, *gone.ahead[1:], *gone.poller._collectors.values())]
        threads = set(gone.poller._threads)
        del gone
        await op.command(f"close {B}")
        await op.until(lambda: not any(one.is_alive() for one in threads), "its threads end")
        threads.clear()
        await op.until(lambda: gc.collect() is not None and not any(one() for one in held), "its memory is given back")
        assert f"reduce {B}" not in {one.name for one in threading.enumerate()}
        assert not any(key.startswith(B) for key in op.app._installed_screens)
        op.app.clock.advance(3)
        await op.press("9")
        op.sees("closed")
        await op.go(B)
        assert op.app.fleet.sessions[B].newest.known


def held(monkeypatch, where, name):
    """What a thread calls there comes when the event is set."""
    real, may, came = getattr(where, name), threading.Event(), threading.Event()

    def later(*given, **more):
        came.set()
        assert may.wait(30)
        return real(*given, **more)

    monkeypatch.setattr(where, name, later)
    return came, may


@pytest.mark.slow
async def test_one_that_opens_while_somebody_looks_back_is_not_shown_with_the_gate_of_another(monkeypatch, tmp_path):
    async with consoles() as op:
        await op.both()
        app = op.app
        app.session.recorder = Direct(app, tmp_path / "a.wacht")
        gate, journal, poller = app.session.gate, app.session.journal_path, app.session.poller
        await op.command(f"close {B}")
        came, may = held(monkeypatch, cluster_switching, "ClusterSession")
        await op.command(f"cluster {B}")
        await op.until(came.is_set, "it opens")
        await op.press("T")
        await op.until(lambda: app.fleet.in_replay_mode, "the past")
        may.set()
        await op.until(lambda: any("press T to go back to the present" in one for one in op.told), "it is said")
        assert app.session.name == A and app.fleet.in_replay_mode
        await op.press("T")
        await op.until(lambda: not app.fleet.in_replay_mode, "the present")
        assert (app.session.name, app.session.gate, app.session.journal_path, app.session.poller) == (
            A,
            gate,
            journal,
            poller,
        )
        await op.go(B)
        assert (
            app.session.gate is not gate
            and app.session.gate.cluster_name == app.session.poller.name == B
            and app.session.journal_path != journal
        )


@pytest.mark.slow
async def test_the_past_of_one_is_not_shown_in_another(monkeypatch, tmp_path):
    async with consoles() as op:
        await op.both()
        app = op.app
        app.session.recorder = Direct(app, tmp_path / "a.wacht")
        came, may = held(monkeypatch, record_site, "replay_site")
        await op.press("T")
        await op.until(came.is_set, "the recording is opened")
        await op.go(B)
        may.set()
        await op.until(lambda: any(f"the past of {A}: you went on" in one for one in op.told), "it is said")
        assert app.session.name == app.cluster.name == app.session.poller.name == B and not app.fleet.in_replay_mode


@pytest.mark.slow
async def test_with_one_cluster_nothing_is_different():
    async with consoles(others=()) as op:
        await op.press("C")
        await op.comes("one cluster is known")
        assert op.told[-1].startswith("one cluster"), "no name before it"
        assert list(op.app.fleet.sessions) == [A] and "│" not in op.screen().split("\n")[0]
        await op.command("cluster rotterdam")
        op.sees(f"no cluster rotterdam is configured; there are: {A}")


async def test_one_that_would_ask_the_same_slurm_is_not_opened(monkeypatch):
    """Two names for one controller: what is done under one would be done to the other."""
    monkeypatch.delenv("SLURM_CONF", raising=False)
    own = [cluster_sources.ClusterSources(name=one, demo=False, slurm=SlurmSettings(), others={}) for one in ("a", "b")]
    other = cluster_sources.ClusterSources(
        name="c", demo=False, slurm=SlurmSettings(conf="/etc/slurm-c/slurm.conf"), others={}
    )
    assert own[0].reach == own[1].reach != other.reach
    app = WachtApp(own[0], Config(), ManualClock(), others=[own[1], other])
    async with app.run_test() as pilot:
        app.clusters.open_others()
        await pilot.pause()
        assert (
            list(app.fleet.unopened) == ["b"]
            and "the same Slurm as a: give it slurm = { conf" in app.fleet.unopened["b"]
        )
    app.stop_reading()


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_while_another_is_shown_only_what_rings_is_read():
    read = {kind: threading.Semaphore(0) for kind in ("nodes", "jobs", "alerts", "power")}

    class Kind:
        floor_s = 0.01

        def __init__(self, kind):
            self.name = f"x.{kind}"
            self.kind = kind

        def collect(self):
            read[self.kind].release()
            return Facts()

        def close(self):
            pass

    poller = Poller("b", [Kind(kind) for kind in read], ManualClock(), lambda *_: None)
    poller.watch(WATCHED)
    poller.start()
    try:
        assert all(read[kind].acquire(timeout=30) for kind in ("nodes", "alerts"))
        assert not read["jobs"].acquire(timeout=0.1) and not read["power"].acquire(timeout=0.01)
        poller.refresh_now(["x.jobs"])
        assert read["jobs"].acquire(timeout=30), "what was sent is looked for all the same"
        assert not read["jobs"].acquire(timeout=0.1)
        poller.watch(WATCHED | {"power"})
        assert read["power"].acquire(timeout=30)
        poller.watch(None)
        assert read["jobs"].acquire(timeout=30), "shown again, everything is read as it falls due"
    finally:
        poller.stop(alone=True)
    assert not any(thread.is_alive() for thread in poller._threads)


def alert(severity: str) -> Alert:
    return make.alert(id=severity, severity=severity)


def source(name: str, read_mono: float) -> Source:
    return Source(name=name, ok=True, tried=True, read_mono=read_mono)


def cluster(**sources: Source) -> Cluster:
    alerts = [alert(one) for one in ("critical", "warning")] if "alerts" in sources else None
    of = {f"{chip}.{'alerts' if chip == 'alerts' else 'nodes'}": one for chip, one in sources.items()}
    return replace(make.cluster(B, alerts=alerts), sources=of)


def test_what_is_unknown_or_old_elsewhere_is_never_quiet():
    fresh = source("alerts.alerts", read_mono=100.0)
    assert chip_of(summarise(cluster(alerts=fresh), 110.0, shown=False)) == (f"{B} 1 critical", "bad")
    old = summarise(cluster(alerts=fresh), 300.0, shown=False)
    assert old.critical is None and chip_of(old) == (f"{B} alerts stale 3m", "chip-stale")
    late = summarise(cluster(alerts=fresh), 150.0, shown=False)
    assert late.critical == 1, "read seldom on purpose is not old"
    none = summarise(cluster(slurm=source("slurm.nodes", read_mono=100.0)), 110.0, shown=False)
    assert none.critical is None and chip_of(none) is None
    assert chip_of(ClusterSummary(name=B)) == (f"{B} …", "chip-stale")
    assert chip_of(ClusterSummary(name=B, why="no such file")) == (f"{B} not open", "chip-stale")
    assert chip_of(ClusterSummary(name=B, why="closed")) is None


def test_conf_stands_in_every_change_and_in_the_environment_of_every_read(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("scontrol")
    change = change_of(action="undrain", kind="node", targets=("gpu1",))
    for prefix, before in (((), ["env"]), (("sudo", "-n"), ["sudo", "-n"])):
        commands.says(before[0])
        (argv,) = open_writer(SlurmSettings(conf="/b/slurm.conf", prefix=prefix)).commands(change)
        assert argv[0].endswith(f"/{before[0]}") and list(argv[1 : len(before) + 1]) == [
            *before[1:],
            "SLURM_CONF=/b/slurm.conf",
        ]
        assert argv[len(before) + 1].endswith("/scontrol")
    monkeypatch.setenv("SLURM_CONF", "/a/slurm.conf")
    with process.extra_environment(SlurmSettings(conf="/b/slurm.conf").command_environment):
        assert process.environment()["SLURM_CONF"] == "/b/slurm.conf"
    with process.extra_environment(SlurmSettings().command_environment):
        assert process.environment()["SLURM_CONF"] == "/a/slurm.conf", "without one this computer's own"
    for given, words in (
        ({"conf": "slurm.conf"}, "begin at /"),
        ({"conf": "/b", "transport": "native"}, 'for transport = "cli" alone'),
        ({"conf": "/b", "prefix": ("doas",)}, "only sudo"),
    ):
        with pytest.raises(ValueError, match=words):
            SlurmSettings(**given)


def test_sums_of_a_closed_cluster_are_dropped():
    from console.runtime import memo

    calls = []
    make = remembered("nodes")(lambda one: calls.append(one.name))
    one = Cluster(name=B)
    make(one), make(one)
    memo.forget(B)
    make(one)
    assert calls == [B, B]
