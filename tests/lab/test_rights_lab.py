"""Rights on a live Slurm with accounting: what is read beforehand is what Slurm then allows and refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.model import Rights
from collectors.slurm.commands import rights
from console.actions.refusals import rights_refusal
from console.actions.registry import BY_ID
from tests.support.make import job, node

from . import accounting
from .namespaces import in_namespace_of
from .roots import SUITES, USERS
from .running import require, running
from .slurm import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=SUITES)
def books(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with slurmdbd: bob is an Operator, carol an Administrator."""
    yield from running(request.param, nodes=4, accounting=True)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)


def read_as(lab: Lab, user: str, monkeypatch: pytest.MonkeyPatch) -> Rights:
    """As this user's own wacht would read them. The wrappers make a user of root, so the reader must be told whom."""
    folder = lab.bin_dir_as(user) if user in USERS and user != "root" else lab.bin_dir
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return rights.read((), 20.0, user)


def tried(lab: Lab, user: str) -> tuple[bool, bool]:
    """Whether Slurm lets this user drain a node, and hold another's job."""
    lab.reset()
    other = "bob" if user == "alice" else "alice"
    (waiting,) = lab.submit(user=other, begin="now+1hour")
    codes = (
        lab.run(["scontrol", "update", "NodeName=gpu0001", "State=DRAIN", "Reason=tried"], user).returncode,
        lab.run(["scontrol", "hold", waiting], user).returncode,
    )
    now = lab.check(["squeue", "-h", "-j", waiting, "-o", "%r"]).strip()
    nodes, jobs = "DRAIN" in lab.node_states()["gpu0001"], now == "JobHeldAdmin"
    assert (nodes, jobs) == (codes[0] == 0, codes[1] == 0)
    return nodes, jobs


@pytest.mark.parametrize(
    ("user", "level"),
    [
        ("root", "root"),
        ("slurm", "SlurmUser"),
        ("carol", "Administrator"),
        ("bob", "Operator"),
        ("alice", "no admin"),
    ],
)
def test_what_is_read_is_what_slurm_lets_them_do(
    books: Lab, user: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_as(books, user, monkeypatch)
    assert (found.user, found.level) == (user, level)
    assert (found.nodes, found.jobs) == tried(books, user)
    assert (rights_refusal(BY_ID["drain"], found, node()) is None) == found.nodes
    assert (rights_refusal(BY_ID["hold"], found, job(user="mallory")) is None) == found.jobs


def test_without_accounting_only_root_and_slurm_have_rights(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for user, level in (("root", "root"), ("slurm", "SlurmUser"), ("carol", "no admin")):
        found = read_as(lab, user, monkeypatch)
        assert (found.level, found.nodes, found.jobs) == (level, *tried(lab, user))
    lab.reset()


def test_the_own_jobs_need_no_level_but_to_lift_an_admins_hold_does(
    books: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.reset()
    found = read_as(books, "alice", monkeypatch)
    (own,) = books.submit(user="alice", begin="now+1hour")

    def ask(action: str) -> tuple[bool, bool]:
        """Whether it is refused beforehand, and whether Slurm refuses it."""
        reason = books.check(["squeue", "-h", "-j", own, "-o", "%r"]).strip()
        words = rights_refusal(BY_ID[action], found, job(user="alice", state="PENDING", reason=reason))
        return words is not None, books.run(["scontrol", action, own], "alice").returncode != 0

    assert ask("hold") == (False, False)
    assert ask("release") == (False, False)
    books.check(["scontrol", "hold", own])
    assert ask("release") == (True, True)
    assert books.run(["scancel", own], "alice").returncode == 0


def test_a_coordinator_may_change_the_jobs_of_an_account(books: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    books.reset()
    whose = ("coordinator", f"account={accounting.ACCOUNT}", "names=alice")
    books.check(["sacctmgr", "-i", "add", *whose])
    try:
        found = read_as(books, "alice", monkeypatch)
        assert (found.level, found.nodes, found.jobs) == ("Coordinator", False, None)
        assert accounting.ACCOUNT in found.why
        (job_of_bob,) = books.submit(user="bob", begin="now+1hour", account=accounting.ACCOUNT)
        assert books.run(["scontrol", "hold", job_of_bob], "alice").returncode == 0
    finally:
        books.check(["sacctmgr", "-i", "delete", *whose])
    assert read_as(books, "alice", monkeypatch).level == "no admin"


def test_a_dead_slurmdbd_leaves_them_unknown_and_slurm_goes_on(books: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    accounting.stop_slurmdbd(books)
    try:
        found = read_as(books, "bob", monkeypatch)
        assert (found.level, found.nodes, found.jobs) == ("unknown", None, None)
        assert "sacctmgr" in found.why and "Connection refused" in found.why
        assert read_as(books, "root", monkeypatch).nodes, "root needs no slurmdbd"
        assert tried(books, "bob") == (False, True), "the controller remembers the levels"
    finally:
        accounting.start_slurmdbd(books)
    assert read_as(books, "bob", monkeypatch).level == "Operator"


def test_a_job_of_a_lab_with_accounting_tells_its_gpus(books: Lab) -> None:
    books.reset()
    (running_,) = books.submit(user="alice", gpus=3)
    books.wait_jobs("RUNNING", [running_])
    assert "gres/gpu=3" in books.check(["squeue", "-h", "-j", running_, "-O", "tres-alloc:200"])


def test_the_database_ends_with_its_lab() -> None:
    require("trixie")
    lab = Lab("trixie", nodes=1, accounting=True).start()
    assert lab.state.init
    ours = in_namespace_of(lab.state.init[0])
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in ours}
    folder = lab.folder
    lab.stop()
    assert {"mariadbd", "slurmdbd"} <= names
    assert [pid for pid in ours if Path(f"/proc/{pid}").exists()] == []
    assert not folder.exists()
