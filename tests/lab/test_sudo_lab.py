"""The real sudo before the real scontrol: what docs/rights.md recommends suffices and no more, and whatever sudo says
instead of running a command is told as that, at once, and never on the operator's terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from collectors.slurm import operations
from collectors.slurm.commands import doctor_reads
from console.actions.registry import ACTIONS
from console.pages import action_pages
from tests.support.paths import DOCS

from .inside import Inside, layer
from .roots import SUITES
from .slurm import Lab

pytestmark = pytest.mark.lab

PAGE = (DOCS / "rights.md").read_text()
RULES = "".join(re.findall(r"^```\n(Cmnd_Alias.*?)```", PAGE, re.M | re.S))
#: Those that it leaves out on purpose, and names.
APART = re.findall(r"`(/usr/bin/[^`]+=\*)`", PAGE)
PREFIX = ("sudo", "-n", "-u", "slurm")
#: Of Debian's /etc/sudoers, whatever a suite's own holds.
BASE = "Defaults use_pty\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"

SEND = """
import json, sys
from collectors.model import Change
from collectors.slurm.commands.write import CliWriter
from console.actions.registry import BY_ID
prefix, conf, action, kind, targets, reason = json.loads(sys.argv[1])
operation = BY_ID[action].operation
change = Change(action=action, operation=operation, kind=kind, targets=tuple(targets), reason=reason)
sent = CliWriter(tuple(prefix), deadline_s=8, conf=conf).send(change)
told = [[one.rc, one.fatal, dict(one.refused), one.err] for one in sent]
print(json.dumps(told))
"""
READ = """
import json, sys
from collectors.slurm.commands import rights
found = rights.read(tuple(sys.argv[1:]), 8.0)
print(json.dumps([found.user, found.level, found.nodes, found.jobs, found.why]))
"""


class Site(NamedTuple):
    """A login node with sudo."""

    lab: Lab
    inside: Inside

    def rules(self, text: str) -> None:
        """What stands in the site's own file of rules; visudo must like it."""
        self.inside.write("/etc/sudoers.d/wacht", text, 0o440)
        said = self.inside.run(["visudo", "-c"])
        assert said.returncode == 0 and "/etc/sudoers.d/wacht: parsed OK" in said.stdout, said

    def sends(
        self, action: str, *targets: str, user: str = "alice", prefix: Sequence[str] = PREFIX, conf: str | None = None,
        reason: str | None = None,
    ) -> list[tuple[int | None, bool, dict[str, str], str]]:  # fmt: skip
        """Each command that ran: its exit status, whether the next would fare alike, who was refused, what was said."""
        kind = "node" if targets[0].startswith("gpu") else "job"
        words = json.dumps([prefix, conf, action, kind, targets, reason])
        return [tuple(one) for one in self.inside.python(SEND, words, user=user)]  # type: ignore[misc]

    def rights(self, user: str = "alice", prefix: Sequence[str] = PREFIX) -> tuple[str, str, bool | None, bool | None]:
        """User, level, nodes, jobs."""
        return tuple(self.inside.python(READ, *prefix, user=user)[:4])  # type: ignore[return-value]


@pytest.fixture(scope="module", params=SUITES)
def built(request: pytest.FixtureRequest) -> Iterator[Site]:
    lab: Lab = request.getfixturevalue(f"lab_{request.param}")
    lab.reset()
    with Inside(lab, layer(request.param, "sudo", "sudo", "libapparmor1")) as inside:
        inside.write("/etc/sudoers", BASE, 0o440)
        inside.write("/etc/group", f"{inside.path('/etc/group').read_text()}operators:x:3000:alice\n")
        shadow = inside.path("/etc/shadow").read_text()
        inside.write("/etc/shadow", shadow + "".join(f"{user}:!:20000::::::\n" for user in ("alice", "bob")), 0o640)
        # sudo lets no environment through: Slurm's commands must find the lab by themselves, as a site's would.
        inside.write("/etc/slurm/slurm.conf", (lab.folder / "slurm.conf").read_text())
        (inside.path("/etc/slurm/gres.conf")).symlink_to(f"{lab.state.place}/gres.conf")
        (inside.path("/etc/slurm/cgroup.conf")).symlink_to(f"{lab.state.place}/cgroup.conf")
        yield Site(lab, inside)


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    """With the rules that the page recommends."""
    built.rules(RULES)
    yield built
    built.lab.reset()


def test_the_page_s_rules_let_through_every_action_and_no_more(site: Site) -> None:
    def asks(words: Sequence[str], user: str) -> bool:
        said = site.inside.run(["sudo", "-n", "-l", "-u", "slurm", "--", f"/usr/bin/{words[0]}", *words[1:]], user)
        return said.returncode == 0

    def refused() -> set[str]:
        return {action for action, calls in sent.items() if not all(asks(words, "alice") for words in calls)}

    sent = {
        action.id: [words for words, _ in operations.calls(action_pages.change(action))]
        for action in ACTIONS if action.result_kind not in {"alert", "silence"}
    }  # fmt: skip
    assert refused() == {"partition-down", "partition-up", "block", "unblock"}
    assert [said for words, said in doctor_reads.EXCESS_COMMANDS if asks(words, "alice")] == []
    assert not asks(sent["drain"][0], "bob"), "who is in no group of the rules"
    site.rules(f"{RULES}%operators ALL = (slurm) NOPASSWD: {', '.join(APART)}\n")
    assert refused() == set()


def test_rights_are_read_and_an_action_goes_through(site: Site) -> None:
    assert site.rights() == ("slurm", "SlurmUser", True, True)
    assert site.rights("bob") == ("slurm", "SlurmUser", False, False)
    site.inside.write(
        "/home/alice/.config/wacht/config.toml",
        f'[cluster.lab]\nslurm = {{ prefix = {json.dumps(PREFIX)}, share = false }}\n',
    )  # fmt: skip
    done = site.inside.wacht("act", "drain", "gpu0001", "--reason", 'fan "2" * $(id) é', "--yes", user="alice")
    assert done.returncode == 0, done
    told = site.lab.check(["scontrol", "show", "node", "gpu0001", "-o"])
    assert 'Reason=fan "2" * $(id) é [slurm@' in told and "DRAIN" in site.lab.node_states()["gpu0001"]
    refused = site.sends("undrain", "gpu0001", "gpu0002", user="bob")
    assert [(rc, fatal, sorted(who)) for rc, fatal, who, _ in refused] == [(1, True, ["gpu0001", "gpu0002"])]
    assert "DRAIN" in site.lab.node_states()["gpu0001"]


def test_a_rule_for_some_nodes_or_with_a_password_promises_nothing(site: Site) -> None:
    """`sudo -n -l` lets through what `sudo -n` then wants a password for, wherever any rule wants none."""
    site.rules("alice ALL=(slurm) NOPASSWD: /usr/bin/scontrol update NodeName=gpu*, /usr/bin/scontrol show *\n")
    assert site.rights() == ("slurm", "SlurmUser", None, False)
    site.rules("alice ALL=(slurm) PASSWD: /usr/bin/scontrol update *, NOPASSWD: /usr/bin/sinfo\n")
    assert site.rights() == ("slurm", "SlurmUser", None, None)
    site.rules("alice ALL=(ALL) ALL\nalice ALL=(slurm) NOPASSWD: /usr/bin/sinfo\n")
    assert site.rights() == ("slurm", "SlurmUser", None, None)
    ((rc, fatal, refused, _),) = site.sends("drain", "gpu0001", "gpu0002", reason="x")
    assert (rc, fatal) == (1, True) and refused["gpu0002"] == "sudo: a password is required"


def test_a_user_who_needs_no_password_is_refused_by_name(site: Site) -> None:
    """sudo then speaks of the user, and not of itself."""
    site.rules("Defaults !authenticate\nalice ALL=(slurm) /usr/bin/scancel *\n")
    for user, words in (("alice", "Sorry, user alice is not allowed"), ("bob", "bob is not in the sudoers file")):
        ((rc, fatal, refused, err),) = site.sends("drain", "gpu0001", "gpu0002", user=user, reason="x")
        assert (rc, fatal, sorted(refused)) == (1, True, ["gpu0001", "gpu0002"]) and words in err


def on_a_terminal(site: Site, *words: str, user: str = "alice") -> tuple[str, str]:
    """Run SEND as a console would have it: with a controlling terminal, which nobody types on. What it printed, and
    what appeared on the terminal."""
    out, into = os.pipe()
    argv = site.inside.argv([sys.executable, "-c", SEND, *words], user)
    child, master = pty.fork()
    if child == 0:
        try:
            os.dup2(into, 1)
            os.execvpe(argv[0], argv, site.inside.environment(user))
        finally:  # or it would go on as a second process of these tests
            os._exit(127)
    os.close(into)
    with os.fdopen(out, "rb") as said:
        printed = said.read().decode()
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # the terminal is gone with its last process
        pass
    os.waitpid(child, 0)
    os.close(master)
    return printed, shown.decode()


@pytest.mark.parametrize("prefix", [PREFIX, ("sudo", "-u", "slurm"), ("sudo", "-S", "-u", "slurm")])
def test_a_sudo_that_wants_a_password_asks_nobody(site: Site, prefix: Sequence[str]) -> None:
    site.rules(RULES.replace("NOPASSWD:", "PASSWD:"))
    words = json.dumps([prefix, None, "drain", "node", ["gpu0001", "gpu0002"], "x"])
    printed, shown = on_a_terminal(site, words)
    ((rc, fatal, refused, err),) = json.loads(printed)
    assert (rc, fatal, shown) == (1, True, ""), (err, shown)
    assert refused.keys() == {"gpu0001", "gpu0002"} and "password" in refused["gpu0001"]
    assert site.rights(prefix=prefix)[2:] == (False, False)
    assert "DRAIN" not in site.lab.node_states()["gpu0001"]


def test_what_sudo_warns_of_is_no_refusal(site: Site) -> None:
    """A login node whose name does not resolve any more: sudo says so, and goes on."""
    site.inside.write("/etc/hosts", "127.0.0.1 localhost\n")
    site.inside.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    ((rc, fatal, refused, err),) = site.sends("drain", "gpu0001", reason="x")
    assert (rc, fatal, refused) == (0, False, {}) and "sudo: unable to resolve host" in err
    ((rc, fatal, refused, err),) = site.sends("resume", "gpu0001", "gpu0002")
    assert "sudo: unable to resolve host" in err and (rc, fatal, refused) == (1, False, {}), "gpu0001 was resumed"
    assert "DRAIN" not in site.lab.node_states()["gpu0001"]
    ((_, _, refused, _),) = site.sends("resume", "gpu0002")
    assert "Invalid node state" in refused["gpu0002"]


def test_a_sudo_that_wants_a_terminal_says_so(site: Site) -> None:
    site.rules("Defaults requiretty\n" + RULES)
    ((rc, fatal, refused, _),) = site.sends("drain", "gpu0001", "gpu0002", reason="x")
    assert (rc, fatal) == (1, True) and "you must have a tty" in refused["gpu0002"]


def test_another_slurm_conf_goes_only_where_the_rules_let_it(site: Site) -> None:
    conf = "/etc/slurm/slurm.conf"
    ((rc, fatal, refused, _),) = site.sends("drain", "gpu0001", "gpu0002", reason="x", conf=conf)
    assert (rc, fatal) == (1, True) and "not allowed to set the following environment" in refused["gpu0001"]
    site.rules('Defaults:%operators env_keep += "SLURM_CONF"\n' + RULES)
    ((rc, _, refused, _),) = site.sends("drain", "gpu0001", "gpu0002", reason="x", conf=conf)
    assert (rc, refused) == (0, {}) and "DRAIN" in site.lab.node_states()["gpu0002"]
