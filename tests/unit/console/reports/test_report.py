"""A shift report tells what happened, from made-up moments and from the simulated cluster; and what it cannot know."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
import termios
from datetime import datetime

import pytest
from click.testing import CliRunner

from collectors.model import Cluster, Fault, Load, Node, Power, Series, Silence, Source, SourceFault
from console.app import export_commands
from console.cli.main import cli
from console.config.commands import CommandError, parse
from console.health import drain_reasons
from console.health.xid_policy import default_policy
from console.journal.chain import JournalFault
from console.journal.entries import join
from console.journal.reader import JournalSnapshot
from console.recording.store import RecordingReader
from console.reports.period import Span, between, moment, span_of
from console.reports.reads import ReportSources, gather, moments, of_recording
from console.reports.rendering import as_json, as_markdown
from console.reports.shift_watch import ShiftWatch
from tests.support import make, people
from tests.support.journal_entries import Book
from tests.support.make import NOW
from tests.support.operator import console
from tests.support.recordings import Night, recorded

HOUR = 3600.0


def node(name="n1", state="ALLOCATED", **more) -> Node:
    return make.node(name, state, **({"gpus_alloc": None} | more))


def down(name="n1", reason="Not responding", at=None, by="slurm", state="DOWN", **more) -> Node:
    return node(name, state, reason=reason, reason_by=by, reason_at=at, **more)


def at(*nodes: Node, jobs=(), loads=(), sources=(), **facts) -> Cluster:
    given = {"alerts": (), "silences": (), "xids": ()} | facts
    return make.cluster(nodes=nodes, jobs=jobs, loads=loads, sources=sources, **given)


def watched(*seen: tuple[float, Cluster], since=0.0, until=10 * HOUR, step=True):
    """What is kept of these moments; between two of them one more every four minutes, so that nothing is a gap."""
    watch, before = ShiftWatch(since, until), None
    for wall, cluster in seen:
        if before is not None and step:
            there = before[0] + 240
            while there < wall:
                watch.see(before[1], there, {})
                there += 240
        watch.see(cluster, wall, None)
        before = wall, cluster
    return watch.past()


# What was seen.


def test_a_node_that_was_out_for_two_hours_lost_sixteen_gpu_hours():
    past = watched((0, at(node())), (HOUR, at(down(at=3600))), (3 * HOUR, at(node())), (4 * HOUR, at(node())))
    assert past.gpu_hours == {"slurmd": 16.0}
    (one,) = past.outages
    assert (one.node, one.since, one.until, one.display) == ("n1", HOUR, 3 * HOUR, "down")


def test_the_cause_that_is_found_later_is_the_cause_of_all_of_it():
    past = watched((0, at(node())), (HOUR, at(down())), (2 * HOUR, at(down(reason="PSU failed", by="jdv"))),
                   (3 * HOUR, at(node())))  # fmt: skip
    assert past.gpu_hours == {"power": 16.0}


def test_what_was_out_before_anybody_looked_counts_from_its_reason_but_not_from_before_the_time_asked_for():
    long, late = down("a", at=-100 * 3600), down("b", at=1 * 3600)
    past = watched((2 * HOUR, at(long, late)), (3 * HOUR, at(long, late)))
    assert past.gpu_hours == {"slurmd": 8 * 3.0 + 8 * 2.0}
    assert [one.since for one in past.outages] == [-100 * HOUR, HOUR]


def test_a_node_of_which_slurm_does_not_say_since_when_counts_from_when_it_was_seen():
    past = watched((2 * HOUR, at(down(at=None))), (3 * HOUR, at(down(at=None))))
    assert past.gpu_hours == {"slurmd": 8.0} and past.outages[0].since is None


def test_a_draining_node_has_lost_what_no_job_holds():
    part = down(state="ALLOCATED+DRAIN", gpus_alloc=6)
    assert watched((0, at(part)), (HOUR, at(part))).gpu_hours == {"slurmd": 2.0}


def test_gpus_that_nobody_knows_are_not_none():
    past = watched((0, at(down(gpus=None))), (HOUR, at(down(gpus=None))))
    assert past.gpu_hours == {} and past.uncounted == ("n1",)


@pytest.mark.parametrize(
    ("after", "hours"), [(down(at=0), 16.0), (down(at=5000), 8 + 8 * (7200 - 5000) / 3600), (node(), 8.0)]
)
def test_what_happened_in_a_gap_is_not_made_up(after, hours):
    before = down(at=0)
    watch = ShiftWatch(0, 2 * HOUR)
    for wall in range(0, 3601, 240):
        watch.see(at(before), wall, {} if wall else None)
    watch.see(at(after), 2 * HOUR, {})
    past = watch.past()
    assert past.gaps == ((3600.0, 7200.0),)
    assert past.gpu_hours["slurmd"] == pytest.approx(hours)


def test_a_clock_that_is_set_back_loses_nothing_twice():
    watch = ShiftWatch(0, 10 * HOUR)
    for wall in (0, 200, 100, 300):
        watch.see(at(down(at=0)), wall, None)
    assert watch.past().gpu_hours["slurmd"] == pytest.approx(8 * 300 / 3600)


RUNS = make.job("7", user="u", nodes="n[1-2]", gpus=16, submitted=-50, started=0, restarts=0)


@pytest.mark.parametrize(
    ("job", "end"),
    [
        (None, "left the queue"),
        (make.job("7", "PENDING", user="u", restarts=1), "requeued"),
        (make.job("7", "NODE_FAIL", user="u", nodes="n[1-2]"), "NODE_FAIL"),
    ],
)
@pytest.mark.parametrize("first", ["nodes", "jobs"])
def test_a_job_whose_node_went_down_is_told_whichever_was_read_first(job, end, first):
    jobs = [job] if job else []
    between_ = at(down(), node("n2"), jobs=[RUNS]) if first == "nodes" else at(node(), node("n2"), jobs=jobs)
    past = watched((0, at(node(), node("n2"), jobs=[RUNS])), (60, between_), (70, at(down(), node("n2"), jobs=jobs)))
    (one,) = past.lost
    assert (one.job, one.user, one.end) == ("7", "u", end)


def test_a_job_that_ends_on_a_sound_node_was_not_lost():
    past = watched((0, at(node(), node("n3"), jobs=[RUNS])), (60, at(node(), down("n3"))))
    assert past.lost == ()


def test_the_longest_wait_is_of_a_job_that_could_have_started():
    held = make.job("1", "PENDING", submitted=-90_000, reason="JobHeldUser", priority=0)
    waits = make.job("2", "PENDING", submitted=-1000, reason="Priority", gpus=4)
    began = make.job("3", submitted=-20_000, started=100, nodes="n1")
    first = watched((0, at(node(), jobs=[held, waits])), (600, at(node(), jobs=[held, waits])))
    assert (first.wait.job, first.wait.seconds, first.wait.started) == ("2", 1600, False)
    then = watched((0, at(node(), jobs=[held, waits])), (600, at(node(), jobs=[held, waits, began])))
    assert (then.wait.job, then.wait.seconds, then.wait.started) == ("3", 20_100, True)


def test_the_peak_has_its_time_and_source_and_is_unknown_where_nothing_is_measured():
    def drawn(watts):
        return at(node(), power=Power(source="PDU", site_w=watts))

    past = watched((0, drawn(5e6)), (100, drawn(6e6)), (200, drawn(4e6)), (300, drawn(None)))
    assert (past.peak.watts, past.peak.at, past.peak.source) == (6e6, 100, "PDU")
    assert watched((0, at(node()))).peak is None
    assert watched((0, at(node(), loads=[Load(node="n1", power_w=700.0)]))).peak.watts == 700.0


def test_sources_that_fail_are_told_with_how_long():
    def faulty(fault):
        return at(node(), sources=[Source(name="slurm.jobs", tried=True, fault=fault)])

    past = watched((0, faulty(None)), (240, faulty(Fault("timeout", "x"))), (480, faulty(Fault("timeout", "x"))))
    assert past.silent == {"slurm.jobs": 480.0}


# The report.


def report(cluster=None, *, records=(), fault="", recording=None, telemetry=None, now=NOW, hours=12.0):
    def book():
        if fault:
            raise JournalFault(fault)
        return JournalSnapshot.of(join(records))

    sources = ReportSources(name="c", now=now, mono=0.0, cluster=cluster, recording=recording, journal=book,
                      telemetry=telemetry, policy=default_policy())  # fmt: skip
    return gather(sources, Span(now - hours * HOUR, now))


def test_it_says_who_did_what_and_what_came_of_it():
    book = Book().act("a", "drain", [node("gpu1"), node("gpu2")], ["done", "failed"], "bad DIMM", who="jdv")
    book.act("b", "drain", [node("gpu3")], None, "fan", who="mkl", ago=2 * HOUR)
    book.act("c", "drain", [node("gpu4")], "done", "old", ago=100 * HOUR)
    text = as_markdown(report(at(node()), records=book.records))
    flat = " ".join(text.split())
    assert re.search(r'- \d\d:\d\d jdv as uid 1001: drain gpu\[1-2\] "bad DIMM": 1 done, 1 failed', flat)
    assert "no end seen: " in text and 'mkl as uid 1001: drain gpu3 "fan": no result' in flat
    assert "2 actions by jdv as uid 1001, mkl as uid 1001" in text and "1 action with unknown outcome" in text
    assert "gpu4" not in text, "it was before"


def test_the_accounts_of_this_machine_change_no_report(monkeypatch):
    """Whoever has uid 1001 here is not jdv: `people` keeps those of the machine out of every test."""
    there = pwd.struct_passwd(("tmpuser", "x", 1001, 1001, "", "/", "/bin/sh"))
    monkeypatch.setattr(people, "_by_uid", lambda uid: there)
    book = Book().act("a", "drain", [node("gpu1")], "done", "bad DIMM", who="jdv")
    assert "jdv as uid 1001" in as_markdown(report(at(node()), records=book.records))
    assert pwd.getpwuid(0) is there, "root and one's own account are as they are"


def test_a_journal_that_cannot_be_read_is_not_a_quiet_shift():
    text = as_markdown(report(at(node()), fault="the disk hangs"))
    assert "the journal cannot be read: the disk hangs" in text
    assert "what was done is unknown" in text and "nothing was done" not in text


def test_what_was_never_read_is_unknown_not_nothing():
    text = as_markdown(report(make.cluster()))
    for word in ("nodes: unknown", "alerts: unknown", "silences: unknown", "held jobs: unknown", "power peak: unknown",
                 "unknown: no source reports XIDs", "unknown: the queue was never read"):  # fmt: skip
        assert word in text, word
    assert " 0 " not in text
    told = json.loads(as_json(report(make.cluster())))
    for key in ("open_nodes", "open_alerts", "silences_ending", "losses", "broke", "xids", "peak", "jobs_held"):
        assert told[key] is None, key


def test_without_a_recording_it_claims_nothing_of_what_nobody_saw():
    text = as_markdown(report(at(down("gpu1", at=int(NOW - HOUR)), node("gpu2"))))
    assert "nothing is recorded here" in text and "at least 8.0 GPU-hours lost" in text
    assert "no job was seen" not in text and "jobs that lost a node: unknown" in text
    sound = as_markdown(report(at(node())))
    assert "no node is known to have failed" in sound and "unknown: nothing was recorded" in sound
    assert "no GPU-hours are known to be lost" in sound


def test_what_is_open_is_told_with_whose_it_is():
    cluster = at(
        down("gpu1", 'swap "B" [X-12]', int(NOW - 3 * HOUR), "jdv", "IDLE+DRAIN"), node("gpu2"),
        jobs=[make.job("1", "PENDING", reason="JobHeldUser", priority=0)],
        silences={
            "s": Silence(id="s", state="active", matchers=(), ends=int(NOW + HOUR), by="mkl", comment="PDU work"),
            "t": Silence(id="t", state="active", matchers=(), ends=int(NOW + 90 * HOUR), by="mkl", comment="far"),
        },
    )  # fmt: skip
    text = as_markdown(report(cluster))
    assert '- gpu1 drained for 3h 00m by jdv: "swap "B" [X-12]"' in text
    assert "in 1h 00m: PDU work, by mkl" in text and "far" not in text
    assert "1 job held" in text and "## Taken out of service by people" in text


def test_no_text_from_outside_is_markup():
    bad = "# x | <script>alert(1)</script> [a](javascript:b) `rm`"
    text = as_markdown(report(at(down("gpu1", bad, int(NOW - 60), "jdv"))))
    assert r"\| \<script>" in text and "](" not in text and r"\`rm\`" in text
    assert not re.search(r"(?m)^\s*- #|^#+ x", text)


def test_it_reads_well_on_a_small_terminal():
    nodes = [down(f"gpu{i:04}", "Not responding, and nobody knows why it does not", int(NOW - 60)) for i in range(90)]
    text = as_markdown(report(at(*nodes)))
    assert max(map(len, text.splitlines())) <= 78
    wide = as_markdown(report(at(*nodes)), 110)
    assert 95 < max(map(len, wide.splitlines())) <= 110 and wide.split() == text.split()


@pytest.mark.parametrize(("columns", "width"), [(100, 100), (250, 110)])
def test_on_a_terminal_it_is_as_wide_as_that_up_to_what_is_good_to_read(columns, width):
    ours, theirs = os.openpty()
    try:
        termios.tcsetwinsize(ours, (24, columns))
        env = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
        code = "from console.cli.report_command import _width; print(_width())"
        subprocess.run([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=env, check=True, timeout=30)
        assert os.read(ours, 100).split() == [str(width).encode()]
        piped = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True, timeout=30)
        assert piped.stdout == b"78\n"
    finally:
        os.close(ours)
        os.close(theirs)


class Charts:
    def __init__(self, *points):
        self.points = points

    def site_history(self, seconds):
        if not self.points:
            raise SourceFault("timeout", "Prometheus did not answer")
        return [Series(name="power", unit="W", points=self.points)]


def test_the_peak_of_the_time_that_nobody_recorded_is_asked_for():
    points = [(int(NOW - 50 * HOUR), 9e6), (int(NOW - 600), 5e6), (int(NOW - 300), None), (int(NOW - 200), 4e6)]
    text = as_markdown(report(at(node()), telemetry=Charts(*points)))
    assert "power peak 5.00 MW at " in text and "history" in text, "not the greater one of before"
    assert "Prometheus did not answer" in " ".join(as_markdown(report(at(node()), telemetry=Charts())).split())


# On the simulated cluster.


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> tuple[Night, object]:
    path = tmp_path_factory.mktemp("night") / "a.wacht"
    return recorded(path, 600, 10, incident="pdu"), path


def test_an_incident_is_told_as_it_was(night):
    machine, path = night
    sources = of_recording(path, default_policy())
    made = gather(sources, between(sources.now, "10m", None))
    out = [name for name, one in machine.cluster.nodes.items() if drain_reasons.is_unavailable(one)]
    assert sum(one.count for one in made.open_nodes) == len(out)
    (event,) = [one for one in made.broke if not one.person and one.rack == "R03"]
    assert (event.nodes, event.count, event.state, event.back) == ("gpu[0041-0048]", 8, "down", 0)
    assert made.losses_whole and made.watched and not made.limits
    begun = sources.now - event.since
    total = sum(one.gpu_hours for one in made.losses)
    others = [one for one in out if not one.startswith("gpu004") and machine.cluster.nodes[one].display != "draining"]
    assert total == pytest.approx((64 * begun + 8 * len(others) * 600) / HOUR, rel=0.1)
    assert len(made.lost) >= 5 and {one.end for one in made.lost} <= {"requeued", "left the queue"}
    assert made.peak.source == "PDU" and any(one.title.startswith("R03-pdu-b") for one in made.open_alerts)
    assert "8 nodes failed in 1 event, none is back" in as_markdown(made)


def test_the_moments_are_walked_from_the_one_that_held(night):
    machine, path = night
    now = machine.clock.now()
    seen = list(moments(path, Span(now - 95, now - 40)))
    walls = [moment.wall for moment, _, _ in seen]
    assert walls[0] <= now - 95 < walls[-1] <= now - 40 and walls == sorted(walls)
    assert seen[0][2] is None and all(keys is not None for _, _, keys in seen[1:])
    assert "gpu0041" in seen[0][1].nodes


def test_a_recording_that_began_later_says_so(night):
    _, path = night
    sources = of_recording(path, default_policy())
    made = gather(sources, between(sources.now, "2h", None))
    assert not made.losses_whole and "nothing was recorded before" in made.limits[0]
    assert "at least" in as_markdown(made)


def test_the_command_prints_it_and_writes_it(night, tmp_path):
    _, path = night
    run = CliRunner()
    told = run.invoke(cli, ["report", "--recording", str(path), "--since", "10m"])
    assert told.exit_code == 0 and told.output.startswith("# Shift report: groningen (DEMO)")
    made = run.invoke(cli, ["report", "--recording", str(path), "--json", "-o", str(tmp_path / "r.json")])
    assert made.exit_code == 0, made.output
    assert json.loads((tmp_path / "r.json").read_text())["version"] == 1
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600
    for wrong in (["--since", "yesterday"], ["--since", "1h", "--from", "2h"], ["--from", "2030-01-01T00:00"]):
        assert run.invoke(cli, ["report", "--recording", str(path), *wrong]).exit_code == 2


@pytest.mark.slow
async def test_the_console_writes_it_beside_what_is_on_the_screen(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with console((80, 24)) as op:
        await op.command("report 2h ~/r.md")
        await op.until(lambda: (tmp_path / "r.md").exists() and (tmp_path / "r.md").stat().st_size, "the report")
        text = (tmp_path / "r.md").read_text()
        assert text.startswith("# Shift report: groningen (DEMO)")
        assert "nothing is recorded here" in text and "Still open" in text
        assert export_commands._report_words("~/a b.md") == ("", "~/a b.md")
        for wrong in ("report 0s", "report 9999d", "report 1234567h"):
            with pytest.raises(CommandError, match=r"is of a time|is no length of time"):
                op.app.exports.carry_out(parse(wrong))


# The time.


def test_times_as_people_say_them():
    now = datetime(2026, 11, 25, 6, 30).timestamp()
    assert moment("8h", now) == moment("-8h", now) == now - 8 * HOUR
    assert moment("22:00", now) == datetime(2026, 11, 24, 22, 0).timestamp()
    assert moment("06:00", now) == datetime(2026, 11, 25, 6, 0).timestamp()
    assert moment("2026-11-24T22:00", now) == datetime(2026, 11, 24, 22, 0).timestamp()
    assert span_of(now).until - span_of(now).since == 12 * HOUR
    whole = between(now, "22:00", "06:00")
    assert (whole.since, whole.until) == (moment("22:00", now), moment("06:00", now))
    for wrong in ("tomorrow", "25:00", ""):
        with pytest.raises(ValueError):
            moment(wrong, now)
    with pytest.raises(ValueError, match="begins before it ends"):
        between(now, "0s", None)


def test_the_recording_is_let_go_of(night):
    _, path = night
    RecordingReader(path).close()
