"""Rights known beforehand: who is asked about, what the answers mean, and the words of a refusal."""

from __future__ import annotations

import os
import pwd
from time import monotonic

import pytest

from collectors.model import Rights
from collectors.sim import SimSettings
from collectors.sim.sources import forget
from collectors.sim.sources import open_sources as open_sim
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import rights
from collectors.slurm.commands.rights import sudo_user
from collectors.slurm.sources import open_sources
from console.actions.refusals import rights_refusal
from console.actions.registry import ACTIONS, BY_ID
from tests.support.make import Commands, job, node

CONFIG = """\
Configuration data as of 2026-11-24T11:40:27
AccountingStorageType   = {}
PrivateData             = none
SlurmUser               = slurm(64030)
"""
SLURMDBD = CONFIG.format("accounting_storage/slurmdbd")
HEADER = "User|Admin|Coord Accounts\n"
ASK = "-P show user user={} withcoord format=User,AdminLevel,Coordinators"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("SLURM"):
            monkeypatch.delenv(name)
    made = Commands(tmp_path, monkeypatch)
    made.says("scontrol", SLURMDBD, to="show config")
    made.says("scancel")
    return made


def read(user="bob", *prefix, deadline_s=20.0):
    return rights.read(prefix, deadline_s, user)


def may(found: Rights):
    return found.level, found.nodes, found.jobs


# -- the account itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("bob|None|", ("no admin", False, False)),
        ("bob|Operator|", ("Operator", False, True)),
        ("bob|Operator|ml", ("Operator", False, True)),
        ("bob|Administrator|", ("Administrator", True, True)),
        ("bob|None|ml,bio", ("Coordinator", False, None)),
        ("", ("no admin", False, False)),
        ("alice|Administrator|", ("no admin", False, False)),
        ("bob|Emperor|", ("unknown", None, None)),
        ("bob", ("unknown", None, None)),
    ],
)
def test_the_level_that_slurmdbd_keeps(commands, row, expected):
    commands.says("sacctmgr", HEADER + (f"{row}\n" if row else ""), to=ASK.format("bob"))
    found = read()
    assert (found.user, may(found)) == ("bob", expected)
    assert "sacctmgr" in found.why


def test_a_name_in_capitals_is_the_one_that_slurmdbd_keeps_in_small_letters(commands):
    commands.says("sacctmgr", f"{HEADER}bob|Operator|\n", to=ASK.format("Bob"))
    assert may(read("Bob")) == ("Operator", False, True)


def test_root_is_known_without_a_question(commands):
    assert may(read("root")) == ("root", True, True)
    assert commands.calls == []


def test_slurm_user_by_name_and_by_number(commands, monkeypatch):
    assert may(read("slurm")) == ("SlurmUser", True, True)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("daemon", "x", 64030, 1, "", "/", "/bin/sh")))
    monkeypatch.setattr(os, "geteuid", lambda: 64030)
    found = rights.read((), 20.0)
    assert (found.user, may(found)) == ("daemon", ("SlurmUser", True, True))
    assert commands.calls == ["scontrol show config"] * 2, "slurmdbd is not asked"


def test_without_slurmdbd_nobody_else_has_a_level(commands):
    for kind in ("(null)", "accounting_storage/none"):
        commands.script("scontrol", f"cat <<'END'\n{CONFIG.format(kind)}END")
        found = read()
        assert may(found) == ("no admin", False, False)
        assert "no slurmdbd" in found.why
    assert not any(call.startswith("sacctmgr") for call in commands.calls)


@pytest.mark.parametrize(
    ("out", "err", "rc", "why"),
    [
        ("", "sacctmgr: error: _open_persist_conn: failed to open persistent connection to host:db:6819", 1, "host:db"),
        ("", "", 0, "no header"),
        ("bob|Operator|\n", "", 0, "no header"),
        ("User|Admin\nbob|Administrator\n", "", 0, "no header"),
        (f"{HEADER}bob|Operator|", "", 0, "cut"),
    ],
)
def test_an_answer_that_is_none_leaves_them_unknown_and_says_why(commands, out, err, rc, why):
    commands.says("sacctmgr", out, err=err, rc=rc)
    found = read()
    assert may(found) == ("unknown", None, None)
    assert why in found.why


@pytest.mark.slow
def test_a_controller_or_a_slurmdbd_that_hangs_costs_its_deadline(commands):
    commands.script("sacctmgr", "exec sleep 60")
    began = monotonic()
    found = read(deadline_s=0.5)
    assert (may(found), monotonic() - began < 20) == (("unknown", None, None), True)
    assert "sacctmgr gave no answer in 0.5 s" in found.why
    commands.script("scontrol", "exec sleep 60")
    assert "scontrol show config gave no answer" in read(deadline_s=0.5).why


def test_a_config_that_names_no_slurm_user_is_no_answer(commands):
    commands.script("scontrol", "echo ClusterName = x")
    assert may(read()) == ("unknown", None, None)


def test_what_cannot_be_asked_is_unknown(commands, monkeypatch):
    for name in ("a,b", "-h", "x y", "user\x1b[31m"):
        found = read(name)
        assert may(found) == ("unknown", None, None)
        assert "\x1b" not in found.user
    assert not any(call.startswith("sacctmgr") for call in commands.calls)
    monkeypatch.setenv("SLURM_JWT", "ey.x.y")
    assert "SLURM_JWT" in read("root").why
    monkeypatch.delenv("SLURM_JWT")
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert rights.read((), 20.0).level == "unknown"


def test_hostile_words_are_shown_and_not_obeyed(commands):
    commands.says("sacctmgr", f"{HEADER}bob|\x1b]52;c;x\x07|\n")
    assert "\\e" in read().why and "\x1b" not in read().why
    commands.script("sacctmgr", f"cat <<'END'\n{HEADER}bob|None|\x1b[31m{'x' * 5000}\nEND")
    found = read()
    assert found.level == "Coordinator" and "\x1b" not in found.why and len(found.why) < 300


# -- behind a prefix ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ((), ""),
        (("-n",), ""),
        (("-nEH", "--"), ""),
        (("-n", "-u", "slurm"), "slurm"),
        (("-uslurm",), "slurm"),
        (("--user=slurm", "--non-interactive"), "slurm"),
        (("--user", "#64030"), "#64030"),
        (("-u",), None),
        (("-i",), None),
        (("-h", "elsewhere"), None),
        (("SLURM_CONF=/x",), None),
        (("--", "env"), None),
        (("--preserve-env=SLURM_CONF",), ""),
    ],
)
def test_whom_sudo_makes_of_the_caller(options, target):
    assert sudo_user(options) == target


def test_sudo_lets_all_through(commands):
    commands.says("sudo")
    found = read("alice", "sudo", "-nE")
    assert (found.user, may(found), found.why) == ("root", ("root", True, True), "sudo; root")
    folder = commands.folder
    assert [call.replace(f"{folder}/", "") for call in commands.calls] == [
        "sudo -n -ll -- scontrol update NodeName=x State=DRAIN Reason=x",
        "sudo -n -ll -- scontrol hold 1",
        "sudo -n -ll -- scancel 1",
    ], "nothing but questions"


@pytest.mark.parametrize(
    ("allows", "expected"),
    [
        ((), (False, False)),
        (("*update*",), (True, False)),
        (("*hold*", "*scancel*"), (False, True)),
        (("*update*", "*scancel*"), (True, None)),
    ],
)
def test_sudo_refuses_some_of_it(commands, allows, expected):
    for pattern in allows:
        commands.says("sudo", "/usr/bin/x\n", to=pattern)
    commands.says("sudo", err="sudo: a password is required", rc=1)
    found = read("alice", "sudo", "-n")
    assert (found.nodes, found.jobs) == expected
    if False in expected:
        assert found.why.startswith("sudo refuses alice scontrol")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/usr/bin/scontrol update NodeName=gpu* *", (None, False)),
        ("/usr/bin/scontrol reboot *, /usr/bin/scancel --user=ml *", (None, None)),
        ("/usr/bin/scontrol update JobId=[0-9]*", (False, None)),
        ("/usr/bin/scontrol show *, /usr/bin/sinfo", (False, False)),
    ],
)
def test_a_rule_of_sudo_for_certain_names_is_no_refusal(commands, rule, expected):
    commands.says("sudo", rc=1, to="*--*")
    # As the real one: to list all rules it takes no `-u`.
    commands.says(
        "sudo", f"User alice may run the following commands here:\n    (slurm) NOPASSWD: {rule}\n", to="-n -l"
    )
    commands.says("sudo", err="usage: sudo -h | -K | -k | -V", rc=1)
    found = read("alice", "sudo", "-n", "-u", "slurm")
    assert (found.nodes, found.jobs) == expected


ENTRY = """\
Sudoers entry: /etc/sudoers.d/wacht
    RunAsUsers: slurm
{}    Commands:
\t/usr/bin/scontrol update *
    Matched: /usr/bin/scontrol update NodeName=x State=DRAIN Reason=x
"""


@pytest.mark.parametrize(
    ("options", "may"),
    [("    Options: !authenticate\n", True), ("    Options: authenticate\n", None), ("", None)],
)
def test_a_command_for_which_sudo_may_want_a_password_is_not_promised(commands, options, may):
    commands.script("sudo", f"cat <<'end'\n{ENTRY.format(options)}end")
    found = read("alice", "sudo", "-n", "-u", "slurm")
    assert (found.nodes, found.jobs) == (may, may)


def test_sudo_to_another_account_gives_what_that_one_may(commands):
    commands.says("sudo")
    commands.says("sacctmgr", f"{HEADER}ops|Operator|\n", to=ASK.format("ops"))
    found = read("alice", "sudo", "-n", "-u", "ops")
    assert (found.user, may(found)) == ("ops", ("Operator", False, True))
    assert all("sudo -n -ll -u ops -- " in call for call in commands.calls if call.startswith("sudo"))
    assert may(read("alice", "sudo", "-n", "--user=slurm")) == ("SlurmUser", True, True)


def test_a_prefix_that_cannot_be_asked_is_unknown(commands):
    commands.script("sudo", "exec sleep 60")
    for prefix, why in (
        (("doas", "-n"), "doas"),
        (("sudo", "-i"), "options"),
        (("/opt/none/sudo",), "sudo is not on PATH"),
        (("sudo", "-n"), "no answer"),
    ):
        found = read("alice", *prefix, deadline_s=0.5)
        assert may(found) == ("unknown", None, None)
        assert why in found.why


# -- the source --------------------------------------------------------------------------------------------------------


def test_the_source_is_slow_and_its_own(commands):
    found = {one.name: one for one in open_sources("x", SlurmSettings())}["slurm.rights"]
    assert found.floor_s == 900
    facts = found.collect()
    assert facts.rights is not None and facts.nodes is facts.jobs is None
    behind = {one.name: one for one in open_sources("x", SlurmSettings(prefix=("sudo", "-n")))}["slurm.rights"]
    assert behind.floor_s == 3600, "sudo logs each question"


def test_the_simulated_cluster_allows_all():
    try:
        (source,) = [one for one in open_sim("rights", SimSettings(nodes=16)) if one.name == "slurm.rights"]
        assert may(source.collect().rights) == ("Administrator", True, True)
    finally:
        forget("rights")


# -- the words ---------------------------------------------------------------------------------------------------------

OPERATOR = Rights(user="bob", level="Operator", nodes=False, jobs=True)
ALICE = Rights(user="alice", level="no admin", nodes=False, jobs=False)


def test_a_grey_key_says_what_it_needs_and_who_you_are():
    assert rights_refusal(BY_ID["drain"], OPERATOR) == "drain needs Administrator; you are Operator"
    assert rights_refusal(BY_ID["drain"], ALICE, node()) == "drain needs Administrator; you are alice (no admin)"
    assert rights_refusal(BY_ID["cancel"], ALICE, job(user="bob")) == (
        "cancel of bob's job needs Operator; you are alice (no admin)"
    )
    assert rights_refusal(BY_ID["cancel"], OPERATOR, job(user="alice")) is None


def test_the_own_jobs_need_no_level_but_an_admins_hold_does():
    own = job(user="alice", state="PENDING", reason="JobHeldUser")
    jobs = [action for action in ACTIONS if action.kind == "job"]
    assert [rights_refusal(action, ALICE, own) for action in jobs] == [None] * len(jobs)
    assert [rights_refusal(action, ALICE) for action in jobs] == [None] * len(jobs), "some may be the own ones"
    assert "admin's hold needs Operator" in (
        rights_refusal(BY_ID["release"], ALICE, job(user="alice", state="PENDING", reason="JobHeldAdmin")) or ""
    )


def test_what_is_allowed_or_not_known_is_not_refused():
    unknown = Rights(user="x", level="unknown")
    coordinator = Rights(user="x", level="Coordinator", nodes=False)
    for action in ACTIONS:
        row = node() if action.kind == "node" else job(user="bob")
        for known in (None, unknown, Rights(user="root", level="root", nodes=True, jobs=True)):
            assert rights_refusal(action, known, row) is None
        assert (rights_refusal(action, coordinator, row) is None) == (action.admin_level != "Administrator")
        assert (rights_refusal(action, ALICE, row) is None) == (action.result_kind in {"alert", "silence"})


def test_where_the_level_would_do_it_is_the_prefix_that_refuses():
    barred = Rights(user="root", level="root", nodes=False, jobs=False, why="sudo refuses alice scontrol update")
    assert rights_refusal(BY_ID["drain"], barred) == "drain is refused: sudo refuses alice scontrol update"
    assert rights_refusal(BY_ID["cancel"], barred, job(user="root")) == (
        "cancel is refused: sudo refuses alice scontrol update"
    )
    lent = Rights(user="ops", level="Operator", nodes=False, jobs=False, why="sudo refuses alice scontrol and scancel")
    assert rights_refusal(BY_ID["drain"], lent) == "drain needs Administrator; you are Operator"
    assert "sudo refuses" in (rights_refusal(BY_ID["hold"], lent) or "")
