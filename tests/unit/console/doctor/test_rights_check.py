"""What `wacht doctor` says of rights and files: who this is, what they may do, and what is more than needed."""

from __future__ import annotations

import fnmatch
import os
import re
import socket
from pathlib import Path

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.model import Facts, Reading, Rights
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.probe import PrometheusProbe
from collectors.slurm import SlurmSettings, operations
from collectors.slurm.commands import doctor_reads
from collectors.slurm.commands.doctor_reads import TokenClaims
from console.actions.registry import ACTIONS
from console.config import privileges
from console.config.settings import Config
from console.doctor import file_checks, rights_check, source_checks
from console.doctor.finding import FindingGroup
from console.pages import action_pages
from console.session.cluster_sources import ClusterSources
from tests.support.make import Commands
from tests.support.paths import DOCS
from tests.support.slurmrestd_server import token

PAGE = (DOCS / "rights.md").read_text()
DAY = 86_400


def site(slurm=None, **others):
    return ClusterSources(name="lab", demo=False, slurm=slurm or SlurmSettings(), others=others)


def told(found: Rights | None = None, **ended):
    """What the checks ended with, the source of the rights among them."""
    if found is not None:
        reading = Reading(cluster="lab", source="slurm.rights", at=0, mono=0, took_s=0.0, facts=Facts(rights=found))
        ended["slurm.rights"] = source_checks.SourceRead(reading)
    return ended


def said(findings, name):
    return [(one.mark, one.said) for one in findings if one.name == name]


# -- the account -------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_uid(monkeypatch):
    """Another account than the one that runs the tests."""

    def become(uid: int, *effective: int) -> None:
        euid = effective[0] if effective else uid
        monkeypatch.setattr(os, "getuid", lambda: uid)
        monkeypatch.setattr(os, "geteuid", lambda: euid)
        monkeypatch.setattr(os, "getresuid", lambda: (uid, euid, euid))
        monkeypatch.setattr(rights_check, "_status", lambda: "CapEff:\t0000000000000000\n")
        monkeypatch.setattr(rights_check, "_own_groups", list)

    return become


def test_root_is_more_than_needed_and_an_account_is_not(as_uid):
    as_uid(0)
    ((mark, text),) = said(rights_check.findings(None, {}), "account")
    assert mark == "warn" and text.endswith("everything that a bug or a slip does would be unlimited")
    as_uid(12345)
    ((mark, text),) = said(rights_check.findings(None, {}), "account")
    assert mark == "ok" and text.startswith("uid 12345 (uid 12345)")


def test_setuid_capabilities_and_groups_are_told(as_uid, monkeypatch):
    as_uid(12345, 12346)
    monkeypatch.setattr(rights_check, "_status", lambda: "Name:\twacht\nCapEff:\t0000000000200000\n")
    monkeypatch.setattr(rights_check, "_own_groups", lambda: ["docker", "users"])
    found = rights_check.findings(None, {})
    assert [said(found, name)[0][0] for name in ("setuid", "capabilities", "groups")] == ["warn", "warn", "note"]
    assert "0x200000" in said(found, "capabilities")[0][1] and "you are in docker:" in said(found, "groups")[0][1]


@pytest.mark.parametrize(("text", "bits"), [("", 0), ("CapEff:\t00000000a80425fb\n", 0xA80425FB), ("CapEff: x\n", 0)])
def test_capabilities_are_read_as_the_kernel_writes_them(text, bits):
    assert rights_check.capabilities(text) == bits


# -- Slurm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "nodes", "jobs", "mark", "words"),
    [
        ("no admin", False, False, "ok", "may read, and change the own jobs"),
        ("Operator", False, True, "ok", "may change everybody's jobs, not nodes"),
        ("Administrator", True, True, "ok", "may change nodes and everybody's jobs"),
        ("Coordinator", False, None, "ok", "may change the jobs of these accounts"),
        ("SlurmUser", True, True, "warn", "it may do all that the controller can"),
        ("unknown", None, None, "note", "may change nodes: unknown"),
    ],
)
def test_the_level_in_slurm(level, nodes, jobs, mark, words):
    found = rights_check.findings(site(), told(Rights(user="bob", level=level, nodes=nodes, jobs=jobs, why="sacctmgr")))
    first, *more = said(found, "Slurm")
    assert first[0] == mark and words in first[1] and first[1].startswith(f"bob, {level}")
    assert any(
        re.search(r"drain, undrain, resume, down, reboot and \d+ more take an Administrator", text) for _, text in more
    ) == (nodes is False)
    assert any("too much for jobs" in text for _, text in more) == (level == "Administrator")


def test_private_data_hides_jobs_from_who_has_no_level():
    alice = Rights(user="alice", level="no admin", nodes=False, jobs=False)
    bob = Rights(user="bob", level="Operator", nodes=False, jobs=True)
    hidden = frozenset({"jobs", "nodes"})
    ((mark, text),) = said(rights_check.findings(site(), told(alice, private=hidden)), "PrivateData")
    assert mark == "warn" and "jobs, nodes private: others' are not shown to you" in text
    assert said(rights_check.findings(site(), told(bob, private=hidden)), "PrivateData")[0][0] == "ok"
    assert said(rights_check.findings(site(), told(alice, private=frozenset())), "PrivateData")[0][0] == "ok"
    assert said(rights_check.findings(site(), told(alice)), "PrivateData")[0][0] == "note"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    made = Commands(tmp_path, monkeypatch)
    made.says("scontrol")
    return made


@pytest.mark.parametrize(
    ("allowed", "mark", "words"),
    [
        ("/*", "warn", "lets through any program, a shell too: it runs any program as another account"),
        ("*/scontrol*", "warn", "scontrol shutdown, scontrol reconfigure, changes of partitions"),
        ("*/scontrol update PartitionName=*", "warn", "lets through changes of partitions"),
        ("*/scontrol update NodeName=*", "ok", "nothing that was asked"),
    ],
)
def test_rules_of_sudo_that_are_wider_than_what_is_sent(commands, allowed, mark, words):
    pattern = allowed.replace(" ", "\\ ")
    commands.script("sudo", f'shift 5; case "$*" in {pattern}) exit 0;; esac; exit 1')
    prefix = ("sudo", "-n", "-u", "slurm")
    wider = doctor_reads.excess_sudo_commands(prefix, 5.0)
    ((got, text),) = said(rights_check.findings(site(SlurmSettings(prefix=prefix)), {"sudo": wider}), "sudo")
    assert got == mark and words in text
    assert all(" -n -l -u slurm -- /" in call for call in commands.calls), "sudo is asked, and runs nothing"


def test_what_cannot_be_asked_of_a_prefix_is_no_praise(commands):
    prefix = ("ksu",)
    assert doctor_reads.excess_sudo_commands(prefix, 5.0) is None
    assert said(rights_check.findings(site(SlurmSettings(prefix=prefix)), {"sudo": None}), "sudo")[0][0] == "note"


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "left_s", "lasts_s", "mark", "words"),
    [
        ("bob", 4 * 3600, 12 * 3600, "ok", "the token of bob is good for another 4 h"),
        ("bob", -7200, 3600, "bad", "ended 2 h ago"),
        ("bob", 600, 3600, "warn", "ends in 10 min"),
        ("bob", 90 * DAY, None, "warn", "another 90 days: a copy of it is good for as long"),
        ("bob", 3600, 365 * DAY, "warn", "a copy of it is good for as long"),
        ("bob", None, None, "warn", "it never ends"),
        ("root", 4 * 3600, None, "warn", "it is for root: whoever reads it may do all"),
    ],
)
def test_what_a_token_says_of_itself(user, left_s, lasts_s, mark, words):
    rest = SlurmSettings(transport="rest", url="https://ctl:6820", token_file="x")
    found = rights_check.findings(site(rest), {"token": TokenClaims(user=user, left_s=left_s, lasts_s=lasts_s)})
    assert said(found, "token")[0][0] == mark and words in said(found, "token")[0][1]
    if mark == "bad":
        assert "scontrol token username=bob lifespan=" in next(one.mend for one in found if one.name == "token")


def test_a_token_is_read_by_its_dates_and_never_printed(tmp_path):
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(token(seconds=500, user="bob"))
    found = doctor_reads.token_claims(str(file), 0.0)
    assert found.user == "bob" and found.left_s > 1e9 and found.lasts_s is None
    assert file.read_text()[:12] not in repr(found)


def test_slurmrestd_as_root_on_its_socket(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        uid = doctor_reads.socket_owner(str(path), 2.0)
    assert uid == os.geteuid(), "the kernel tells who listens"
    rest = SlurmSettings(transport="rest", socket=str(path))
    assert said(rights_check.findings(site(rest), {"listener": 0}), "slurmrestd")[0][0] == "warn"
    assert said(rights_check.findings(site(rest), {"listener": 12345}), "slurmrestd")[0] == (
        "ok", "runs as uid 12345 on its socket: Slurm sees you as that account",
    )  # fmt: skip


# -- servers behind HTTP -----------------------------------------------------------------------------------------------


def test_doors_of_prometheus_that_are_open():
    far = site(prometheus=PrometheusSettings(url="http://prometheus.example"))
    flags = {"web.enable-admin-api": True, "web.enable-lifecycle": True}
    found = rights_check.findings(far, {"prometheus": PrometheusProbe(flags=flags)})
    assert [mark for mark, _ in said(found, "prometheus")] == ["warn", "warn"]
    assert "delete series" in said(found, "prometheus")[0][1] and "stop it" in said(found, "prometheus")[1][1]
    assert said(found, "http")[0][0] == "warn", "in the clear, to another host"
    closed = rights_check.findings(far, {"prometheus": PrometheusProbe(flags=dict.fromkeys(flags, False))})
    assert said(closed, "prometheus") == [("ok", "it can only be read: no admin API, no lifecycle API")]
    assert said(rights_check.findings(far, {"prometheus": PrometheusProbe()}), "prometheus")[0][0] == "note"


@pytest.mark.parametrize(
    ("url", "mark"), [("https://am.example", "warn"), ("http://127.0.0.1:9093", "note"), ("http://[::1]:9093", "note")]
)
def test_an_alertmanager_that_asks_for_no_token(url, mark):
    found = rights_check.findings(site(alertmanager=AlertmanagerSettings(url=url)), {})
    assert said(found, "alertmanager")[0][0] == mark and not said(found, "http")


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


def test_files_that_others_can_write_are_told(home):
    file = home / "config.toml"
    file.touch(mode=0o600)
    config = Config(files=(str(file),))
    assert said(file_checks.findings(None, config), "configuration")[0][0] == "ok"
    file.chmod(0o664)
    assert said(file_checks.findings(None, config), "writable")[0] == (
        "warn", f"others can write {file}: who writes them decides what wacht does as you",
    )  # fmt: skip
    file.chmod(0o600)
    home.chmod(0o777)
    assert said(file_checks.findings(None, config), "writable")[0][1].startswith(f"others can write {home}: ")


def test_the_journal_must_be_there_and_nobody_elses(home, monkeypatch):
    folder = home / ".local/state/wacht/journal"
    assert said(file_checks.findings(site(), Config()), "journal") == [
        ("ok", f"there is none yet; it begins in {folder}"),
    ]  # fmt: skip
    folder.mkdir(parents=True, mode=0o700)
    assert said(file_checks.findings(site(), Config()), "journal") == [("ok", f"{folder}: yours alone")]
    folder.chmod(0o755)
    assert said(file_checks.findings(site(), Config()), "readable")[0][1].startswith(f"others can look into {folder}: ")
    monkeypatch.setattr(file_checks, "_mounts", lambda: [("/", "ext4"), (str(home), "nfs4")])
    assert "lies on nfs4: when that hangs" in said(file_checks.findings(site(), Config()), "journal")[0][1]


def test_a_token_file_that_others_can_read(home):
    file = home / "token"
    file.touch()
    file.chmod(0o644)
    settings = PrometheusSettings(url="https://prometheus.example", token_file=str(file))
    ((mark, text),) = said(file_checks.findings(site(prometheus=settings), None), "token")
    assert mark == "bad" and text.startswith("prometheus: ") and "others can read" in text


def test_the_file_system_is_that_of_the_longest_mount_point():
    mounts = [("/", "ext4"), ("/proc", "proc"), ("/proc/sys", "nfs")]
    assert [file_checks.kind_of(Path(at), mounts) for at in ("/", "/proc/1", "/proc/sys/kernel")] == [
        "ext4",
        "proc",
        "nfs",
    ]


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_page_has_the_table():
    assert privileges.tables() in PAGE, "write it: console.config.privileges.tables()"


def test_every_finding_of_too_much_is_in_the_table():
    used = set()
    for module in (rights_check, file_checks):
        used |= set(re.findall(r'more\(\s*group,\s*"([a-z-]+)"', Path(module.__file__).read_text()))
    used |= {"prometheus-admin", "prometheus-lifecycle"}
    assert used == privileges.MORE.keys()
    group = FindingGroup("Rights")
    rights_check.more(group, "root", "you are root")
    assert group.found[0].mend == privileges.MORE["root"].mend


def test_the_rules_of_sudo_let_through_what_wacht_sends_and_no_more():
    rules = [
        " ".join(one.split()).removeprefix("/usr/bin/")
        for alias in re.findall(r"^Cmnd_Alias \w+ = ((?:.*\\\n)*.*)$", PAGE, re.M)
        for one in alias.replace("\\\n", " ").split(", ")
    ]
    assert len(rules) == 16

    def lets_through(words):
        return any(fnmatch.fnmatchcase(" ".join(words), rule) for rule in rules)

    for action in ACTIONS:
        if action.kind in {"node", "job", "reservation"} and action.result_kind not in {"alert", "silence"}:
            for words in sent(action):
                assert lets_through(words), words
        if action.kind in {"partition", "user"}:
            # The page says which rules they take besides.
            apart = re.findall(r"`/usr/bin/([^`]+=\*)`", PAGE)
            assert all(any(fnmatch.fnmatchcase(" ".join(words), rule) for rule in apart) for words in sent(action))
    assert not [words for words, _ in doctor_reads.EXCESS_COMMANDS if lets_through(words)]


def sent(action):
    """The commands of an action, as they are sent."""
    return [words for words, _ in operations.calls(action_pages.change(action))]
