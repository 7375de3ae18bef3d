"""`wacht doctor` on living daemons: what it says of sources, rights, clocks and doors is what they are."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.prometheus import PrometheusSettings
from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from console.config.settings import Config
from console.doctor import run, source_checks
from console.doctor.run import DoctorReport
from console.session.cluster_sources import ClusterSources

from . import rest
from .alertmanager import Alertmanager
from .prometheus import Monitor
from .running import running
from .slurm import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def books() -> Iterator[Lab]:
    """A lab with slurmdbd and slurmrestd: bob is an Operator, carol an Administrator."""
    yield from running("forky", nodes=4, accounting=True, restd=True)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    RestServer.forget()


def look(
    lab: Lab | None, patch: pytest.MonkeyPatch, slurm: SlurmSettings | None = None, **others: object
) -> DoctorReport:
    """What doctor finds there, with the commands of the lab, as root."""
    if lab is not None:
        patch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    return run.examine(ClusterSources(name="lab", demo=False, slurm=slurm, others=others), Config())  # type: ignore[arg-type]


def said(report: DoctorReport, group: str, name: str) -> list[tuple[str, str]]:
    return [(one.mark, one.said) for one in report.findings if (one.group, one.name) == (group, name)]


def test_a_whole_site_works(
    lab: Lab, prometheus_3: Monitor, alertmanager_forky: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus_3.reset()
    settings = PrometheusSettings(url=prometheus_3.url), AlertmanagerSettings(url=alertmanager_forky.url)
    began = time.monotonic()
    report = look(lab, monkeypatch, SlurmSettings(), prometheus=settings[0], alertmanager=settings[1])
    took = time.monotonic() - began
    assert took < 40
    rows = {
        one.name: one.figures["rows"]
        for one in report.findings
        if "rows" in one.figures and one.group == "Sources" and one.mark == "ok"
    }
    assert rows["slurm.nodes"] == 64 and rows["prom.loads"] > 50 and "alerts.alerts" in rows
    assert report.status == 0 and report.faults == 0, run.as_text(report)
    age = next(one.figures["age_s"] for one in report.findings if one.name == "prom.loads")
    assert -1 < age < 30, "the newest sample as it is read, by our clock"
    ((_, fresh),) = said(report, "Sources", "alertmanager")
    assert fresh.startswith("0.33.") and "alone" in fresh and "1 receiver" in fresh
    for name in ("controller", "prometheus", "alertmanager"):
        (clock,) = (one for one in report.findings if (one.group, one.name) == ("Clock", name))
        assert clock.mark == "ok" and abs(clock.figures["ahead_s"]) <= clock.figures["within_s"] + 0.2
    # The monitor of the tests is started with it; nobody tried whether it works.
    assert said(report, "Rights", "prometheus") == [
        ("warn", "--web.enable-lifecycle is on: whoever reaches it can stop it"),
    ]  # fmt: skip
    assert said(report, "Rights", "account")[0][0] == "warn"
    assert said(report, "Rights", "Slurm")[0] == ("ok", "root, root; may change nodes and everybody's jobs")
    assert said(report, "Rights", "PrivateData")[0] == ("ok", "slurm.conf hides nothing from you")
    assert {(one.transport, one.fault is None) for one in report.transports} >= {("cli", True)}


def test_targets_that_do_not_answer_are_counted(prometheus_3: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    prometheus_3.reset()
    report = look(None, monkeypatch, prometheus=PrometheusSettings(url=prometheus_3.url))
    (one,) = (one for one in report.findings if (one.group, one.name) == ("Sources", "prometheus"))
    # The simulated machine has exporters that are silent; those of power are another job's, which no GPU comes from.
    down = len(prometheus_3.query('up{job="dcgm"} == 0'))
    assert down and one.mark == "warn" and one.figures["job"] == "dcgm"
    assert one.figures["targets"] - one.figures["up"] == down and one.figures["gaps"] >= down


def test_victoria_tells_no_flags(victoria: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    victoria.reset()
    report = look(None, monkeypatch, prometheus=PrometheusSettings(url=victoria.url))
    ((mark, text),) = said(report, "Rights", "prometheus")
    assert mark == "note" and "are unknown" in text
    assert said(report, "Clock", "prometheus")[0][0] == "ok" and said(report, "Sources", "prom.loads")[0][0] == "ok"


@pytest.mark.parametrize(
    ("user", "seconds", "level", "token"),
    [
        ("alice", 7200, "no admin (slurmdbd); may read, and change the own jobs", "ok"),
        ("bob", 7200, "Operator (slurmdbd); may change everybody's jobs, not nodes", "ok"),
        ("carol", 90 * 86_400, "Administrator (slurmdbd); may change nodes and everybody's jobs", "warn"),
        ("root", 7200, "root; may change nodes and everybody's jobs", "warn"),
    ],
)
def test_rights_over_slurmrestd(
    books: Lab, user: str, seconds: int, level: str, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(rest.token(books, user, seconds))
    report = look(books, monkeypatch, SlurmSettings(transport="rest", url=rest.url(books), token_file=str(file)))
    assert report.status == 0, run.as_text(report)
    assert said(report, "Rights", "Slurm")[0] == ("ok", f"{user}, {level}")
    assert said(report, "Rights", "token")[0][0] == token
    assert said(report, "Clock", "controller")[0][0] == "ok"
    assert file.read_text()[:20] not in run.as_text(report) + run.as_json(report).decode()


def test_on_its_socket_slurmrestd_is_known_by_the_kernel(books: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    report = look(books, monkeypatch, SlurmSettings(transport="rest", socket=str(rest.socket(books))))
    ((mark, text),) = said(report, "Rights", "slurmrestd")
    assert mark == "ok" and ("carol" in text or "uid 2003" in text)


def test_private_data_hides_jobs_from_ordinary_accounts_alone(books: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    books.reset()
    conf = books.folder / "slurm.conf"
    before = conf.read_text()
    books.submit(user="carol", begin="now+1hour")
    conf.write_text(f"{before}\nPrivateData=jobs\n")
    try:
        books.check(["scontrol", "reconfigure"])
        seen = {user: len(books.check(["squeue", "-h"], user).splitlines()) for user in ("alice", "bob")}
        assert seen == {"alice": 0, "bob": 1}, "as the table of least rights says"
        report = look(books, monkeypatch, SlurmSettings())
        assert said(report, "Rights", "PrivateData") == [("ok", "slurm.conf keeps jobs private; your level sees all")]
    finally:
        conf.write_text(before)
        books.check(["scontrol", "reconfigure"])
        books.reset()


def test_a_higher_priority_takes_an_operator(books: Lab) -> None:
    books.reset()
    (own,) = books.submit(user="alice", begin="now+1hour")
    words = ["scontrol", "update", f"JobId={own}", "Priority=4000000000"]
    try:
        assert [books.run(words, user).returncode == 0 for user in ("alice", "bob")] == [False, True]
    finally:
        books.reset()


def test_a_controller_that_hangs_is_waited_for_no_longer(books: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_checks, "TIMEOUT_S", 1.5)
    books.signal_controller(signal.SIGSTOP)
    try:
        report = look(books, monkeypatch, SlurmSettings())
    finally:
        books.signal_controller(signal.SIGCONT)
    assert report.status == 2
    for kind in ("nodes", "jobs", "diag"):
        mark, text = said(report, "Sources", f"slurm.{kind}")[0]
        assert mark == "bad" and "gave no answer in 1.5 s" in text, text
    assert said(report, "Slurm roads", "cli")[0][0] == "bad" and said(report, "Clock", "controller")[0][0] == "note"
