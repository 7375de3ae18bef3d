"""Partitions, reservations and users through the gate on a living Slurm of each version, with accounts: every action
done, refused and taken back, what another changed meanwhile, and who may."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator

import msgspec
import pytest

from collectors.clock import SystemClock
from collectors.model import Cluster
from collectors.nodeset import names_in
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import CliWriter
from collectors.slurm.sources import open_sources, open_transport
from console.actions.options import Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.cli.act import run_act, sources_of, undoing
from console.gate import preflight_reads
from console.gate.gate import Gate, open_writer
from console.journal.still_closed import still_closed, still_closed_lines
from console.journal.writer import Journal
from console.session.snapshot import take
from tests.support.make import change_of

from .accounting import ACCOUNT
from .place import wait_for
from .roots import SUITES
from .running import running
from .slurm import Lab

pytestmark = pytest.mark.lab
SETTINGS = SlurmSettings()
HOUR = 3600


@pytest.fixture(scope="module", params=SUITES)
def books(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with slurmdbd whose limits count: bob is an Operator, carol an Administrator."""
    extra = "AccountingStorageEnforce=associations,limits\n"
    yield from running(request.param, nodes=8, accounting=True, extra=extra)


class Site:
    """The lab as `wacht act` sees it."""

    def __init__(self, lab: Lab, folder, patch: pytest.MonkeyPatch) -> None:
        self.lab, self.clock, self.path, self._patch = lab, SystemClock(), folder / "lab.jsonl", patch
        self.become("root")
        self.transport = open_transport("lab", SETTINGS)

    def become(self, user: str) -> None:
        folder = self.lab.bin_dir if user == "root" else self.lab.bin_dir_as(user)
        self._patch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def cluster(self, action: str = "undo") -> Cluster:
        sources = [one for one in open_sources("lab", SETTINGS) if one.name in sources_of(action)]
        return take("lab", sources, self.clock, False)

    def gate(self) -> Gate:
        return Gate("lab", lambda _: open_writer("slurm", "lab", SETTINGS), self.transport,
                    lambda: Journal(self.path, "lab", self.clock), self.clock)  # fmt: skip

    def act(self, action: str, *words: str, reason: str | None = None, said=None, seconds=None, value=None,
            glass=False, **more) -> int:  # fmt: skip
        options = Options(settings=said or {}, seconds=seconds, value=value, break_glass=glass)
        return self._run(self.cluster(action), action, words, reason, options, **more)

    def undo(self, **more) -> int:
        cluster = self.cluster()
        found, _ = undoing(self.path, (), cluster, self.clock.now())
        return self._run(cluster, found.action, found.targets, found.reason, found.options, **more)

    def _run(self, cluster, action, words, reason, options, **more) -> int:
        out, err = io.StringIO(), io.StringIO()

        def look(names):
            return preflight_reads.read_for(BY_ID[action], names, cluster, self.transport, None, {})

        ended = run_act(self.gate(), cluster, action, words, reason=reason, options=options, out=out, err=err,
                        look=look if preflight_reads.needs_reads(BY_ID[action]) else None, deadline_s=10,
                        **more)  # fmt: skip
        self.told = out.getvalue() + err.getvalue()
        return ended

    def partition(self, name: str) -> str:
        return self.transport.read_partitions([name])[name].state

    def reason(self, job: str) -> str:
        return self.lab.check(["squeue", "-h", "-j", job, "-o", "%r"]).strip()


@pytest.fixture
def site(books: Lab, tmp_path, monkeypatch) -> Iterator[Site]:
    made = Site(books, tmp_path, monkeypatch)
    yield made
    made.become("root")
    books.cancel_all()
    for name in made.transport.read_reservations(["w1", "w2", "w3"]):
        books.check(["scontrol", "delete", f"ReservationName={name}"])
    for name in ("gpu", "debug"):
        books.check(["scontrol", "update", f"PartitionName={name}", "State=UP"])
    books.check(["sacctmgr", "-i", "modify", "user", "where", "name=alice", "set", "MaxSubmitJobs=-1"])


def test_a_partition_goes_down_and_comes_back(site: Site) -> None:
    (runs,) = site.lab.submit(1, user="alice")
    site.lab.wait_jobs("RUNNING", [runs])
    assert site.act("partition-down", "gpu", reason="cooling", glass=True, count=1) == 0, site.told
    assert site.partition("gpu") == "DOWN" and "1 job of gpu, until they end" in site.told
    (waits,) = site.lab.submit(1, user="alice")
    wait_for(lambda: "" if site.reason(waits) == "PartitionDown" else site.reason(waits), 60)
    assert site.lab.job_states([runs])[runs] == "RUNNING"
    records = [json.loads(line) for line in site.path.read_text().splitlines()]
    (text,) = still_closed_lines(site.cluster(), still_closed(records), site.clock.now(), site.clock.mono())
    assert text.startswith("gpu is DOWN for ") and text.endswith(": cooling")
    assert site.act("partition-down", "gpu", reason="x", glass=True, count=1) == 2 and "it is DOWN already" in site.told
    assert site.undo(yes=True) == 0 and site.partition("gpu") == "UP", site.told
    site.lab.wait_jobs("RUNNING", [waits])


def test_what_another_did_to_a_partition_meanwhile_stands(site: Site) -> None:
    gate = site.gate()
    plan = gate.plan("partition-down", ["gpu", "debug"], "cooling", site.cluster("partition-down"))
    assert isinstance(plan, Plan)
    site.lab.check(["scontrol", "update", "PartitionName=debug", "State=DRAIN"])
    outcome = gate.follow(gate.send(plan, plan.confirmation.prompt), 10)
    assert outcome.results["debug"].why == "it was set DRAIN meanwhile"
    assert outcome.results["gpu"].state == "done" and site.partition("debug") == "DRAIN"


def test_an_administrator_may_shut_a_partition_and_an_operator_may_not(site: Site) -> None:
    site.become("bob")
    assert site.act("partition-down", "gpu", reason="x", glass=True, count=1) == 1
    assert "failed  1  gpu" in site.told and site.partition("gpu") == "UP", site.told
    site.become("carol")
    assert site.act("partition-down", "gpu", reason="x", glass=True, count=1) == 0, site.told
    assert site.act("partition-up", "gpu", yes=True) == 0 and site.partition("gpu") == "UP"


def test_a_reservation_from_its_making_to_its_undo(site: Site) -> None:
    nodes = ("gpu0002", "gpu0003")
    site.become("bob")  # an Operator may
    said = {"name": "w1", "start": "now", "users": "alice"}
    assert site.act("reserve", *nodes, said=said, seconds=2 * HOUR, reason="a course", count=2) == 0, site.told
    row = site.transport.read_reservations(["w1"])["w1"]
    assert (row.users, row.comment, set(names_in(row.nodes))) == ("alice", "a course", set(nodes))
    assert row.ends is not None and abs(row.ends - time.time() - 2 * HOUR) < 90
    assert site.act("extend", "w1", value="1h", yes=True) == 0, site.told
    assert site.transport.read_reservations(["w1"])["w1"].ends == row.ends + HOUR
    assert site.act("extend", "w1", value="-90m", count=1) == 0 and "1h 30m sooner" in site.told
    assert site.undo(yes=True) == 0, site.told
    assert site.transport.read_reservations(["w1"])["w1"].ends == row.ends + HOUR
    (inside,) = site.lab.submit(1, user="alice", reservation="w1")
    site.lab.wait_jobs("RUNNING", [inside])
    (bound,) = site.lab.submit(1, user="alice", reservation="w1", begin="now+1hour")
    assert site.act("unreserve", "w1", yes=True) == 2 and inside in site.told, "told beforehand"
    change = change_of(action="unreserve", kind="reservation", targets=("w1",))
    sent = CliWriter(deadline_s=10).send(change)
    assert "in use" in sent[0].refused["w1"], "as Slurm says"
    site.lab.check(["scancel", inside])
    assert site.act("unreserve", "w1", yes=True) == 2 and f"1 job waits ({bound} alice)" in site.told
    sent = CliWriter(deadline_s=10).send(change)
    assert "in use" in sent[0].refused["w1"], "of a job that only waits for it Slurm says the same"
    site.lab.check(["scancel", bound])
    wait_for(lambda: "" if site.act("unreserve", "w1", yes=True) == 0 else site.told, 60)
    assert site.undo(count=2) == 0, site.told
    again = site.transport.read_reservations(["w1"])["w1"]
    assert (again.users, again.comment, again.nodes) == ("alice", "a course", row.nodes)
    assert again.ends is not None and abs(again.ends - row.ends - HOUR) <= 60


def test_jobs_in_the_way_and_what_slurm_says_of_them(site: Site) -> None:
    (runs,) = site.lab.submit(1, gpus=1, nodelist="gpu0004")
    site.lab.wait_jobs("RUNNING", [runs])
    said = {"name": "w2", "start": "now", "flags": "MAINT"}
    assert site.act("reserve", "gpu0004", "gpu0005", said=said, seconds=HOUR, count=2) == 2
    assert f"past its start ({runs})" in site.told and "IGNORE_JOBS" in site.told
    names = ("gpu0004", "gpu0005")
    settings = {"name": "w2", "start": "now", "for": "3600", "users": "root", "flags": "MAINT"}
    change = change_of(
        action="reserve", kind="node", targets=names, values=dict.fromkeys(names, "w2"), settings=settings
    )
    (sent,) = CliWriter(deadline_s=10).send(change)
    assert sent.fatal and set(sent.refused) == set(names) and "busy" in sent.err, sent
    both = {**said, "flags": "MAINT,IGNORE_JOBS"}
    assert site.act("reserve", *names, said=both, seconds=HOUR, count=2) == 0, site.told
    assert {"MAINT", "IGNORE_JOBS"} <= set(site.transport.read_reservations(["w2"])["w2"].flags)
    assert site.lab.job_states([runs])[runs] == "RUNNING"
    again = msgspec.structs.replace(change, settings={**change.settings, "flags": "MAINT,IGNORE_JOBS"})
    (sent,) = CliWriter(deadline_s=10).send(again)
    assert set(sent.refused) == set(names) and "Duplicate" in sent.err
    assert site.undo(yes=True) == 0 and not site.transport.read_reservations(["w2"]), site.told


def test_what_another_did_to_a_reservation_meanwhile_stands(site: Site) -> None:
    later = {"name": "w3", "start": str(int(time.time()) + HOUR), "accounts": ACCOUNT}
    assert site.act("reserve", "gpu0006", said=later, seconds=HOUR, yes=True) == 0, site.told
    gate, cluster = site.gate(), site.cluster("extend")
    plan = gate.plan("extend", ["w3"], None, cluster, Options(value="+3600"))
    gone = site.gate().plan("unreserve", ["w3"], None, cluster)
    assert isinstance(plan, Plan) and isinstance(gone, Plan)
    site.lab.check(["scontrol", "update", "ReservationName=w3", "Duration=90"])
    assert "was changed meanwhile" in (gate.send(plan, "y").refused or "")
    site.lab.check(["scontrol", "delete", "ReservationName=w3"])
    site.become("alice")
    assert site.act("reserve", "gpu0006", said=later, seconds=HOUR, yes=True) == 1, site.told
    assert "failed  1  gpu0006" in site.told and not site.transport.read_reservations(["w3"])


def test_a_user_is_blocked_and_gets_back_what_was(site: Site) -> None:
    site.lab.check(["sacctmgr", "-i", "modify", "user", "where", "name=alice", "set", "MaxSubmitJobs=20"])
    (runs,) = site.lab.submit(1, user="alice")
    site.lab.wait_jobs("RUNNING", [runs])
    site.become("bob")  # an Operator may
    assert site.act("block", "alice", reason="mining", yes=True) == 0, site.told
    user = site.transport.read_users(["alice", "nobody-here"])
    assert user.keys() == {"alice"} and user["alice"].blocked and user["alice"].enforced
    assert user["alice"].cluster == site.lab.cluster and user["alice"].associations[0].account == ACCOUNT

    def refused() -> str:
        tried = site.lab.run(["sbatch", "--wrap=true", "--output=/dev/null"], "alice")
        return "" if tried.returncode and "limit" in tried.stderr else f"{tried.returncode} {tried.stderr}"

    wait_for(refused, 60)
    assert site.lab.job_states([runs])[runs] == "RUNNING" and "1 job run" in site.told
    assert site.undo(yes=True) == 0, site.told
    assert [one.max_submit for one in site.transport.read_users(["alice"])["alice"].associations] == [20]
    assert site.act("block", "alice", reason="again", yes=True) == 0, site.told
    assert site.act("unblock", "alice", yes=True) == 0, site.told
    assert [one.max_submit for one in site.transport.read_users(["alice"])["alice"].associations] == [None]


def test_nobody_without_a_level_blocks_anybody(site: Site) -> None:
    site.become("alice")
    assert site.act("block", "bob", reason="x", yes=True) == 1, site.told
    assert "failed  1  bob" in site.told
    site.become("root")
    assert not site.transport.read_users(["bob"])["bob"].blocked
