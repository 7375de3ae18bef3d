"""A stand-in for slurmrestd over HTTP, in this process: it answers with recordings, as well or as badly as told.

What may go wrong (`hang`, `drip`, `cut`, `raw` …) is in tests/support/prometheus_server.py.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from tests.support import prometheus_server
from tests.support.http_server import Handler, Served
from tests.support.paths import DATA

RECORDED = DATA / "rest"
#: Version to its newest data parser.
VERSIONS = {"24.11": 42, "26.05": 45}


@cache
def recorded(version: str, name: str) -> bytes:
    """What that slurmrestd answered."""
    return (RECORDED / version / f"{name}.json").read_bytes()


def number(value: int) -> dict[str, Any]:
    """A number as slurmrestd writes it."""
    return {"set": True, "infinite": False, "number": value}


def record(job: int, state: str = "PENDING", nodes: str = "", **more: Any) -> dict[str, Any]:
    """A job as slurmrestd tells it, with that padding which makes a real record 8 KB."""
    return {
        "account": "ml", "job_id": job, "name": f"j{job}", "user_name": "alice", "job_state": [state], "nodes": nodes,
        "state_reason": "Priority", "tres_req_str": "gres/gpu=8", "start_time": number(1000 if nodes else 0),
    } | more  # fmt: skip


def token(seconds: float = 3600, user: str = "alice") -> str:
    """A token that ends then; nobody signed it."""
    parts = [{"alg": "HS256"}, {"exp": int(time.time() + seconds), "sun": user}]
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "x"])


class StandIn(Served):
    """`answers` holds the body of each path behind the version, `odd` what is done instead; "*" is every path but ping.

    A path that is in neither is not found, and so is every other data parser.
    """

    def __init__(self, folder: Path, version: str = "26.05", slurmdbd: bool = True, **settings: Any) -> None:
        super().__init__(_Handler)
        RestServer.forget()
        self.parser = VERSIONS[version]
        ping = json.loads(recorded(version, "ping"))
        ping["meta"]["plugin"]["accounting_storage"] = "accounting_storage/slurmdbd" if slurmdbd else ""
        self.answers: dict[str, Any] = {"ping/": ping}
        for path in ("nodes", "jobs", "partitions", "reservations", "diag"):
            self.answers[f"{path}/"] = recorded(version, path)
        self.answers |= {"jobs/state/": recorded(version, "states"), "job/1": recorded(version, "job_running")}
        self.odd: dict[str, prometheus_server.Odd] = {}
        self.seen: list[tuple[str, Any, Mapping[str, str]]] = []
        """Method and path, body and headers of every request but pings."""
        self.file = folder / "token"
        self.file.touch(mode=0o600)
        self.file.write_text(token())
        url = f"http://127.0.0.1:{self.port}"
        given = {"token_file": str(self.file), "deadline_s": 5.0} | settings
        self.settings = SlurmSettings(transport="rest", url=url, **given)

    @property
    def asked(self) -> list[str]:
        """Method and path of every request but pings, in order."""
        return [what for what, *_ in self.seen]

    def queue(self, *records: dict[str, Any]) -> None:
        """The whole queue, its states and each job alone."""
        self.answers["jobs/"] = {"jobs": records, "errors": []}
        self.answers["jobs/state/"] = {"jobs": [{"job_id": str(one["job_id"]), "state": one["job_state"]}
                                                for one in records]}  # fmt: skip
        for one in records:
            self.answers[f"job/{one['job_id']}"] = {"jobs": [one]}


class _Handler(Handler):
    """Answers a request of the API."""

    def answer(self) -> None:
        here, parts = self.stand_in, urlsplit(self.path)
        path = parts.path.removeprefix(f"/slurm/v0.0.{here.parser}/").removeprefix(f"/slurmdb/v0.0.{here.parser}/")
        what = path if self.command == "GET" else f"{self.command} {path}"
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        if not path.endswith("ping/"):
            here.seen.append((what, body, dict(self.headers)))
        odd = here.odd.get(what) or (here.odd.get("*") if not path.endswith("ping/") else None)
        if odd is not None:
            odd(self)
        elif what in here.answers:
            found = here.answers[what]
            self.send(found if isinstance(found, bytes) else json.dumps(found).encode())
        else:
            self.send(b"Unable find requested URL. Please view /openapi/v3 for API reference.", 404)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that http.server looks for
