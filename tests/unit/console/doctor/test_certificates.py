"""`wacht doctor` tells when the certificates of its sources end, while there is time to renew them."""

from __future__ import annotations

import time

import msgspec
import pytest

from console.config.settings import Config
from console.doctor import certificates, run
from console.session.cluster_sources import ClusterSources
from tests.support import alertmanager_server
from tests.support.tls import certificate, secured


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def told(server: alertmanager_server.StandIn, **settings: str) -> list[tuple[str, str, str]]:
    """What doctor says of this server itself, apart from its answers."""
    chosen = msgspec.structs.replace(server.settings, **settings)
    site = ClusterSources(name="lab", demo=False, slurm=None, others={"alertmanager": chosen})
    found = run.examine(site, Config()).findings
    return [(one.mark, one.said, one.mend) for one in found if "certificate" in one.said]


@pytest.mark.parametrize(("days", "mark", "left"), [(90, "ok", "89 days"), (10, "warn", "9 days"), (1, "warn", "less")])
def test_its_end_is_told_and_is_a_warning_in_time(tmp_path, days, mark, left):
    pem, key = certificate(tmp_path, "127.0.0.1", days)
    with alertmanager_server.StandIn() as server:
        secured(server.server, pem, key)
        ((said, text, mend),) = told(server, url=f"https://127.0.0.1:{server.port}", ca=str(pem))
    until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400 * days))
    assert said == mark and until in text and left in text
    assert bool(mend) is (mark == "warn")


def test_one_that_is_not_trusted_is_the_fault_of_its_source(tmp_path):
    pem, key = certificate(tmp_path, "elsewhere.example")
    with alertmanager_server.StandIn() as server:
        secured(server.server, pem, key)
        found = told(server, url=f"https://127.0.0.1:{server.port}", ca=str(pem))
    assert {mark for mark, _, _ in found} == {"bad", "note"}
    assert any("is unknown" in said and "IP address mismatch" in said for mark, said, _ in found if mark == "note")


def test_one_that_has_ended_is_no_day_away():
    site = ClusterSources(
        name="lab",
        demo=False,
        slurm=None,
        others={"alertmanager": alertmanager_server.AlertmanagerSettings(url="https://x")},
    )
    (found,) = certificates.findings(site, {"certificate of alertmanager": 1000.0}, 1001.0)
    assert (found.mark, found.figures["certificate_days"]) == ("warn", -1) and "less than a day" not in found.said


def test_without_tls_nothing_is_said():
    with alertmanager_server.StandIn() as server:
        assert told(server) == []
