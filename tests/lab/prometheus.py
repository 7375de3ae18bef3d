"""A real Prometheus, or a real VictoriaMetrics, that scrapes the simulated machine's exporters.

    with Monitor("prometheus-3", rules=[path]) as monitor:
        monitor.wait_for_samples()
        monitor.values("sum by (Hostname) (DCGM_FI_DEV_POWER_USAGE)")

The server runs from the lab's roots, in namespaces of its own under `init.py`, and ends with the process that started
it, even by SIGKILL. The machine stands still until `monitor.clock` moves, and what tests do to it, or to the exporter,
is scraped from the next `settle` or `wait_for_samples` on: until then a process of its own serves what was.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.exporters.dcgm import ExporterOptions
from collectors.sim.exporters.exporters import Exporter
from collectors.sim.machine import Machine

from .backfill import FIELDS, Sample, history
from .cell import Cell, Daemon
from .place import wait_for
from .roots import LabError, add_to, lab_unsupported, root_of
from .shelf import HANG, Shelf


@dataclass(frozen=True, slots=True)
class Engine:
    """A server that answers Prometheus's API, and the suite whose root holds it."""

    suite: str
    title: str
    victoria: bool = False


ENGINES = {
    "prometheus-2": Engine("trixie", "Prometheus 2.53"),
    "prometheus-3": Engine("forky", "Prometheus 3.5"),
    "victoria": Engine("trixie", "VictoriaMetrics", victoria=True),
}
#: The memory in use, under the names before dcgm-exporter 4.9 and since. Each by itself: VictoriaMetrics finds a new
#: series by a pattern of names some seconds before it finds it by the name that the readings ask for.
HELD = ("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_USED_BYTES")
NODES = 64
"""Enough that the machine has its oddities: a silent exporter, a GPU busy without a job, an XID nobody acted on."""


def engine_root(engine: str) -> Path:
    """The root that holds an engine, made or completed now. Raises LabError."""
    reason = lab_unsupported()
    if reason:
        raise LabError(reason)
    chosen = ENGINES[engine]
    return (
        add_to(chosen.suite, "victoria-metrics", "vmalert", "victoria-metrics")
        if chosen.victoria
        else root_of(chosen.suite)
    )


class QueryError(Exception):
    """The server refused: its words, with the HTTP status as `status`."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


class Monitor(Daemon):
    """One server and its exporter. Nothing is touched before `start`; `stop` leaves nothing behind.

    `per_node` scrapes every node's exporter by itself, as a site does; False takes all in one answer, which is what
    large machines are for. `rules` are rule files, loaded by Prometheus itself or by vmalert beside VictoriaMetrics;
    what alerts they fire goes to the `alertmanager` at that address. `slurmctld` are addresses of controllers whose own
    metrics are scraped too, of nodes and of jobs each. With `plant` node_exporter of every node, lustre_exporter and
    the list of which switch a port leads to are scraped as well.
    """

    what = "monitor"

    def __init__(
        self,
        engine: str = "prometheus-3",
        *,
        nodes: int = NODES,
        machine: Machine | None = None,
        odd: ExporterOptions | None = None,
        fields: Sequence[str] | None = None,
        rules: Sequence[Path] = (),
        alertmanager: str | None = None,
        per_node: bool = True,
        scrape_s: float = 1.0,
        slurmctld: Sequence[str] = (),
        plant: bool = False,
    ) -> None:
        self.engine = engine
        self.kind = ENGINES[engine]
        self.clock = ManualClock(now=time.time())
        self.machine = machine or Machine(SimSettings(nodes=nodes), self.clock)
        self.exporter = Exporter(self.machine, odd, fields)
        self._rules = tuple(rules)
        self._alertmanager = alertmanager
        self._per_node = per_node
        self._scrape_s = scrape_s
        self._slurmctld = tuple(slurmctld)
        self._plant = plant
        self._shelf = Shelf()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 60.0) -> Monitor:
        """Up and answering when it returns; samples follow within two scrapes. Raises LabError, leaving nothing."""
        engine_root(self.engine)
        with self._starting(Cell(self.kind.suite, self.engine)):
            self.exporter.port = self._shelf.start()
            self.publish()
            self._lay_out()
            self.cell.start()
            self._start_server(timeout)
        return self

    def stop(self) -> None:
        """End the server and its exporter and remove what they wrote. Harmless when it is not running."""
        self._shelf.stop()
        super().stop()

    # -- use ----------------------------------------------------------------------------------------------------------

    def query(self, text: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query, as the API gives it. Raises QueryError for a refusal."""
        words = {"query": text} if at is None else {"query": text, "time": f"{at:.3f}"}
        return list(self._ask("/api/v1/query", words)["result"])

    def query_range(self, text: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The result of a range query, as the API gives it. Raises QueryError for a refusal."""
        words = {"query": text, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return list(self._ask("/api/v1/query_range", words)["result"])

    def values(self, text: str, label: str = "Hostname", at: float | None = None) -> dict[str, float]:
        """An instant vector as a mapping from one label to the value: one series each, or LabError."""
        found: dict[str, float] = {}
        for row in self.query(text, at):
            key = row["metric"].get(label, "")
            if key in found:
                raise LabError(f"two series for {label}={key!r}: {text}")
            found[key] = float(row["value"][1])
        return found

    def wait_for_samples(self, text: str | None = None, count: int | None = None, timeout: float = 60) -> int:
        """Wait until a query gives exactly `count` series; by default `HELD`, as many as the exporters now serve."""
        texts = HELD if text is None else (text,)
        wanted = self.exporter.series() if count is None else count
        self.publish()

        def missing() -> str:
            self._flush()
            found = sum(len(self.query(text)) for text in texts)
            return "" if found == wanted else f"{found} of {wanted} series of {' and '.join(texts)}"

        wait_for(missing, timeout)
        return wanted

    def settle(self, timeout: float = 60) -> None:
        """Wait until every target was scraped twice again: what it says then is the present."""
        self.publish()
        before, paths = self._shelf.asked(), self._scraped()

        def missing() -> str:
            asked = self._shelf.asked()
            late = sum(asked[path] < before[path] + 2 for path in paths)
            return f"{late} of {len(paths)} targets were not scraped again" if late else ""

        wait_for(missing, timeout)
        self._flush()

    def publish(self) -> bool:
        """Let the exporters say what is now; returns whether that differs from before."""
        odd, answer = self.exporter.options, self.exporter.answer
        hung = {path for path in self._scraped() if path.split("/")[1] == "dcgm" and path.split("/")[2] in odd.hangs}
        texts = {path: HANG if path in hung else answer(path) for path in self._scraped()}
        targets = ("/targets/dcgm", "/targets/ipmi", "/targets/node")
        return self._shelf.put(texts | {path: answer(path) for path in targets})

    def _scraped(self) -> list[str]:
        """The paths of all targets."""
        nodes = ["/dcgm/metrics", "/ipmi/metrics"]
        if self._per_node:
            nodes = [path for what in ("dcgm", "ipmi") for path in self.exporter.targets(what)]
        plant = [*self.exporter.targets("node"), "/lustre/metrics", "/links/metrics"] if self._plant else []
        return [*nodes, "/pdu/metrics", "/cooling/metrics", *plant]

    def reset(self) -> None:
        """No oddities any more, and the server knows it. What a test did to the machine stays."""
        self.exporter.options = ExporterOptions()
        if self.publish():
            self.settle()
            self.wait_for_samples()

    def backfill(
        self,
        hours: float = 6,
        step: int = 60,
        nodes: Sequence[str] | None = None,
        fields: Sequence[str] = FIELDS,
    ) -> int:
        """Give the server the machine's past, as if it had scraped it; returns the number of samples.

        The series are those it scrapes (dcgm, ipmi, pdu). Prometheus is restarted for it, which takes a second.
        """
        chosen = list(self.machine.site.by_name) if nodes is None else list(nodes)
        samples = history(self.exporter, hours, step, chosen, fields)
        return self._import(samples) if self.kind.victoria else self._rebuild(samples)

    def restart(self, timeout: float = 60) -> None:
        """Stop the server and start it again on what it has stored."""
        self._stop_server(timeout)
        self._start_server(timeout)

    def signal_server(self, number: int) -> None:
        """SIGSTOP makes a server that accepts connections and never answers; SIGCONT heals it."""
        self.cell.signal("server", number)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _ask(self, path: str, words: dict[str, str], timeout: float = 30) -> Any:
        request = urllib.request.Request(self.url + path, urllib.parse.urlencode(words).encode())
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(error.code, error.read().decode(errors="replace")) from error

    def _get(self, path: str, timeout: float = 5) -> str:
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return str(answer.read().decode())

    def _flush(self) -> None:
        """VictoriaMetrics shows new samples to queries about a second late."""
        if self.kind.victoria:
            self._get("/internal/force_flush")

    def _lay_out(self) -> None:
        folder = self.cell.folder
        for child in ("data", "rules"):
            (folder / child).mkdir(mode=0o755)
        for rule in self._rules:
            (folder / "rules" / rule.name).write_bytes(rule.read_bytes())
        (folder / "scrape.yml").write_text(self._configuration())

    def _configuration(self) -> str:
        """One of the settings files that both servers read; JSON is YAML."""
        here = f"127.0.0.1:{self.exporter.port}"
        jobs: list[dict[str, Any]] = []
        for name in ("dcgm", "ipmi", *(("node",) if self._plant else ())):
            if self._per_node:
                found = {"url": f"http://{here}/targets/{name}", "refresh_interval": "1s"}
                if self.kind.victoria:
                    del found["refresh_interval"]
                jobs.append({"job_name": name, "http_sd_configs": [found]})
            else:
                target = {"targets": [here], "labels": {"instance": "all"}}
                jobs.append(
                    {"job_name": name, "metrics_path": f"/{name}/metrics", "honor_labels": True}
                    | {"static_configs": [target]}
                )
        racks = {"targets": [here], "labels": {"instance": "racks"}}
        for name in ("pdu", "cooling", *(("lustre", "links") if self._plant else ())):
            jobs.append({"job_name": name, "metrics_path": f"/{name}/metrics", "static_configs": [racks]})
        for kind in ("nodes", "jobs") if self._slurmctld else ():
            jobs.append({"job_name": f"slurm-{kind}", "metrics_path": f"/metrics/{kind}"}
                        | {"static_configs": [{"targets": self._slurmctld}]})  # fmt: skip
        every = f"{int(self._scrape_s * 1000)}ms"
        common = {"scrape_interval": every, "scrape_timeout": every}
        if self.kind.victoria:
            return json.dumps({"global": common, "scrape_configs": jobs})
        rules: dict[str, Any] = {"rule_files": [f"{self.cell.place}/rules/*"]} if self._rules else {}
        if self._alertmanager:
            there = {"targets": [self._alertmanager.removeprefix("http://")]}
            rules["alerting"] = {"alertmanagers": [{"static_configs": [there]}]}
        return json.dumps({"global": common | {"evaluation_interval": every}, "scrape_configs": jobs} | rules)

    def _start_server(self, timeout: float) -> None:
        cell, at, port = self.cell, self.cell.place, self.cell.port
        if self.kind.victoria:
            cell.spawn(
                "server",
                "/usr/bin/victoria-metrics",
                f"-httpListenAddr=127.0.0.1:{port}",
                f"-storageDataPath={at}/data",
                f"-promscrape.config={at}/scrape.yml",
                "-promscrape.httpSDCheckInterval=1s",
                "-search.latencyOffset=0s",  # by default the newest 30 s are kept from queries
                "-retentionPeriod=2y",
                "-promscrape.maxScrapeSize=1GiB",  # all nodes in one answer
                "-search.maxUniqueTimeseries=1000000",
                "-memory.allowedBytes=1GiB",
                "-loggerLevel=WARN",
            )
        else:
            cell.spawn(
                "server",
                "/usr/bin/prometheus",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.tsdb.path={at}/data",
                f"--config.file={at}/scrape.yml",
                "--storage.tsdb.retention.time=2y",
                "--web.enable-lifecycle",
                "--log.level=warn",
            )
        self._wait_ready("/health" if self.kind.victoria else "/-/ready", timeout)
        if self.kind.victoria and self._rules:
            cell.spawn(
                "vmalert",
                "/usr/bin/vmalert",
                f"-rule={at}/rules/*",
                f"-datasource.url={self.url}",
                f"-remoteWrite.url={self.url}",
                f"-evaluationInterval={int(self._scrape_s * 1000)}ms",
                "-remoteWrite.flushInterval=100ms",
                "-rule.evalDelay=0s",
                f"-httpListenAddr=127.0.0.1:{port + 1}",
                "-loggerLevel=WARN",
                *([f"-notifier.url={self._alertmanager}"] if self._alertmanager else []),
            )

    def _wait_ready(self, path: str, timeout: float) -> None:
        def missing() -> str:
            if not self.cell.lives("server"):
                raise LabError("the server ended")
            try:
                self._get(path, timeout=1)
            except (OSError, urllib.error.HTTPError):
                return "the server does not answer"
            return ""

        wait_for(missing, timeout)

    def _stop_server(self, timeout: float) -> None:
        for name in ("vmalert", "server"):
            self.cell.end(name, timeout)

    # -- the past -----------------------------------------------------------------------------------------------------

    def _rebuild(self, samples: Iterator[Sample]) -> int:
        """Prometheus takes old samples as blocks, beside a server that stands still."""
        cell, count = self.cell, 0
        with (cell.folder / "past.txt").open("w") as out:
            for labels, value, at in samples:
                out.write(f"{labels} {value} {at}\n")
                count += 1
            out.write("# EOF\n")
        self._stop_server(20)
        words = ("tsdb", "create-blocks-from", "openmetrics", f"{cell.place}/past.txt", f"{cell.place}/data")
        cell.run("/usr/bin/promtool", *words)
        (cell.folder / "past.txt").unlink()
        self._start_server(20)
        return count

    def _import(self, samples: Iterator[Sample]) -> int:
        """VictoriaMetrics takes old samples as they are, in its text format with milliseconds."""
        count, lines = 0, []
        for labels, value, at in samples:
            lines.append(f"{labels} {value} {at}000\n")
            count += 1
        body = "".join(lines).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/import/prometheus", body, {"Content-Type": "text/plain"})
        with urllib.request.urlopen(request, timeout=120):
            pass
        self._flush()
        self._get("/internal/resetRollupResultCache")
        return count
