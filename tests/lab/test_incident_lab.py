"""An incident on the real Alertmanager (0.33; it went the same on 0.28), over a line that swallows what is sent, or its
answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_alert_reader, open_sources
from collectors.alertmanager.write import open_writer
from collectors.clock import SystemClock
from collectors.model import Cluster
from console.actions.incident import active_incidents, parse_request
from console.actions.options import Options
from console.actions.plan import Plan
from console.gate.gate import Gate
from console.journal.entries import join
from console.journal.writer import Journal, read
from console.session.snapshot import take
from tests.support.gate_world import World, node

from .alertmanager import Alertmanager

pytestmark = pytest.mark.lab
NODES = ["n1", "n2", "n3"]


class Line:
    """Between a writer and Alertmanager. Nobody on it gets an answer; `carries` says whether the request arrives."""

    def __init__(self, url: str, carries: bool) -> None:
        self._at, self._carries = urlsplit(url), carries
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                caller.settimeout(0.2)
                said = b""
                with contextlib.suppress(TimeoutError):
                    while more := caller.recv(65536):
                        said += more
                if self._carries:
                    with socket.create_connection((self._at.hostname, self._at.port), 5) as there:
                        there.sendall(said)
                        there.recv(65536)
                caller.settimeout(5)
                caller.recv(1)  # until the caller gives up

    def close(self) -> None:
        self._server.close()


class Site:
    """Somebody who declares: their nodes are made up, the Alertmanager is not."""

    def __init__(self, am: Alertmanager, folder) -> None:
        self.am, self.clock = am, SystemClock()
        self.settings = AlertmanagerSettings(url=am.url, timeout_s=5.0)
        self.world = World(folder, [node(name) for name in NODES])
        self.path = folder / "journal.jsonl"

    def cluster(self) -> Cluster:
        found = take("lab", open_sources("lab", self.settings), self.clock)
        return self.world.cluster(silences=found.silences, sources={})

    def declare(self, url: str, extend: bool = False) -> set[str]:
        """What became of it, once that is read back."""
        gate = Gate("lab", lambda _: open_writer(AlertmanagerSettings(url=url, timeout_s=1.0)), self.world,
                    lambda: Journal(self.path, "lab", self.clock), self.clock,
                    desk=open_alert_reader("lab", self.settings))  # fmt: skip
        cluster = self.cluster()
        words = ["extend"] if extend else ["n[1-3]", "cooling"]
        wants = parse_request(words, cluster, self.clock.now())
        plan = gate.plan(wants.action, wants.targets, wants.title, cluster, Options(settings=wants.settings))
        assert isinstance(plan, Plan), plan
        outcome = gate.send(plan, plan.confirmation.prompt)
        assert outcome.refused is None, outcome.refused
        ended = gate.follow(outcome, 1.0)
        states = {one.state for one in ended.results.values()}
        assert states == {one.state for one in list(join(read(self.path)).values())[-1].outcome.values()}
        return states


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made: list[Line] = []
    yield made
    for one in made:
        one.close()


def test_an_extension_is_done_once_its_own_silence_is_read(
    alertmanager_forky: Alertmanager, tmp_path, lines: list[Line]
) -> None:
    alertmanager = alertmanager_forky
    alertmanager.reset()
    site = Site(alertmanager, tmp_path)
    assert site.declare(alertmanager.url) == {"done"}
    (first,) = active_incidents(site.cluster(), site.clock.now())
    # The clock of an incident is in seconds: an extension must end later to be told from what stands.
    lines += [Line(alertmanager.url, carries=False), Line(alertmanager.url, carries=True)]
    threading.Event().wait(2.1)
    assert site.declare(lines[0].url, extend=True) == {"unknown"}, "the old one stands, and proves nothing"
    (still,) = active_incidents(site.cluster(), site.clock.now())
    assert (still.ends, still.silences) == (first.ends, first.silences)
    assert site.declare(lines[1].url, extend=True) == {"done"}, "the answer was lost, the silence was not"
    (later,) = active_incidents(site.cluster(), site.clock.now())
    assert later.ends > first.ends and len(later.silences) == 2
