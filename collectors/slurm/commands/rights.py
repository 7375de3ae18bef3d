"""What Slurm lets the console's user change, read beforehand: a hint for the screen, never a permission.

Slurm decides by the user that runs a command: root and SlurmUser may do all; others have the level in slurmdbd. With a
site's `sudo` prefix it is the target user, for the commands that sudo allows. None is unknown: the action is then
offered, and Slurm decides.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from collectors import process
from collectors.clean import clean
from collectors.model import Rights, SourceFault

from .read_command import ask, lines

#: Commands to check with sudo, as wacht sends them: a rule may allow some of them.
_NODE_COMMANDS = (("scontrol", "update", "NodeName=x", "State=DRAIN", "Reason=x"),)
_JOB_COMMANDS = (("scontrol", "hold", "1"), ("scancel", "1"))
#: sudo rules that allow a command for certain names only (`scontrol update NodeName=gpu*`): no refusal.
_NODE_RULE = re.compile(r"/scontrol\s+(?:update(?!\s+job)|reboot|[*^])", re.I)
#: Marks a rule without password; 1.9.16 and 1.9.17 print the rule that applies. Without a printed rule the answer is
#: trusted.
_NO_PASSWORD = re.compile(r"^\s+Options:.*!authenticate", re.M)
_JOB_RULE = re.compile(r"/scontrol\s+(?:update(?!\s+node)|hold|uhold|release|requeue|[*^])|/scancel\s", re.I)
_LEVELS = {"Administrator": (True, True), "Operator": (False, True), "None": (False, False)}
#: sudo options that change neither the target user nor the command.
_PLAIN = re.compile(r"-[AEHknPS]+|--(?:askpass|preserve-env(?:=.*)?|set-home|reset-timestamp|non-interactive)")
#: A name that is one word to sacctmgr, which splits at commas.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\$-]*")
_SLURM_USER = re.compile(r"(?P<name>[^()\s]+)\((?P<uid>[0-9]+)\)")


class SlurmAccount(NamedTuple):
    """The user that Slurm sees. `uid` None: this host has no such account."""

    name: str
    uid: int | None


def read(prefix: Sequence[str], deadline_s: float, user: str | None = None) -> Rights:
    """The rights of the user that runs writing commands with `prefix`. Never raises: `why` says why they are unknown.

    `user` replaces the account of this process if the commands on PATH switch the user themselves.
    """
    try:
        me = _account(user) if user else SlurmAccount(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid())
    except LookupError:
        return _unknown(str(os.geteuid()), "this account has no name here")
    try:
        return _behind(prefix, me, deadline_s) if prefix else _of(me, deadline_s)
    except SourceFault as error:
        return _unknown(me.name, str(error.fault))


def sudo_user(options: Sequence[str]) -> str | None:
    """The user that these sudo options select: `-u NAME`, or "" for the default, root.

    None with any option whose effect wacht does not know.
    """
    target, rest = "", list(options)
    while rest:
        option = rest.pop(0)
        if option in {"-u", "--user"} and rest:
            target = rest.pop(0)
        elif option.startswith("--user="):
            target = option.removeprefix("--user=")
        elif option.startswith("-u") and len(option) > 2:
            target = option[2:]
        elif not _PLAIN.fullmatch(option) and (option != "--" or rest):
            return None
    return target


def _behind(prefix: Sequence[str], me: SlurmAccount, deadline_s: float) -> Rights:
    """The rights of the user that the site's prefix switches to, as far as sudo allows. Raises SourceFault."""
    if PurePath(prefix[0]).name != "sudo":
        return _unknown(me.name, f"what {prefix[0]} allows cannot be asked beforehand")
    target = sudo_user(prefix[1:])
    if target is None:
        return _unknown(me.name, "the prefix has options of sudo that wacht cannot judge")
    there = _of(_account(target or "root"), deadline_s)
    if there.level == "unknown":
        return there
    sudo = [process.find(prefix[0]), "-n", "-ll", *(["-u", target] if target else []), "--"]
    nodes = _allowed(sudo, _NODE_COMMANDS, _NODE_RULE, deadline_s)
    jobs = _allowed(sudo, _JOB_COMMANDS, _JOB_RULE, deadline_s)
    refused = [words for words, may in (("scontrol update", nodes), ("scontrol and scancel", jobs)) if may is False]
    why = f"sudo refuses {clean(me.name)} {' and '.join(refused)}" if refused else f"sudo; {there.why}"
    return Rights(
        user=there.user, level=there.level, nodes=_both(nodes, there.nodes), jobs=_both(jobs, there.jobs), why=why
    )


def _of(who: SlurmAccount, deadline_s: float) -> Rights:
    """The rights of an account without a prefix. Raises SourceFault."""
    name = clean(who.name)
    if "SLURM_JWT" in os.environ:
        return _unknown(name, "SLURM_JWT says who asks, not the account")
    if who.uid == 0:
        return Rights(user=name, level="root", nodes=True, jobs=True, why="root")
    config = {
        key.strip(): value.strip()
        for line in lines(ask(["scontrol", "show", "config"], deadline_s), "scontrol show config")
        for key, equal, value in [line.partition("=")]
        if equal
    }
    if "AccountingStorageType" not in config or "SlurmUser" not in config:
        raise SourceFault("malformed", "scontrol show config names no SlurmUser", "run it by hand to see")
    slurm = _SLURM_USER.fullmatch(config["SlurmUser"])
    if slurm and (who.name == slurm["name"] or (who.uid is not None and who.uid == int(slurm["uid"]))):
        return Rights(user=name, level="SlurmUser", nodes=True, jobs=True, why="scontrol show config")
    if "slurmdbd" not in config["AccountingStorageType"]:
        return Rights(user=name, level="no admin", nodes=False, jobs=False, why="no slurmdbd, so no user has a level")
    return _level(who.name, deadline_s)


def _level(user: str, deadline_s: float) -> Rights:
    """The level in slurmdbd, or SourceFault. The header proves the answer: a user without a row has no level."""
    name = clean(user)
    if not _NAME.fullmatch(user):
        return _unknown(name, "sacctmgr cannot be asked for such a name")
    argv = ["sacctmgr", "-P", "show", "user", f"user={user}", "withcoord", "format=User,AdminLevel,Coordinators"]
    header, *rows = lines(ask(argv, deadline_s), "sacctmgr") or [""]
    if header.count("|") != 2 or not header.startswith("User|"):
        raise SourceFault("malformed", "sacctmgr printed no header", "run it by hand to see")
    for row in rows:
        found, _, rest = row.partition("|")
        level, _, accounts = rest.partition("|")
        if found.lower() != user.lower():  # slurmdbd keeps names in lower case
            continue
        if level not in _LEVELS:
            return _unknown(name, f"sacctmgr gives the level {clean(level)[:40]!r}")
        nodes, jobs = _LEVELS[level]
        if level == "None" and accounts:
            # A coordinator may change the jobs of these accounts.
            return Rights(user=name, level="Coordinator", nodes=False, why=f"sacctmgr: of {clean(accounts)[:200]}")
        return Rights(user=name, level="no admin" if level == "None" else level, nodes=nodes, jobs=jobs, why="sacctmgr")
    return Rights(user=name, level="no admin", nodes=False, jobs=False, why="unknown to sacctmgr")


def _allowed(
    sudo: Sequence[str], commands: Sequence[Sequence[str]], rule: re.Pattern[str], deadline_s: float
) -> bool | None:
    """Whether sudo would run these without asking anything; None if it would run some, or may want a password: `sudo -n
    -l` does not say if another rule needs none. Raises SourceFault."""
    said: set[bool | None] = set()
    for program, *words in commands:
        ended = process.run([*sudo, process.find(program), *words], deadline_s=deadline_s, cap_bytes=1 << 20)
        if ended.timed_out or ended.capped or ended.rc < 0:
            raise SourceFault("timeout", f"sudo -l gave no answer in {deadline_s:g} s", "try it by hand")
        told = ended.out.decode(errors="replace").strip()
        said.add(None if ended.rc == 0 and "\n" in told and not _NO_PASSWORD.search(told) else ended.rc == 0)
    if said == {False}:
        # The checked names are invented, and a rule may be for others. All rules, for any target user: sudo takes `-u`
        # only with a command.
        every = process.run([sudo[0], "-n", "-l"], deadline_s=deadline_s, cap_bytes=1 << 20)
        if every.rc == 0 and rule.search(every.out.decode(errors="replace")):
            return None
    return said.pop() if len(said) == 1 else None


def _both(one: bool | None, other: bool | None) -> bool | None:
    """One refusal is enough; an unknown part leaves the result unknown."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _account(user: str) -> SlurmAccount:
    try:
        found = pwd.getpwuid(int(user[1:])) if user.startswith("#") else pwd.getpwnam(user)
    except (LookupError, ValueError):
        return SlurmAccount(user, None)
    return SlurmAccount(found.pw_name, found.pw_uid)


def _unknown(user: str, why: str) -> Rights:
    return Rights(user=clean(user), level="unknown", why=clean(why))
