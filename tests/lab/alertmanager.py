"""A real Alertmanager that holds what a real Prometheus fires, or what a test fires itself.

    with Alertmanager("forky") as am:
        am.fire({"alertname": "NodeDown", "node": "gpu0007", "rack": "R01", "pdu": "R01-a", "severity": "critical"},
                {"summary": "gpu0007 does not answer", "runbook_url": "https://runbooks.example.org/NodeDown"})
        am.wait_for_alerts(1)
        am.resolve({"alertname": "NodeDown", ...})     # the same labels: it is over

    with Monitor("prometheus-3", rules=[path], alertmanager=am.url) as monitor: ...   # its rules ring in here

The labels `node`, `rack`, `pdu` and `switch` are what wacht folds by; a fired alert stands until it is resolved. It
sends nothing to anybody. It runs from the lab's roots and ends with the process that started it, even by SIGKILL.
"""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from .cell import Cell, Daemon
from .place import wait_for
from .roots import LabError, lab_unsupported, root_of

VERSIONS = {"trixie": "Alertmanager 0.28", "forky": "Alertmanager 0.33"}

#: A fired alert stands for a year when nobody resolves it.
_CONFIGURATION = {
    "global": {"resolve_timeout": "8760h"},
    "route": {"receiver": "nobody", "group_by": ["alertname"], "group_wait": "1s"},
    "receivers": [{"name": "nobody"}],
}


class Alertmanager(Daemon):
    """One Alertmanager. Nothing is touched before `start`; `stop` leaves nothing behind."""

    what = "Alertmanager"

    def __init__(self, suite: str = "forky") -> None:
        self.suite = suite

    def start(self, timeout: float = 60.0) -> Alertmanager:
        """Up and answering when it returns. Raises LabError, leaving nothing."""
        reason = lab_unsupported()
        if reason:
            raise LabError(reason)
        root_of(self.suite)
        with self._starting(Cell(self.suite, f"alertmanager-{self.suite}")):
            (self.cell.folder / "data").mkdir(mode=0o755)
            (self.cell.folder / "alertmanager.yml").write_text(json.dumps(_CONFIGURATION))
            self.cell.start()
            self._spawn(timeout)
        return self

    # -- alerts -------------------------------------------------------------------------------------------------------

    def fire(self, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None, ago_s: float = 60) -> None:
        """Let an alert ring that began so many seconds ago; with the same labels again it is the same alert."""
        self.fire_all([(labels, annotations or {})], ago_s)

    def fire_all(self, alerts: Iterable[tuple[Mapping[str, str], Mapping[str, str]]], ago_s: float = 60) -> None:
        """Many at once: pairs of labels and annotations."""
        starts = _told(time.time() - ago_s)
        self._ask(
            "/alerts", [{"labels": dict(one), "annotations": dict(two), "startsAt": starts} for one, two in alerts]
        )

    def resolve(self, *labels: Mapping[str, str]) -> None:
        """The alerts with exactly these labels are over."""
        now = time.time()
        self._ask(
            "/alerts", [{"labels": dict(one), "startsAt": _told(now - 1), "endsAt": _told(now)} for one in labels]
        )

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, as the API gives them."""
        return list(self._ask("/alerts"))

    def silences(self) -> list[dict[str, Any]]:
        """All silences, expired ones too, as the API gives them."""
        return list(self._ask("/silences"))

    def wait_for_alerts(self, count: int, timeout: float = 60, **labels: str) -> list[dict[str, Any]]:
        """Wait until exactly so many alerts with these labels stand, and return them."""

        def standing() -> list[dict[str, Any]]:
            return [one for one in self.alerts() if labels.items() <= one["labels"].items()]

        wait_for(lambda: "" if (n := len(standing())) == count else f"{n} of {count} alerts with {labels}", timeout)
        return standing()

    def reset(self) -> None:
        """No alerts and no silences any more."""
        for silence in self.silences():
            if silence["status"]["state"] != "expired":
                self._ask(f"/silence/{silence['id']}", method="DELETE")
        standing = [one["labels"] for one in self.alerts()]
        if standing:
            self.resolve(*standing)
            self.wait_for_alerts(0)

    # -- trouble ------------------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """It accepts connections and answers nothing, until `thaw`."""
        self.cell.signal("server", signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        self.cell.signal("server", signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, until `revive`."""
        self.cell.end("server")

    def revive(self, timeout: float = 60) -> None:
        """Start it again on what it has stored."""
        self._spawn(timeout)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _spawn(self, timeout: float) -> None:
        cell = self.cell
        cell.spawn(
            "server",
            "/usr/bin/prometheus-alertmanager",
            f"--config.file={cell.place}/alertmanager.yml",
            f"--storage.path={cell.place}/data",
            f"--web.listen-address=127.0.0.1:{cell.port}",
            "--cluster.listen-address=",  # alone: no gossip, no port of its own
            "--log.level=warn",
        )

        def missing() -> str:
            if not cell.lives("server"):
                raise LabError("the Alertmanager ended")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return ""
            except OSError:
                return "the Alertmanager does not answer"

        wait_for(missing, timeout)

    def _ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v2{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise LabError(f"{error.code}: {error.read().decode(errors='replace')}") from error


def _told(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
