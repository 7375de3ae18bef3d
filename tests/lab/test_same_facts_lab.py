"""One living Slurm without accounting, by commands and by slurmrestd with every data parser: the same facts of nodes
without GPUs, GRES that are not consumed, accounts of partitions, and GPUs however they were requested. And tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.clock import SystemClock
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.rest.client import RestServer
from collectors.slurm.rest.write import RestWriter
from collectors.slurm.sources import open_by_name, open_sources
from collectors.slurm.transport import SlurmTransport
from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.gate.planning import make_plan
from console.gate.preview import rows as lines_of
from console.health.xid_policy import default_policy
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.preflight.checks import PreflightReads
from tests.faults import fault
from tests.support.make import change_of

from . import rest
from .conf import HOST
from .place import wait_for
from .roots import SUITES
from .running import running
from .slurm import Lab
from .transports import PARSERS, ROWS, differences, known, rows, settings, strange

_COMMON = f"NodeHostname={HOST} NodeAddr=127.0.0.1 Port=9 CPUs=8 RealMemory=10000"
#: Nodes of other kinds, at which no slurmd listens, and partitions that not every account may use.
MORE = f"""\
NodeName=cpu[0001-0002] {_COMMON} State=UNKNOWN
NodeName=free0001 {_COMMON} Gres=gpu:a100:no_consume:4 State=UNKNOWN
NodeName=two0001 {_COMMON} Gres=gpu:a100:2,gpu:b200:6 State=UNKNOWN
PartitionName=mixed Nodes=cpu[0001-0002],free0001,two0001 State=UP DenyAccounts=bio,phys
PartitionName=paid Nodes=gpu[0001-0002] State=UP AllowAccounts=ml,bio
PartitionName=endless Nodes=gpu[0003-0004] MaxTime=UNLIMITED State=UP
"""
#: Name to the words of sbatch, and the GPUs that the job requests; those that run hold as many.
JOBS = {
    "none": ("-n1", 0),
    "per-node": ("-N2 --gpus-per-node=h100:2", 4),
    "gres": ("-n1 --gres=gpu:1", 1),
    "per-job": ("-n1 --gpus=2", 2),
    "per-task": ("-n3 --gpus-per-task=1", 3),
    "per-socket": ("-N2 -n2 --gpus-per-socket=h100:1 --sockets-per-node=2", 4),
    "array": ("-n1 -a 0-2 --gpus-per-node=1", 1),
    "endless": ("-p endless -n1 --gres=gpu:1 --time=UNLIMITED", 1),
}  # fmt: skip


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    for made in running(request.param, nodes=8, restd=True, extra=MORE):
        for held in ((), ("--hold",)):
            for name, (words, _) in JOBS.items():
                made.check(["sbatch", f"--job-name={name}", "--chdir=/tmp", "--output=/dev/null", *held, *words.split(),
                            "--wrap=exec sleep 900"])  # fmt: skip
        # Of both Slurm keeps the last; sbatch of 26.05 takes only one of them.
        both = ["sbatch", "--job-name=both", "--hold", "-n1", "--gres=gpu:1", "--gpus-per-node=2", "--wrap=true"]
        assert (made.run(both).returncode == 0) == (made.suite == "trixie")
        yield made


@pytest.fixture(autouse=True)
def path(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    yield
    RestServer.forget()


def transports(lab: Lab) -> dict[str, SlurmSettings]:
    return {"cli": settings(lab, "cli"), "rest": settings(lab)}


@pytest.mark.parametrize("kind", ROWS)
def test_every_data_parser_tells_the_same_as_the_commands(lab: Lab, kind: str) -> None:
    cli = open_by_name("cli", "lab", settings(lab))
    for parser in PARSERS[lab.suite]:
        with known(parser):
            opened = open_by_name("rest", "lab", settings(lab))

            def wrong(opened: SlurmTransport = opened, parser: int = parser) -> str:
                left = strange(kind, parser, differences(rows(cli, kind), rows(opened, kind)))
                return f"{parser}: {dict(list(left.items())[:5])}" if left else ""

            wait_for(wrong, 60)


@pytest.mark.parametrize("transport", ["cli", "rest"])
def test_what_it_tells_is_true(lab: Lab, transport: str) -> None:
    opened = open_by_name(transport, "lab", transports(lab)[transport])
    nodes, parts = rows(opened, "nodes"), rows(opened, "partitions")
    gpus = {name: (nodes[name].gpus, nodes[name].gpus_alloc) for name in ("cpu0001", "free0001", "two0001")}
    assert gpus == {"cpu0001": (0, 0), "free0001": (4, 0), "two0001": (8, 0)}
    accounts = {name: (parts[name].allow_accounts, parts[name].deny_accounts) for name in ("gpu", "mixed", "paid")}
    assert accounts == {"gpu": ("ALL", None), "mixed": ("ALL", "bio,phys"), "paid": ("ml,bio", None)}

    def untrue() -> str:
        """Jobs start one after the other."""
        jobs = rows(opened, "jobs")
        told = {(job.name, job.nodes is not None): (job.gpus, job.gpus_held, job.unlimited) for job in jobs.values()}
        true = {(name, held): (gpus, gpus if held else None, name == "endless")
                for name, (_, gpus) in JOBS.items() for held in (True, False)}  # fmt: skip
        if lab.suite == "trixie":
            true["both", False] = (1, None, False)
        return "" if told == true else str({key: (told.get(key), true.get(key)) for key in told.keys() | true.keys()
                                            if told.get(key) != true.get(key)})  # fmt: skip

    wait_for(untrue, 60)
    # By name too, as a preview reads them.
    ids = [key for key, job in rows(opened, "jobs").items() if job.nodes]
    named = opened.read_jobs(ids)
    assert {job.name: job.gpus_held for job in named.values()} == {name: gpus for name, (_, gpus) in JOBS.items()}


@pytest.mark.parametrize("transport", ["cli", "rest"])
def test_a_preview_says_that_a_job_has_no_time_limit(lab: Lab, transport: str) -> None:
    clock = SystemClock()
    cluster = begin("lab", [])
    for source in open_sources("lab", transports(lab)[transport])[:2]:
        cluster, _ = reduce(cluster, read("lab", source, clock))
        source.close()
    (job,) = [key for key, one in cluster.jobs.items() if one.name == "endless" and one.nodes]
    plan = make_plan(BY_ID["cancel"], [job], cluster, clock.now(), clock.mono(), Guard(), default_policy(), Options(),
                     PreflightReads())  # fmt: skip
    assert isinstance(plan, Plan)
    text = "\n".join(one.text for one in lines_of(plan))
    assert "no time limit" in text and "time left unknown" not in text


# -- tokens ------------------------------------------------------------------------------------------------------------


def signed(key: bytes, seconds: float = 3600, user: str = "carol") -> str:
    """A token with this key's signature."""
    now = int(time.time())
    head, body = (
        base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
        for one in ({"alg": "HS256", "typ": "JWT"}, {"iat": now, "exp": now + int(seconds), "sun": user})
    )
    mark = hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


@fault("slurmrestd", "a token that has expired, or of another key", "named so, with what to do; munge is not blamed")
@pytest.mark.parametrize("why", ["expired", "another cluster's key", "no token at all"])
def test_a_bad_token_is_named(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    key = (lab.folder / "jwt.key").read_bytes()
    bad = {"expired": signed(key, -5), "another cluster's key": signed(b"k" * 32), "no token at all": "x.y.z"}
    # A token that says itself that it has ended is not even sent: here the clocks differ.
    monkeypatch.setattr("collectors.slurm.rest.jwt._SKEW_S", 1e6)
    file.write_text(bad[why])
    chosen = SlurmSettings(transport="rest", url=rest.url(lab), token_file=str(file))
    opened = open_by_name("rest", "lab", chosen)
    asks: list[Callable[[], object]] = [opened.about, *(lambda kind=kind: rows(opened, kind) for kind in ROWS)]  # type: ignore[misc]
    for ask in asks:
        with pytest.raises(SourceFault) as caught:
            ask()
        found = caught.value.fault
        assert found.kind == "auth" and "refuses the token: it has expired, or the key of another cluster" in found.what
        assert f"write a new one to {file}" in found.mend and "munge" not in str(found)
    change = change_of(action="drain", kind="node", targets=("gpu0005",), reason="x")
    (sent,) = RestWriter(chosen).send(change)
    assert sent.fatal and "refuses the token" in sent.refused["gpu0005"]
    file.write_text(signed(key))
    assert len(rows(opened, "nodes")) == 12, "a file with a good one is read at once"


def test_a_token_of_our_own_that_is_refused_is_made_anew_at_once(lab: Lab) -> None:
    chosen = SlurmSettings(transport="rest", url=rest.url(lab), user="carol")
    opened = open_by_name("rest", "lab", chosen)
    tokens = RestServer.of(chosen).tokens
    assert tokens is not None
    for kind in ROWS:
        first = tokens.get(10.0)
        first._text = signed(b"k" * 32)  # the key was changed since
        assert rows(opened, kind)
        assert tokens.get(10.0) is not first
