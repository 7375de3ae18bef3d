"""`wacht doctor`: each source and transport by what it did, excess rights, and how to fix the rest."""

from __future__ import annotations

import json
import re
import sys
import threading
import time

import msgspec
import pytest

from collectors.clock import ClockSkew, skew_of
from collectors.model import SourceFault
from collectors.sim import SimSettings
from collectors.sim.sources import forget
from collectors.slurm import SlurmSettings
from console.cli import main
from console.config.settings import Config
from console.doctor import clock_check, run, source_checks
from console.session.cluster_sources import ClusterSources, demo
from tests.support import alertmanager_server, prometheus_server
from tests.support.make import Commands, play
from tests.support.slurmrestd_server import StandIn

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def commands(tmp_path, monkeypatch):
    made = Commands(tmp_path, monkeypatch)
    play(made, "26.05")
    made.says("scontrol", "Slurmctld(primary) at labctl is UP\n", to="ping")
    made.says("scontrol", "slurm 26.05.5\n", to="version")
    return made


@pytest.fixture
def restd(tmp_path, commands):
    with StandIn(tmp_path) as started:
        yield started


@pytest.fixture
def prometheus():
    with prometheus_server.StandIn() as started:
        started.rows |= prometheus_server.machine(4)
        started.rows["scrapes"] = scrapes(4)
        started.rows["site_power"] = [({}, 9000)]
        started.rows["present"] = present(
            "DEV_GPU_UTIL", "DEV_FB_USED", "DEV_FB_FREE", "DEV_GPU_TEMP", "DEV_POWER_USAGE", "DEV_XID_ERRORS"
        )
        started.flags = dict.fromkeys(("web.enable-admin-api", "web.enable-lifecycle"), "false")
        yield started


@pytest.fixture
def alertmanager():
    with alertmanager_server.StandIn() as started:
        started.answers["/status"] = {
            "cluster": {"status": "ready", "peers": [{}, {}]}, "versionInfo": {"version": "0.28.1"},
            "config": {"original": "smtp_auth_password: hunter2"},
        }  # fmt: skip
        started.answers["/receivers"] = [{"name": "on-call"}]
        yield started


def present(*fields):
    return [({"__name__": f"DCGM_FI_{field}"}, 32) for field in fields]


def scrapes(all_, up=None, gaps=0):
    counts = {"all": all_, "up": all_ if up is None else up, "gaps": gaps}
    return [({"job": "dcgm", "what": what}, count) for what, count in counts.items() if count]


def over_rest(restd, **more):
    return site(msgspec.structs.replace(restd.settings, **more))


def site(slurm=None, **others):
    return ClusterSources(name="lab", demo=False, slurm=slurm, others=others)


def said(one, name, group="Sources"):
    """What was found about one thing: mark, text and mend of each."""
    found = run.examine(one, Config()) if isinstance(one, ClusterSources) else one
    return [(at.mark, at.said, at.mend) for at in found.findings if (at.group, at.name) == (group, name)]


# -- sources -----------------------------------------------------------------------------------------------------------


def test_every_source_is_read_with_rows_time_and_age(commands, prometheus, alertmanager):
    alertmanager.answers["/alerts"] = [alertmanager_server.row(1), alertmanager_server.row(2)]
    began = time.monotonic()
    prometheus.rows["sampled"] = [
        (prometheus_server.node("gpu00001"), time.time() - 20),
        (prometheus_server.node("gpu00002"), time.time() - 40),
    ]
    others = {"prometheus": prometheus.settings, "alertmanager": alertmanager.settings}
    report = run.examine(site(SlurmSettings(), **others), Config())
    marks = {one.name: one for one in reversed(report.findings) if one.group == "Sources" and one.mark == "ok"}
    assert {"slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations", "slurm.diag", "prom.loads",
            "prom.power", "alerts.alerts", "prometheus", "alertmanager"} <= marks.keys()  # fmt: skip
    assert marks["slurm.nodes"].figures["rows"] == 16 and marks["slurm.nodes"].figures["bytes"] > 1000
    loads = marks["prom.loads"]
    assert re.fullmatch(r"8 rows, .*; newest sample \d+ s old", loads.said)
    assert 20 <= loads.figures["age_s"] <= 21 + time.monotonic() - began, "as of when it was read, in whole seconds"
    assert marks["alerts.alerts"].said.startswith("2 rows, ")
    assert marks["prometheus"].said == "job dcgm: 4 of 4 targets up, none missed a scrape in 10 min"
    assert marks["alertmanager"].said == "0.28.1, its cluster is ready, 2 peers, 1 receiver"
    assert (report.status, report.faults) == (0, 0)
    assert "hunter2" not in run.as_text(report) + run.as_json(report).decode()


def test_old_samples_and_missed_scrapes_are_told(prometheus):
    now = time.time()
    prometheus.rows["sampled"] = [(prometheus_server.node(f"gpu{n:05d}"), now - 90 - n) for n in range(1, 5)]
    prometheus.rows["scrapes"] = scrapes(4, up=3, gaps=2)
    report = run.examine(site(prometheus=prometheus.settings), Config())
    (mark, text, mend), *_ = said(report, "prom.loads")
    assert mark == "warn" and re.search(r"newest sample 9[123] s old$", text) and "scrape_interval" in mend
    assert said(report, "prometheus")[0][:2] == ("warn", "job dcgm: 3 of 4 targets up, 2 missed a scrape in 10 min")
    assert report.status == 0, "warnings alone"


def test_an_empty_answer_is_a_fault_until_it_is_proven(prometheus):
    for name in ("memory", "xids"):
        prometheus.rows[name] = []
    # The series of the XIDs are there: so there was none. Those of the memory are not.
    prometheus.rows["present"] = present("DEV_XID_ERRORS", "DEV_POWER_USAGE")
    report = run.examine(site(prometheus=prometheus.settings), Config())
    found = {one.figures["query"]: one for one in report.findings if "query" in one.figures}
    assert found.keys() == {"memory", "xid_counts"}
    assert found["memory"].mark == "bad" and "DCGM_FI_DEV_FB_USED" in found["memory"].said and report.status == 1
    counts = found["xid_counts"]
    assert counts.mark == "warn" and "(62, then 45)" in counts.said
    assert "counters file of dcgm-exporter: DCGM_EXP_XID_ERRORS_COUNT, gauge" in counts.mend


def test_fields_that_a_node_does_not_export_are_blanks(prometheus):
    report = run.examine(site(prometheus=prometheus.settings), Config())
    (blank,) = (one for one in report.findings if "does not export" in one.said)
    assert blank.mark == "note" and blank.said.startswith("gpu00001 does not export 2")
    assert "DCGM_FI_DEV_SM_CLOCK" in blank.figures["missing"]
    assert "DCGM_FI_DEV_GPU_UTIL" not in blank.figures["missing"]
    asked = [params["query"] for _, params, _ in prometheus.seen if "Hostname=~" in params.get("query", "")]
    assert len(asked) == 1 and "(gpu00001([.][^:]*)?)(:[0-9]+)?" in asked[0], "of one node, not of all"


def test_it_says_which_names_of_dcgm_exporter_a_site_speaks(prometheus):
    for spoken, told in (
        ({"older": 8}, "8 nodes under the names of dcgm-exporter before 4.9"),
        ({"newer": 1}, "1 node under the names of dcgm-exporter 4.9 and later"),
        ({"older": 5, "newer": 3}, "3 nodes under the names of dcgm-exporter 4.9 and later, 5 under the older ones: "
                                   "both are read"),
        ({}, None),
    ):  # fmt: skip
        prometheus.rows["generations"] = [({"names": word}, nodes) for word, nodes in spoken.items()]
        found = said(site(prometheus=prometheus.settings), "exporters")
        assert found == ([] if told is None else [("ok", told, "")])
    prometheus.rows["generations"] = [({"names": "newer"}, 3), ({"names": "percent"}, 24)]
    ((text, mend),) = (at[1:] for at in said(site(prometheus=prometheus.settings), "exporters") if at[0] == "warn")
    assert text.startswith("24 samples of DCGM_FI_DEV_GPU_UTIL_RATIO above 1") and "4.7" in mend


def test_what_half_of_the_nodes_lack_is_told(prometheus):
    prometheus.rows["util"] = [(prometheus_server.node(f"gpu{n:05d}"), 50) for n in (1, 2)]
    prometheus.rows["gpu_power"] = []
    gaps = [at for at in said(site(prometheus=prometheus.settings), "prom.loads") if "with samples have no" in at[1]]
    assert [at[:2] for at in gaps] == [
        ("warn", "2 of 4 nodes with samples have no utilisation of their GPUs: gpu[00003-00004]")
    ], "what all lack is told as an empty answer"


def test_what_a_renewed_node_lacks_is_called_as_its_exporter_would(prometheus):
    prometheus.rows["present"] = present("DEV_GPU_TEMP_CELSIUS", "DEV_FB_USED_BYTES", "DEV_FB_FREE_BYTES")
    prometheus.rows["memory"] = []
    report = run.examine(site(prometheus=prometheus.settings), Config())
    (blank,) = (one for one in report.findings if "does not export" in one.said)
    missing = blank.figures["missing"]
    assert {"DCGM_FI_DEV_SM_CLOCK_HERTZ", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"} <= set(missing)
    assert not {"DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_USED_BYTES"}.intersection(missing)
    (memory,) = (one for one in report.findings if one.figures.get("query") == "memory")
    assert memory.said.endswith("no series DCGM_FI_DEV_FB_RESERVED or DCGM_FI_DEV_FB_RESERVED_BYTES")


def test_nodes_with_gpus_that_prometheus_does_not_know(commands, prometheus):
    (warning,) = [
        one for one in said(site(SlurmSettings(), prometheus=prometheus.settings), "prom.loads") if "of 16" in one[1]
    ]
    assert warning[0] == "warn" and warning[1].startswith("16 of 16 nodes with GPUs have no sample: gpu[0001-")


def test_an_alertmanager_whose_peers_do_not_meet(alertmanager):
    alertmanager.answers["/status"]["cluster"]["status"] = "settling"
    ((mark, text, mend),) = said(site(alertmanager=alertmanager.settings), "alertmanager")
    assert mark == "warn" and "settling" in text and "--cluster.peer" in mend


def test_what_hangs_is_told_and_waited_for_no_longer(prometheus, alertmanager, commands, monkeypatch):
    monkeypatch.setattr(source_checks, "TIMEOUT_S", 0.4)
    monkeypatch.setattr(run, "WITHIN_S", 2.5)
    prometheus.odd["*"] = alertmanager.odd["*"] = prometheus_server.hang
    commands.script("squeue", "exec sleep 60")
    commands.script("scontrol", "exec sleep 60")
    # A drip ends no deadline of its own: this one meets the last.
    ended, began = threading.Event(), time.monotonic()
    monkeypatch.setattr("collectors.slurm.commands.controller.diag", lambda *_: ended.wait(60))
    settings = {"prometheus": prometheus.settings, "alertmanager": alertmanager.settings}
    report = run.examine(site(SlurmSettings(), **settings), Config())
    ended.set()
    assert time.monotonic() - began < 20
    bad = {one.name: one.said for one in report.findings if one.mark == "bad"}
    assert "within 0.4 s" in bad["prom.loads"] and "within 0.4 s" in bad["alerts.alerts"]
    assert bad["slurm.jobs"] == "squeue gave no answer in 0.4 s"
    assert bad["slurm.diag"] == "no answer within 2.5 s"
    assert said(report, "patience")[0][1] == "doctor waits 0.4 s for an answer; the console would wait 30 s"
    assert report.status == 2 and said(report, "alertmanager", "Clock")[0][0] == "note"


def test_a_bug_in_a_check_costs_that_check_alone(prometheus, monkeypatch):
    monkeypatch.setattr("collectors.prometheus.probe.probe_prometheus", lambda _: 1 / 0)
    report = run.examine(site(prometheus=prometheus.settings), Config())
    assert said(report, "prometheus")[0] == ("bad", "ZeroDivisionError in wacht itself", "please report it to wacht")
    assert said(report, "prom.loads")[0][0] == "ok"


# -- transports --------------------------------------------------------------------------------------------------------


def test_what_works_what_it_costs_and_what_it_cannot(restd):
    report = run.examine(over_rest(restd, fallback=("cli",)), Config())
    text = run.as_text(report, 110)
    assert report.status == 0 and restd.file.read_text() not in text + run.as_json(report).decode()
    assert re.search(r"ok    rest +transport: Slurm 26\.05\.5 v0\.0\.45, 127\.0\.0\.1:", text)
    assert re.search(r"ok    cli +fallback: Slurm 26\.05\.5,\s+/", text)
    assert re.search(r"cli +reads nodes \d+ ms, jobs \d+ ms", text)
    rest = said(report, "rest", "Slurm roads")
    assert ("ok", "cannot reboot: slurmrestd has no call that reboots; goes over cli", "") in rest
    assert any(one[1].startswith("cannot hold tasks, release tasks, priority tasks: ") for one in rest)
    assert said(report, "native", "Slurm roads")[0][1].startswith("not configured, and would not work: ")
    assert all(len(line) <= 110 for line in text.splitlines())


def test_a_fault_of_all_sources_is_told_once(restd):
    for path in ("nodes/", "jobs/", "partitions/", "reservations/", "diag/"):
        restd.odd[path] = lambda handler: handler.send(b'{"errors": [{"error": "x", "error_number": 1007}]}', 511)
    report = run.examine(over_rest(restd), Config())
    names = ["slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations", "slurm.diag"]
    first, *rest = [said(report, name)[0] for name in names]
    assert "refuses the token" in first[1] and "scontrol token" in first[2]
    assert rest == [("bad", "the same as slurm.nodes", "")] * 4
    assert "munge" not in run.as_text(report, 200)


def test_a_dead_controller_over_pyslurm_is_named_as_such(monkeypatch):
    """libslurm says so after its 10 s, so doctor has to wait longer than that."""
    chosen = {name: SlurmSettings(transport=name, fallback=more)
              for name, more in (("native", ()), ("cli", ("native",)))}  # fmt: skip
    for settings in chosen.values():
        assert 10.0 < source_checks.with_short_timeouts(site(settings)).slurm.deadline_s < run.WITHIN_S
    assert source_checks.with_short_timeouts(site(SlurmSettings())).slurm.deadline_s == source_checks.TIMEOUT_S
    asked = []

    def read(client, question):
        asked.append(question.kind)
        raise SourceFault("refused", "pyslurm: Unable to contact slurm controller", "is slurmctld up?")

    monkeypatch.setattr("collectors.slurm.native.client.NativeClient.ask", read)
    report = run.examine(site(chosen["native"]), Config())
    first = ("bad", "pyslurm: Unable to contact slurm controller", "is slurmctld up?")
    assert said(report, "slurm.nodes") == [first] and set(asked) >= {"nodes", "jobs", "about"}
    assert said(report, "slurm.jobs") == [("bad", "the same as slurm.nodes", "")]
    assert said(report, "native", "Slurm roads") == [("bad", "transport, does not work: the same as slurm.nodes", "")]


def test_what_no_fallback_does_is_told_with_how_to_have_it(restd):
    rest = said(over_rest(restd), "rest", "Slurm roads")
    assert ("note", "cannot reboot: slurmrestd has no call that reboots",
            'to have it by command: slurm = { …, fallback = ["cli"] }') in rest  # fmt: skip


def test_a_configured_transport_that_does_not_work_is_told_and_fails(restd):
    restd.answers["ping/"] = {"pings": []}
    restd.answers["nodes/"] = {"nodes": []}
    report = run.examine(over_rest(restd), Config())
    found = {one["road"]: one for one in json.loads(run.as_json(report))["roads"]}
    assert report.status == 1 and found["rest"]["fault"]["kind"] == "refused" and found["cli"]["fault"] is None
    assert found["rest"]["use"] == "transport" and found["cli"]["use"] == ""
    assert said(report, "cli", "Slurm roads")[0][1].startswith("not configured, and would work: ")


def test_a_reading_that_fails_is_told_with_its_mend(restd):
    restd.answers["nodes/"] = {"nodes": []}
    report = run.examine(over_rest(restd), Config())
    assert said(report, "slurm.nodes") == [("bad", "slurmrestd lists not one node", "see its log")]
    assert report.transports[-2].reads["nodes"].fault is not None, "the costs of the transport are those of its sources"


def test_the_demo_works():
    report = run.examine(demo(SimSettings(nodes=4)), Config())
    assert report.status == 0 and report.transports == () and said(report, "slurm.nodes")[0][1].startswith("4 rows, ")
    forget("demo")


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_a_clock_is_compared_in_the_middle_of_the_way():
    assert skew_of(1000.0, 0.0, 999.0, 1001.0) == ClockSkew(ahead_s=0.0, within_s=1.0)
    assert skew_of(1000, 1.0, 1000.4, 1000.6) == ClockSkew(ahead_s=0.0, within_s=pytest.approx(0.6))


def test_clocks_that_differ_are_told_with_the_error(commands, prometheus, alertmanager):
    prometheus.ahead_s = 61.5
    others = {"prometheus": prometheus.settings, "alertmanager": alertmanager.settings}
    report = run.examine(site(SlurmSettings(), **others), Config())
    (mark, text, mend), = said(report, "prometheus", "Clock")  # fmt: skip
    found = re.fullmatch(r"Prometheus is ([\d.]+) s ahead of here, ± ([\d.]+) s", text)
    assert mark == "warn" and found and "chrony" in mend
    # As wrong at most as it says itself, and as it is rounded: how much that is, the way there decides.
    assert abs(float(found[1]) - 61.5) <= float(found[2]) + 0.15
    mark, text, _ = said(report, "alertmanager", "Clock")[0]
    assert mark == "ok" and re.fullmatch(r"Alertmanager agrees, ± [\d.]+ s", text)
    # The recording of sdiag is of another day.
    assert said(report, "controller", "Clock")[0][0] == "warn"


def test_over_rest_the_controller_tells_its_time(restd):
    (mark, text, _), = said(over_rest(restd), "controller", "Clock")  # fmt: skip
    assert mark == "warn" and text.startswith("Slurm's controller is "), "the recording is of another day"


@pytest.mark.parametrize(
    ("told", "mark"), [(None, "note"), ((True, 0.02), "ok"), ((False, 16.0), "warn")]
)  # fmt: skip
def test_whether_the_clock_is_kept(told, mark, monkeypatch):
    monkeypatch.setattr(clock_check, "synchronised", lambda: told)
    assert [one.mark for one in clock_check.findings(None, {}) if one.name == "NTP"] == [mark]


def test_the_kernel_is_asked_and_nothing_set():
    before = time.time()
    found = clock_check.synchronised()
    assert found is None or found[1] >= 0
    assert abs(time.time() - before) < 5


# -- as it is printed --------------------------------------------------------------------------------------------------


def test_the_text_fits_80_columns_and_has_no_escapes(prometheus, alertmanager):
    report = run.examine(site(prometheus=prometheus.settings, alertmanager=alertmanager.settings), Config())
    text = run.as_text(report)
    heads = [line for line in text.splitlines() if line and not line.startswith((" ", "wacht doctor"))]
    assert heads == ["Sources", "Rights", "Clock", "Terminal", "Files", text.splitlines()[-1]]
    assert all(len(line) <= 80 for line in text.splitlines()) and "\x1b" not in text
    assert re.fullmatch(r"0 faults, \d+ warnings?: everything that is configured works", heads[-1])
    assert "\x1b[32mok  \x1b[0m" in run.as_text(report, colour=True)


def test_json_is_one_object_with_a_version(prometheus):
    report = run.examine(site(prometheus=prometheus.settings), Config())
    found = json.loads(run.as_json(report))
    assert found["version"] == 1 and found["cluster"] == "lab" and found["status"] == 0
    assert found["findings"][0].keys() == {"group", "name", "mark", "said", "mend", "figures"}


def test_with_nothing_to_watch_the_rest_is_looked_at():
    wrong = run.no_site(ValueError("no cluster to watch: none\nWrite a configuration; \x1b[31m"))
    report = run.examine(None, None, [wrong])
    assert (report.status, report.cluster) == (2, None)
    assert report.findings[0].mend == "Write a configuration; \\e[31m"
    assert {one.group for one in report.findings} == {"Sources", "Rights", "Clock", "Terminal", "Files"}
    assert "1 fault," in run.as_text(report).splitlines()[-1] and "no cluster," in run.as_text(report)


def test_a_configuration_that_others_can_write_is_a_finding(tmp_path, monkeypatch, capsysbinary):
    file = tmp_path / "config.toml"
    file.touch()
    file.chmod(0o666)
    monkeypatch.setattr(sys, "argv", ["wacht", "doctor", "--json", "--config", str(file)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    found = json.loads(capsysbinary.readouterr().out)
    assert ended.value.code == found["status"] == 2
    assert "others can write it" in found["findings"][0]["said"] and "chmod go-w" in found["findings"][0]["said"]
