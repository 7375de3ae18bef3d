"""Every screen with each source missing, one at a time: what is unknown never reads as none, 0 or well.

A source is missing in three ways: it is not configured, it fails from the start, or it answered once (with nothing, so
that every list is empty) and fails now. Where it answers with nothing, the same screens say none: so the words that
must not stand there are the words in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import KINDS, SINGLE_VALUES, Cluster, Control, Diag, Facts, Fault, Reading
from collectors.sim import SimSettings
from collectors.sim.sources import open_sources
from console.cli import node as one_node
from console.clusters.cluster_summary import summarise
from console.fields.common_cells import Ctx
from console.health.inconsistencies import fresh_facts
from console.health.xid_policy import default_policy
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.journal.reader import JournalSnapshot
from console.reports.period import Span
from console.reports.reads import ReportSources, gather
from console.reports.rendering import as_json, as_markdown
from console.session import snapshot
from console.tables import inspection_lines, overview_figures
from console.tables.cluster_columns import ClusterRow, worst_need
from tests.support.machine_room import alert, site, texts
from tests.support.operator import console

SETTINGS = {"nodes": 64}
WAYS = ("absent", "fails", "stale")
#: What each screen says where a source has answered that there is nothing: false as soon as it is missing.
NONE: dict[str, dict[str, tuple[str, ...]]] = {
    "slurm.nodes": {
        "nodes": ("there are no nodes",), "inbox": ("every node is in service",), "power": ("no racks",),
        "domains": ("no NVLink domain is known",), "node gpu0003": ("no node gpu0003 is known",),
    },
    "slurm.jobs": {
        "overview": ("no job holds a GPU",), "jobs": ("there are no jobs",), "gpus": ("│ none ",),
        "power": ("no running jobs",), "control": ("no job is completing",),
        "node gpu0003": ("no job is on this node",),
    },
    "slurm.partitions": {"partitions": ("there are no partitions",)},
    "slurm.reservations": {"partitions": ("no reservation is set",)},
    "slurm.diag": {"control": ("sdiag names no user",)},
    "prom.loads": {"gpus": (
        "no XID was reported", "│ none ", "no node reports a temperature", "no node reports its power"
    )},
    "prom.fabric": {"fabric": ("every port behind",)},
    "prom.storage": {"storage": ("no shared file system is known",)},
    "prom.cooling": {"cooling": ("the series of cooling name no loop",)},
    "alerts.alerts": {"alerts": ("no alerts: Alertmanager holds none", "Silences  none")},
}  # fmt: skip
#: What stands there where a source is not configured, where that is more than `unknown: SOURCE is not configured`.
ABSENT = {
    "prom.fabric": "no Prometheus is configured", "prom.storage": "no Prometheus is configured",
    "prom.cooling": "no cooling is configured", "alerts.alerts": "alerts unknown: no Alertmanager is configured",
}  # fmt: skip
#: Figures that a source gives, and the screens that show them: `none` where it says 0. Old ones stay, and say so.
FIGURES: dict[str, dict[str, tuple[str, ...]]] = {
    "slurm.nodes": {"overview": (" Nodes 0", " GPUs 0")},
    "slurm.control": {"control": ("none runaway",)},
    "prom.loads": {"power": ("0 of 64 nodes", "0/16"), "overview": ("0 of 64 nodes",)},
}


def first_readings(clock: ManualClock) -> dict[str, Reading]:
    """One good reading of every source of the simulated machine."""
    sources = open_sources("groningen", SimSettings(**SETTINGS), clock)
    return {one.name: read("groningen", one, clock) for one in sources}


def emptied(facts: Facts) -> Facts:
    """The same answer with no row in it."""
    said = {
        kind: getattr(facts, kind) if kind in SINGLE_VALUES else {}
        for kind in KINDS
        if getattr(facts, kind) is not None
    }
    if facts.diag is not None:
        said["diag"] = Diag()
    if facts.control is not None:
        said["control"] = msgspec.structs.replace(facts.control, completing=(), runaway=())
    return Facts(**said)


def without(readings: Mapping[str, Reading], source: str, way: str) -> Cluster:
    """The facts where this source is missing in that way, or answers with nothing (`none`)."""
    names = [name for name in readings if not (way == "absent" and name == source)]
    cluster = begin("groningen", [(name, 10.0) for name in names], demo=True)
    for name in names:
        one = readings[name]
        failed = msgspec.structs.replace(one, facts=None, fault=Fault("refused", f"{name} is gone", "start it"))
        answers = [one]
        if name == source:
            empty = msgspec.structs.replace(one, facts=emptied(one.facts))
            answers = {"fails": [failed], "stale": [empty, failed], "none": [empty]}[way]
        for answer in answers:
            cluster, _ = reduce(cluster, answer)
    return cluster


@pytest.fixture
async def op():
    """An operator whose console reads nothing more by itself."""
    clock = ManualClock()
    async with console((120, 40), clock=clock, **SETTINGS) as operator:
        operator.app.session.poller.stop()
        await operator.app.workers.wait_for_complete()
        yield operator


async def look(op, cluster: Cluster, screen: str) -> str:
    """What a screen shows of these facts."""
    op.app.session.cluster = cluster
    await op.command(screen)
    op.app.screen.update_cluster(cluster, None)
    await op.app.workers.wait_for_complete()
    await op.pilot.pause()
    text = op.screen()
    if " " in screen:
        await op.press("escape")
    return text


@pytest.mark.slow
@pytest.mark.parametrize("source", list(NONE))
async def test_a_list_is_empty_only_where_its_source_answers(op, source):
    readings = first_readings(op.app.clock)
    for screen, words in NONE[source].items():
        shown = await look(op, without(readings, source, "none"), screen)
        assert all(word in shown for word in words), f"{screen}: {words} of\n{shown}"
        for way in WAYS:
            shown = await look(op, without(readings, source, way), screen)
            assert not [word for word in words if word in shown], f"{screen}, {source} {way}:\n{shown}"
            said = ABSENT.get(source, f"unknown: {source}") if way == "absent" else "unknown: "
            assert said in shown, f"{screen}, {source} {way}:\n{shown}"


@pytest.mark.slow
@pytest.mark.parametrize("source", list(FIGURES))
async def test_a_figure_is_0_only_where_its_source_answers_and_old_where_it_did(op, source):
    readings = first_readings(op.app.clock)
    for screen, words in FIGURES[source].items():
        shown = {way: await look(op, without(readings, source, way), screen) for way in ("none", *WAYS)}
        assert all(word in shown["none"] for word in words) and " old ─╮" not in shown["none"], shown["none"]
        for way in ("absent", "fails"):
            assert not [word for word in words if word in shown[way]], f"{screen}, {source} {way}:\n{shown[way]}"
            assert " old ─╮" not in shown[way], "what was never read is not old"
        assert " old ─╮" in shown["stale"], f"{screen}:\n{shown['stale']}"


# -- what reads facts beside the screens ------------------------------------------------------------------------------

#: While one of these is missing, nothing may say that nothing needs anybody.
JUDGED = (
    "slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.diag", "slurm.control", "prom.loads", "alerts.alerts",
)  # fmt: skip
#: The kinds of facts that a source gives.
KIND = {"prom.loads": ("loads", "xids"), "alerts.alerts": ("alerts", "silences")}
NOW = ManualClock().now()


@pytest.fixture(scope="module")
def readings() -> Mapping[str, Reading]:
    return first_readings(ManualClock())


def idle(way: str, missing: str = "") -> tuple[Cluster, float]:
    """A cluster that has nothing at all, of which one source is missing; and the time by which ages are read."""
    names = [name for name in JUDGED if not (way == "absent" and name == missing)]
    cluster = begin("lab", [(name, 10.0) for name in names])
    for name in names:
        kinds = KIND.get(name, (name.partition(".")[2],))
        facts = {kind: {"diag": Diag(), "control": Control(controllers=())}.get(kind, {}) for kind in kinds}
        fault = Fault("refused", f"{name} is gone") if way == "fails" and name == missing else None
        mono = 0.0 if way == "late" and name == missing else 100.0
        answer = Reading(cluster="lab", source=name, at=NOW, mono=mono, took_s=0.1, fault=fault,
                         facts=None if fault else Facts(**facts))  # fmt: skip
        cluster, _ = reduce(cluster, answer)
    return cluster, 100.0


def said_of_needs(cluster: Cluster, mono: float) -> tuple[str, str | None]:
    """What the overview and the list of clusters say where the list of needs is empty."""
    lines = ["".join(text for text, _ in one.spans) for one in overview_figures.attention_lines(cluster, (), NOW, mono)]
    row = ClusterRow(standing=summarise(cluster, mono, shown=True), needs=())
    return "\n".join(lines), worst_need(row, Ctx(cluster, NOW))


def test_nothing_needs_anybody_only_where_every_source_answers():
    assert said_of_needs(*idle("none")) == ("nothing is known to need attention", "nothing needs attention")


@pytest.mark.parametrize("way", ["absent", "fails", "late"])
@pytest.mark.parametrize("source", JUDGED)
def test_no_list_of_needs_is_reassuring_while_a_source_is_missing(source, way):
    pane, cell = said_of_needs(*idle(way, source))
    assert source in pane and "nothing is known to need attention" not in pane
    assert cell != "nothing needs attention" and (way != "fails" or source in (cell or ""))


@pytest.mark.parametrize("way", ["absent", "fails"])
@pytest.mark.parametrize(
    ("source", "lines", "keys"),
    [
        ("slurm.nodes", ["nodes  unknown"], ["nodes"]),
        ("slurm.jobs", ["jobs   unknown"], ["jobs"]),
        ("slurm.partitions", [], ["partitions"]),
        ("slurm.reservations", [], ["reservations"]),
        ("prom.loads", ["GPU utilisation unknown: prom.loads", "power  unknown"], []),
        ("alerts.alerts", ["alerts unknown: alerts.alerts"], ["alerts", "silences"]),
    ],
)
def test_a_snapshot_says_unknown(readings, source, way, lines, keys):
    cluster, clock = without(readings, source, way), ManualClock()
    text, document = snapshot.as_text(cluster, clock), json.loads(snapshot.as_json(cluster, clock))
    assert all(f"\n{line}" in text for line in lines), text
    assert [document[key] for key in keys] == [None] * len(keys)
    if source == "prom.loads":
        totals = ("power_w", "gpu_power_w", "gpu_util_pct", "util_gpus", "gpus_idle_in_jobs", "nodes_hot")
        assert [document["totals"][key] for key in totals] == [None] * len(totals)
    full = snapshot.as_text(without(readings, "", "none"), clock)
    assert "unknown" not in full and "GPU utilisation " in full and " active" in full


def report_of(cluster: Cluster):
    sources = ReportSources(
        name="groningen", now=NOW, mono=0.0, cluster=cluster, recording=None, journal=JournalSnapshot, telemetry=None,
        policy=default_policy(),
    )  # fmt: skip
    return gather(sources, Span(NOW - 3600, NOW))


@pytest.mark.parametrize("way", ["absent", "fails"])
@pytest.mark.parametrize(
    ("source", "says", "never"),
    [
        ("slurm.nodes", "- unknown: nodes were never read", "- nothing\n"),
        ("slurm.jobs", "- held jobs: unknown", "jobs held"),
        ("slurm.partitions", "- unknown: partitions were never read", "- nothing\n"),
        ("slurm.reservations", "- unknown: reservations were never read", "- nothing\n"),
        ("prom.loads", "- unknown: no source reports XIDs", "- none seen"),
        ("alerts.alerts", "- alerts: unknown", "alert not acked"),
    ],
)
def test_a_report_says_unknown(readings, source, way, says, never):
    report = report_of(without(readings, source, way))
    text = as_markdown(report)
    assert says in text and never not in text, text
    named = f"not read: {source}" if way == "absent" else f"no answer from {source}"
    if source in {"slurm.nodes", "slurm.jobs", "prom.loads", "alerts.alerts"} or way == "fails":
        assert named in text
    missing = json.loads(as_json(report))["left_unknown"]
    assert missing == list(report.left_unknown) and bool(missing) == (source != "prom.loads")


def test_a_report_of_all_sources_says_nothing_of_unknown(readings):
    text = as_markdown(report_of(without(readings, "", "none")))
    assert "not read:" not in text and "never read" not in text and "## Unresolved\n\n- nothing\n" in text


@pytest.mark.parametrize("way", WAYS)
def test_the_page_of_a_node_says_that_its_xids_are_unknown(readings, way):
    def said(cluster: Cluster) -> list[str]:
        lines = inspection_lines.problem_lines("gpu0003", cluster, default_policy(), NOW)
        return ["".join(text for text, _ in one.spans) for one in lines]

    assert said(without(readings, "prom.loads", way))[0].startswith("XIDs unknown: prom.loads")
    assert not any("unknown" in one for one in said(without(readings, "prom.loads", "none")))


def test_wacht_node_says_null_and_names_what_was_not_asked():
    look = one_node.NodeReport(node="gpu0003", at=NOW, here=False, tried=("telemetry",), faults={
        "telemetry": Fault("refused", "Prometheus is gone")})  # fmt: skip
    document = json.loads(one_node.as_json_text(look))
    assert [document[key] for key in ("gpus", "xids", "troubles", "disagree", "jobs")] == [None] * 5
    assert "XIDs: only" in "\n".join(one_node.render(look))
    read_whole = msgspec.structs.replace(look, here=True, gpus=(), xids=(), faults={})
    assert json.loads(one_node.as_json_text(read_whole))["xids"] == []
    assert "XIDs: only" not in "\n".join(one_node.render(read_whole))


def test_one_source_that_fails_makes_no_other_unknown(readings):
    """XIDs come with the loads: ports that cannot be read leave them known, and what they contradict stays said."""
    assert fresh_facts(without(readings, "prom.fabric", "fails"), NOW, 0.0).xids
    assert not fresh_facts(without(readings, "prom.loads", "stale"), NOW, 0.0).xids


def test_a_node_of_an_alert_is_no_stranger_while_the_nodes_are_unknown():
    rang = alert("DiskFull", "warning", "gpu0001", summary="no room on /var")
    assert any("which Slurm does not know" in one for one in texts(site(alerts=[rang])))
    unread = msgspec.structs.replace(site(alerts=[rang]), known=frozenset({"alerts"}))
    (line,) = texts(unread)
    assert "which Slurm does not know" not in line
