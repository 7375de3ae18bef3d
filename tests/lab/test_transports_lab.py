"""The same Slurm over every transport and every data parser: the same facts, field by field, but for what is listed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from collectors.model import Job, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import rights
from collectors.slurm.rest import queue
from collectors.slurm.rest.client import RestServer
from collectors.slurm.sources import open_by_name
from collectors.slurm.transport import SlurmTransport

from . import rest
from .place import wait_for
from .roots import SUITES
from .running import running
from .scene import HOSTILE_NAMES, furnish
from .slurm import Lab
from .transports import ALLOWED, PARSERS, ROWS, differences, known, rows, settings, strange

EACH = [(suite, parser) for suite in SUITES for parser in PARSERS[suite]]
_SEEN: set[tuple[str, str]] = set()


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A machine in every state worth seeing, with jobs of every form."""
    options = {"nodes": 16, "restd": True, "accounting": True}
    for made in running(request.param, extra="SchedulerParameters=bf_interval=1,default_queue_depth=1000\n", **options):
        furnish(made)
        for words in (
            "--array=1-199:2", f"--array={','.join(map(str, range(1, 80, 3)))}", "-N2-4 --gpus=3", "--time=UNLIMITED",
            "-p gpu,long --gpus-per-task=2 -n3 --time=1-2", "-p long --gpus-per-socket=2 --sockets-per-node=2",
            "-n1 -p long : -n1 -p long",
        ):  # fmt: skip
            held = ("--hold", "--begin=now+1hour", "--chdir=/tmp", "--output=/dev/null")
            made.check(["sbatch", *held, *words.split(), "--wrap=true"])
        # slurmrestd of 26.05 tells a pattern as it was given, and beside it what it came to.
        made.check(["sbatch", *held[:3], "--job-name=patterns", "--output=%x-%j.%u", "--error=%A_%a", "--wrap=true"])
        yield made


@pytest.fixture(autouse=True)
def path(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    yield
    RestServer.forget()


@pytest.mark.parametrize("kind", ROWS)
def test_every_data_parser_tells_the_same_as_the_commands(lab: Lab, kind: str) -> None:
    chosen = settings(lab)
    cli = open_by_name("cli", "lab", chosen)
    for parser in PARSERS[lab.suite]:
        with known(parser):
            transport = open_by_name("rest", "lab", chosen)

            def wrong(transport: SlurmTransport = transport, parser: int = parser) -> str:
                found = differences(rows(cli, kind), rows(transport, kind))
                _SEEN.update((kind, field) for _, field in found)
                left = strange(kind, parser, found)
                return f"{parser}: {dict(list(left.items())[:5])}" if left else ""

            # Between two readings the machine moves on: a forecast, a load.
            wait_for(wrong, 60)
            assert transport.about().parser == f"v0.0.{parser}"


def test_every_difference_that_is_allowed_is_there() -> None:
    """One that is no longer needed fails too."""
    assert {(one.kind, one.field) for one in ALLOWED} <= _SEEN


def test_what_is_asked_for_by_name_is_the_same(lab: Lab) -> None:
    cli, transport = open_by_name("cli", "lab", settings(lab)), open_by_name("rest", "lab", settings(lab))
    jobs = rows(cli, "jobs")
    running_now = next(job for job in jobs.values() if job.name == "train-llm")
    sweep = [key for key, job in jobs.items() if job.name == "sweep"]
    few = [running_now.id, "99999", *sweep]

    def named(ids: list[str]) -> Mapping[str, Job]:
        """Without what the commands alone are asked for by name (`transport.LIMITS`)."""
        return {key: replace(job, nice=None, excluded=None) for key, job in cli.read_jobs(ids).items()}

    wait_for(lambda: str(differences(named(few), transport.read_jobs(few)) or ""), 60)
    wait_for(lambda: str(differences(named(list(jobs)), transport.read_jobs(list(jobs))) or ""), 60)
    names = ["gpu0001", "gpu0012", "gpu9999"]
    wait_for(lambda: str(differences(cli.read_nodes(names), transport.read_nodes(names)) or ""), 60)
    assert set(transport.read_jobs_on(["gpu0001", "gpu0009"])) == set(cli.read_jobs_on(["gpu0001", "gpu0009"])) != set()
    assert transport.read_jobs_on(["gpu0016"]) == {}
    patterns = next(job for job in jobs.values() if job.name == "patterns")
    assert cli.job_detail(patterns.id).stdout == f"/tmp/patterns-{patterns.id}.root"
    for job in (running_now.id, sweep[0], sweep[-1], patterns.id):
        assert transport.job_detail(job) == cli.job_detail(job)
    with pytest.raises(SourceFault, match="Slurm shows no job 99999"):
        transport.job_detail("99999")


def test_names_that_would_steer_are_shown_as_they_are_by_command(lab: Lab) -> None:
    names = {job.name for job in rows(open_by_name("rest", "lab", settings(lab)), "jobs").values()}
    assert len(names) > len(HOSTILE_NAMES) and names == {
        job.name for job in rows(open_by_name("cli", "lab", settings(lab)), "jobs").values()
    }


def test_the_controllers_figures(lab: Lab) -> None:
    one, other = (open_by_name(name, "lab", settings(lab)).reader("diag").read().diag for name in ("cli", "rest"))
    assert one is not None and other is not None
    assert (one.since, one.server_threads) == (other.since, other.server_threads)
    assert other.user_calls.keys() == one.user_calls.keys() and other.user_calls["root"] >= one.user_calls["root"]


@pytest.mark.parametrize("user", ["root", "alice", "bob", "carol"])
def test_rights_are_those_that_the_commands_tell(lab: Lab, tmp_path: Path, user: str) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(rest.token(lab, user))
    chosen = SlurmSettings(transport="rest", url=rest.url(lab), token_file=str(token))
    found = open_by_name("rest", "lab", chosen).reader("rights").read().rights
    told = rights.read((), 20.0, user if user != "root" else None)
    assert found is not None
    assert (found.user, found.level, found.nodes, found.jobs) == (told.user, told.level, told.nodes, told.jobs)


def test_a_token_is_made_where_none_is_named(lab: Lab) -> None:
    chosen = SlurmSettings(transport="rest", url=rest.url(lab), user="bob")
    transport = open_by_name("rest", "lab", chosen)
    assert transport.about().user == "bob" and len(rows(transport, "nodes")) == 16


def test_states_alone_keep_the_queue_true(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two whole readings of a large queue: what is new, started, held or gone, by its own id."""
    monkeypatch.setattr(queue, "SMALL", 0)
    cli, transport = open_by_name("cli", "lab", settings(lab)), open_by_name("rest", "lab", settings(lab))
    reader = transport.reader("jobs")
    assert reader.read().warnings == () and (reader.size or 0) > 100_000

    def alike() -> str:
        found, size = reader.read(), reader.size
        assert found.jobs is not None and found.warnings[0].startswith("states are new")
        assert size is not None and size < 250_000
        left = differences(rows(cli, "jobs"), found.jobs)
        # Forecasts, waiting reasons and priorities are as old as the warning says.
        left = {key: values for key, values in left.items() if key[1] not in {"expected", "reason", "priority"}}
        return str(strange("jobs", 42, left) or "")

    wait_for(alike, 60)
    (array,) = lab.submit(1, user="alice", array="0-5%2", gpus=1, seconds=600, name="fresh", nodelist="gpu0016",
                          partition="long", time_limit="10:00")  # fmt: skip
    (single,) = lab.submit(1, user="bob", name="gone", hold=True)
    lab.wait_jobs("RUNNING", [f"{array}_0", f"{array}_1"])
    wait_for(alike, 60)
    lab.check(["scancel", single, f"{array}_0"])
    lab.wait_jobs("RUNNING", [f"{array}_2"])
    wait_for(alike, 60)
    lab.check(["scancel", array])
    wait_for(alike, 60)
