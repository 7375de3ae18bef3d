"""The exporters of a simulated machine over HTTP, for a real Prometheus to scrape: DCGM, IPMI and power units.

    python -m collectors.sim.exporters.exporters --nodes 64 --port 9400

| path | what answers |
|---|---|
| `/dcgm/NODE/metrics` | dcgm-exporter of one node; 404 where it is down, silent or unknown, never zeros |
| `/dcgm/NODE/2/metrics` | the second exporter of a node that has two |
| `/dcgm/metrics` | all of them in one answer |
| `/ipmi/NODE/metrics`, `/ipmi/metrics` | the IPMI exporter of a node, or of all with the label `instance` |
| `/pdu/metrics` | the power units of all racks |
| `/cooling/metrics` | the CDUs, and the leak detectors of the racks on them |
| `/node/NODE/metrics`, `/node/metrics` | node_exporter of a node (ports, mounts, checks, versions), or of all |
| `/lustre/metrics`, `/links/metrics` | lustre_exporter of the servers; which switch each port leads to |
| `/targets/dcgm`, `/targets/ipmi`, `/targets/node` | targets as `http_sd_configs` wants them, one a node |
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec.structs import replace

from collectors.model import Gpu
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.plant import checkups
from collectors.source_registry import modules_with

from .dcgm import DEFAULT, FIELDS, ExporterOptions, labels_of, number, text
from .node_exporter import PORT as NODE_PORT
from .node_exporter import NodeExporterText

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Ports of the real exporters: what `instance` says behind the node's name.
DCGM_PORT, IPMI_PORT = 9400, 9290
XID_WINDOW_S = 300
#: Subjects of the plant with series of their own: what is served at `/SUBJECT/metrics`.
_SERVED: Mapping[str, Callable[[Machine], str]] = {
    module.__name__.rpartition(".")[2]: module.exposition
    for module in modules_with("exposition", "collectors.sim.plant")
}


class Exporter:
    """Serves one cluster, from `start` to `stop`. `options` may be changed meanwhile."""

    def __init__(
        self, machine: Machine, options: ExporterOptions | None = None, fields: Sequence[str] | None = None
    ) -> None:
        """`fields` names the DCGM fields to serve, None for the default ones. Raises KeyError for an unknown one."""
        self.machine = machine
        self._text = NodeExporterText(machine.site, machine.links, machine.storage)
        self.options = options or ExporterOptions()
        self.fields = DEFAULT if fields is None else tuple(FIELDS[name] for name in fields)
        self.requests: Counter[str] = Counter()
        """Path to its number of requests."""
        self.port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    # -- answers ------------------------------------------------------------------------------------------------

    def answer(self, path: str) -> str | None:
        """The text at a path, None if there is none."""
        self.machine.advance()
        match [word for word in path.partition("?")[0].split("/") if word]:
            case ["dcgm", "metrics"]:
                return self._dcgm(list(self.machine.site.by_name)) or "\n"
            case ["dcgm", node, "metrics"]:
                return self._dcgm([node], first=True)
            case ["dcgm", node, "2", "metrics"] if node in self.options.two_exporters:
                return self._dcgm([node])
            case ["ipmi", "metrics"]:
                return self._ipmi(list(self.machine.site.by_name), one=False)
            case ["ipmi", node, "metrics"]:
                return self._ipmi([node], one=True) or None
            case ["pdu", "metrics"]:
                return self._pdu()
            case ["node", "metrics"]:
                return self._node(list(self.machine.site.by_name), one=False)
            case ["node", node, "metrics"]:
                return self._node([node], one=True) or None
            case ["lustre", "metrics"]:
                return self._text.lustre()
            case ["links", "metrics"]:
                return self._text.links()
            case ["targets", ("dcgm" | "ipmi" | "node") as what]:
                return self._discovered(what)
            case [subject, "metrics"] if (served := _SERVED.get(subject)) is not None:
                return served(self.machine)
        return None

    def gpus(self, node: str) -> tuple[Gpu, ...]:
        """The simulated values behind a node's exporter; empty if it does not answer."""
        return () if node in self.options.silent or node in self.options.hangs else self.machine.gpus(node)

    def series(self) -> int:
        """Number of series over all exporters of a DCGM field that exists for every MIG instance."""
        return sum(
            (1 + (node in self.options.two_exporters)) * len(labels_of(gpu, self.options))
            for node in self.machine.site.by_name
            for gpu in self.gpus(node)
            if gpu.lost is None
        )

    def _dcgm(self, nodes: list[str], first: bool = False) -> str | None:
        """The answer of the exporters of these nodes; with `first`, of the first one of nodes with two."""
        gpus = [gpu for node in nodes for gpu in self.gpus(node)]
        options = (
            replace(self.options, newer=self.options.newer - self.options.two_exporters) if first else self.options
        )
        fabric = self.machine.nvlink.text(gpus, options)
        return text(gpus, options, self.fields, self._recent_xids() if options.extra else {}) + fabric or None

    def _recent_xids(self) -> dict[tuple[str, int], dict[int, int]]:
        found: dict[tuple[str, int], dict[int, int]] = {}
        for row in self.machine.xids().values():
            since = self.machine.now - XID_WINDOW_S
            if row.gpu is not None and (row.last_at or 0) > since:
                # For older XIDs the number within the window is not recorded.
                count = row.count if (row.first_at or 0) > since else 1
                found.setdefault((row.node, row.gpu), {})[row.code] = count or 1
        return found

    def _ipmi(self, nodes: list[str], one: bool) -> str:
        """The exporter runs on the node and reads its BMC: it answers if the node does, whatever DCGM does."""
        lines = []
        for node in nodes:
            watts = self.machine.node_power(node)
            if watts is not None:
                labels = "" if one else f'{{instance="{node}:{IPMI_PORT}"}}'
                lines.append(f"ipmi_dcmi_power_consumption_watts{labels} {number(watts)}")
        return _family("ipmi_dcmi_power_consumption_watts", "Current power consumption in Watts.", lines)

    def _pdu(self) -> str:
        lines = [
            f'pdu_power_watts{{rack="{rack}",pdu="{pdu}"}} {number(watts)}'
            for (rack, pdu), watts in self.machine.pdus().items()
            if watts
        ]
        return _family("pdu_power_watts", "Active power of all outlets in Watts.", lines)

    def _node(self, nodes: list[str], one: bool) -> str:
        """The exporter runs on the node and answers if the node does."""
        site = self.machine.site
        with self.machine.locked():
            hosts = [site.hosts[site.by_name[node]] for node in nodes if node in site.by_name]
            return self._text.text(hosts, one) + checkups.text(hosts, one, NODE_PORT, self.machine.now)

    def targets(self, what: str) -> dict[str, str]:
        """Path to instance of all exporters of kind "dcgm", "ipmi" or "node"."""
        port = {"dcgm": DCGM_PORT, "ipmi": IPMI_PORT, "node": NODE_PORT}[what]
        found: dict[str, str] = {}
        for node in self.machine.site.by_name:
            host = self.options.instance_host.get(node, node)
            found[f"/{what}/{node}/metrics"] = f"{host}:{port}"
            if what == "dcgm" and node in self.options.two_exporters:
                found[f"/{what}/{node}/2/metrics"] = f"{host}:{port + 1}"
        return found

    def _discovered(self, what: str) -> str:
        here = f"127.0.0.1:{self.port}"
        return json.dumps([
            {"targets": [here], "labels": {"__metrics_path__": path, "instance": instance}}
            for path, instance in self.targets(what).items()
        ])  # fmt: skip

    # -- serving -------------------------------------------------------------------------------------------------------

    def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Serve in threads of this process. Returns the port, a free one for 0. Raises OSError if it is in use."""
        self._ending.clear()
        self._server = _Server((host, port), _Handler)
        self._server.exporter = self
        self.port = self._server.server_address[1]
        name = f"exporter-{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name=name, daemon=True)
        self._thread.start()
        return self.port

    def stop(self) -> None:
        """Stop serving and end requests that hang. Does nothing if it is stopped."""
        self._ending.set()
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        if server is not None and thread is not None:
            server.shutdown()
            server.server_close()
            thread.join()

    def __enter__(self) -> Exporter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hang(self, path: str) -> bool:
        """Block if the exporter at this path hangs, until it is repaired or stopped. True if it hung."""
        words = [word for word in path.split("/") if word]
        hung = False
        while len(words) > 2 and words[0] == "dcgm" and words[1] in self.options.hangs and not self._ending.is_set():
            hung = True
            self._ending.wait(0.1)
        return hung


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    block_on_close = False
    exporter: Exporter

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore scrapers that disconnect early; report all other errors."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        exporter = self.server.exporter
        exporter.requests[self.path] += 1
        if exporter.hang(self.path):
            self.close_connection = True
            return
        answer = exporter.answer(self.path)
        body = (answer if answer is not None else "nothing answers here\n").encode()
        self.send_response(200 if answer is not None else 404)
        self.send_header("Content-Type", "application/json" if self.path.startswith("/targets") else CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: this runs inside tests."""


def _family(name: str, about: str, samples: list[str]) -> str:
    if not samples:
        return ""
    return "\n".join([f"# HELP {name} {about}", f"# TYPE {name} gauge", *samples]) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m collectors.sim.exporters.exporters", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--port", type=int, default=DCGM_PORT)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--hostname", default="Hostname", choices=("Hostname", "hostname"), help="spelling of the label"
    )
    parser.add_argument("--newer", action="store_true", help="with the names and units of dcgm-exporter 4.9 and later")
    parser.add_argument("--jobs", action="store_true", help="with job mapping")
    parser.add_argument("--extra", action="store_true", help="with the fields that are off by default")
    parser.add_argument("--nvl72", action="store_true", help="racks of 18 trays with 4 GPUs, each an NVLink domain")
    chosen = parser.parse_args(words)
    machine = Machine(SimSettings(nodes=chosen.nodes, seed=chosen.seed, nvl72=chosen.nvl72))
    newer = frozenset(machine.site.by_name) if chosen.newer else frozenset()
    options = ExporterOptions(hostname=chosen.hostname, jobs=chosen.jobs, extra=chosen.extra, newer=newer)
    exporter = Exporter(machine, options)
    try:
        port = exporter.start(chosen.port, chosen.host)
    except OSError as error:
        print(f"port {chosen.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{chosen.nodes} nodes: http://{chosen.host}:{port}/dcgm/metrics", flush=True)  # noqa: T201
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        exporter.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
