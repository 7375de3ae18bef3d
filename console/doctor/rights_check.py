"""Checks who the user is, what they may do, and which rights exceed what is needed (table:
`console.config.privileges`).
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collectors.clean import clean
from collectors.model import Rights, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import doctor_reads
from collectors.web import WebSettings
from console.config.privileges import JOB_ACTIONS, MORE, NODE_ACTIONS
from console.runtime.operator_identity import login_name
from console.session.cluster_sources import ClusterSources

from .finding import Finding, FindingGroup, seconds
from .parallel import ParallelChecks
from .source_checks import fault_of
from .transport_checks import rights_of

#: Lifetime in seconds from which a token counts as too long.
LONG_S = 31 * 86_400
#: Remaining seconds below which a token ends during the shift.
SHORT_S = 1800
_GROUPS = ("docker", "lxd", "disk", "sudo", "wheel", "admin", "slurm")
_ASK_S = 3.0
#: What each level allows, as text.
_MAY = {
    (True, True): "may change nodes and everybody's jobs",
    (False, True): "may change everybody's jobs, not nodes",
    (False, False): "may read, and change the own jobs",
    (False, None): "may change the jobs of these accounts, and the own",
}


def start(checks: ParallelChecks, sources: ClusterSources) -> None:
    """Start reading sudo's rules, slurm.conf, the token and the socket's owner."""
    slurm = sources.slurm
    if not isinstance(slurm, SlurmSettings):
        return
    if slurm.prefix:
        checks.start("sudo", lambda: doctor_reads.excess_sudo_commands(slurm.prefix, _ASK_S))
    if "cli" in slurm.transports:
        checks.start("private", lambda: doctor_reads.private_data(slurm))
    if "rest" in slurm.transports:
        if slurm.token_file is not None:
            file = slurm.token_file
            checks.start("token", lambda: doctor_reads.token_claims(file, time.time()))
        if slurm.socket is not None:
            path = slurm.socket
            checks.start("listener", lambda: doctor_reads.socket_owner(path, _ASK_S))


def findings(sources: ClusterSources | None, ended: Mapping[str, Any]) -> list[Finding]:
    """All findings; what was not answered in time is reported as unknown."""
    group = FindingGroup("Rights")
    _account(group)
    if sources is None:
        return group.found
    if isinstance(sources.slurm, SlurmSettings):
        _slurm(group, sources.slurm, ended)
        _rest(group, sources.slurm, ended)
    _web(group, sources, ended)
    return group.found


def more(group: FindingGroup, key: str, said: str, warn: bool = True, **figures: Any) -> None:
    """Add a finding about an excess right of the table."""
    excess = MORE[key]
    (group.warn if warn else group.note)(excess.name, f"{said}: {excess.why}", excess.mend, excess=key, **figures)


# -- the account -------------------------------------------------------------------------------------------------------


def _account(group: FindingGroup) -> None:
    uid, login = os.getuid(), clean(login_name())
    name = _name(uid)
    if uid == 0 or os.geteuid() == 0:
        more(group, "root", f"you are {name}" + (f", logged in as {login}" if login != name else ""), uid=uid)
    else:
        as_whom = "" if login == name else f", logged in as {login}"
        group.ok("account", f"{name} (uid {uid}){as_whom}", uid=uid, user=name, login=login)
    if len(set(os.getresuid())) > 1 or len(set(os.getresgid())) > 1:
        more(group, "setuid", f"uids {os.getresuid()}, gids {os.getresgid()} differ")
    held = capabilities(_status())
    if held and os.geteuid() != 0:
        more(group, "capabilities", f"this process holds {held:#x}")
    if os.geteuid() != 0 and (those := [one for one in _own_groups() if one in _GROUPS]):
        more(group, "group", f"you are in {', '.join(those)}", warn=False, groups=those)


def capabilities(status: str) -> int:
    """The effective capabilities in the text of /proc/self/status, as bits."""
    found = re.search(r"^CapEff:\s*([0-9a-f]{1,16})\s*$", status, re.M)
    return int(found[1], 16) if found else 0


def _status() -> str:
    try:
        return Path("/proc/self/status").read_text()
    except OSError:
        return ""


def _own_groups() -> list[str]:
    names = []
    for gid in {os.getgid(), *os.getgroups()}:
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return sorted(names)


def _name(uid: int) -> str:
    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


# -- Slurm -------------------------------------------------------------------------------------------------------------


def _slurm(group: FindingGroup, slurm: SlurmSettings, ended: Mapping[str, Any]) -> None:
    rights = rights_of(ended)
    if rights is None:
        group.note("Slurm", "what you may change is not known: see slurm.rights above")
    else:
        _level(group, rights, slurm)
    _sudo(group, slurm, ended.get("sudo"))
    hidden = ended.get("private")
    few = rights is not None and rights.level in {"no admin", "Coordinator", "unknown"}
    if isinstance(hidden, frozenset) and hidden:
        said = f"slurm.conf keeps {', '.join(sorted(hidden))} private"
        if few:
            group.warn(
                "PrivateData", f"{said}: others' are not shown to you, and counts are too low",
                "ask for AdminLevel=Operator, which sees all", hides=sorted(hidden),
            )  # fmt: skip
        else:
            group.ok("PrivateData", f"{said}; your level sees all", hides=sorted(hidden))
    elif isinstance(hidden, frozenset):
        group.ok("PrivateData", "slurm.conf hides nothing from you", hides=[])
    else:
        why = f": {fault_of(hidden).what}" if isinstance(hidden, Exception) else ""
        group.note("PrivateData", f"what slurm.conf hides from ordinary accounts is unknown{why}")


def _level(group: FindingGroup, rights: Rights, slurm: SlurmSettings) -> None:
    figures: dict[str, Any] = {"user": rights.user, "level": rights.level, "nodes": rights.nodes, "jobs": rights.jobs}
    who = f"{rights.user}, {rights.level}" + ("" if rights.why == rights.level else f" ({rights.why})")
    may = _MAY.get((rights.nodes, rights.jobs))  # type: ignore[arg-type]
    behind = f" behind {clean(' '.join(slurm.prefix))}" if slurm.prefix else ""
    if rights.level == "unknown" or may is None:
        nodes, jobs = ({True: "yes", False: "no", None: "unknown"}[one] for one in (rights.nodes, rights.jobs))
        said = f"{who}{behind}; may change nodes: {nodes}, everybody's jobs: {jobs}"
        group.note("Slurm", said, "Slurm will say; keys stay offered", **figures)
    elif rights.level == "SlurmUser" and not slurm.prefix:
        more(group, "slurm-user", who, **figures)
    elif rights.level == "Administrator" and not slurm.prefix:
        group.ok("Slurm", f"{who}; {may}", **figures)
        more(group, "administrator", "an Administrator", warn=False)
    else:
        group.ok("Slurm", f"{who}{behind}; {may}", **figures)
    if rights.nodes is False:
        group.note("Slurm", f"{NODE_ACTIONS} take an Administrator", "ask the site for it, where you need them")
    if rights.jobs is False:
        group.note("Slurm", f"{JOB_ACTIONS} of others' jobs take an Operator", "ask the site for it, if you need them")


def _sudo(group: FindingGroup, slurm: SlurmSettings, found: Any) -> None:
    if not slurm.prefix:
        return
    prefix = clean(" ".join(slurm.prefix))
    if isinstance(found, SourceFault) or found is None:
        why = found.fault.what if isinstance(found, SourceFault) else f"what {slurm.prefix[0]} allows cannot be asked"
        group.note("sudo", f"{prefix}: {clean(why)}", "try it by hand: sudo -n -l")
    elif isinstance(found, Exception):
        group.note("sudo", fault_of(found).what)
    elif doctor_reads.EXCESS_COMMANDS[0][1] in found:
        more(group, "sudo-all", f"{prefix} lets through {found[0]}", allows=list(found))
    elif found:
        more(group, "sudo-wide", f"{prefix} lets through {', '.join(found)}", allows=list(found))
    else:
        group.ok("sudo", f"{prefix}: nothing that was asked beyond what wacht sends", allows=[])


def _rest(group: FindingGroup, slurm: SlurmSettings, ended: Mapping[str, Any]) -> None:
    if "rest" not in slurm.transports:
        return
    if slurm.url is not None and slurm.token_file is None:
        group.ok("token", "scontrol token makes one, for half an hour at a time")
    token = ended.get("token")
    if isinstance(token, SourceFault):
        group.bad("token", token.fault.what, token.fault.mend)
    elif isinstance(token, doctor_reads.TokenClaims):
        _token(group, token)
    uid = ended.get("listener")
    if isinstance(uid, int):
        if uid == 0 or _name(uid) == "slurm":
            more(group, "restd-root", f"slurmrestd runs as {_name(uid)}", uid=uid)
        else:
            group.ok("slurmrestd", f"runs as {_name(uid)} on its socket: Slurm sees you as that account", uid=uid)


def _token(group: FindingGroup, token: doctor_reads.TokenClaims) -> None:
    whose = f"of {token.user}" if token.user else "without a user"
    figures: dict[str, Any] = {"user": token.user, "left_s": token.left_s, "lasts_s": token.lasts_s}
    left = token.left_s
    renew = f"scontrol token username={token.user or 'NAME'} lifespan=43200 > FILE, without the SLURM_JWT= before it"
    if left is not None and left <= 0:
        group.bad("token", f"the token {whose} ended {seconds(-left)} ago", f"make a new one: {renew}", **figures)
        return
    if token.user in {"root", "slurm"}:
        more(group, "token-root", f"it is for {token.user}")
    if left is None or max(left, token.lasts_s or 0) > LONG_S:
        how = "it never ends" if left is None else f"it is good for another {seconds(left)}"
        more(group, "token-long", how, **figures)
    elif left < SHORT_S:
        group.warn("token", f"the token {whose} ends in {seconds(left)}", f"make a new one: {renew}", **figures)
    else:
        group.ok("token", f"the token {whose} is good for another {seconds(left)}", **figures)


# -- servers behind HTTP -----------------------------------------------------------------------------------------------


def far(url: str) -> bool:
    """Whether a URL is on another host."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def _web(group: FindingGroup, sources: ClusterSources, ended: Mapping[str, Any]) -> None:
    for key, chosen in sources.others.items():
        if isinstance(chosen, WebSettings) and chosen.url.startswith("http:") and far(chosen.url):
            more(group, "plain-http", f"{key} is asked in the clear", of=key)
    flags = getattr(ended.get("prometheus"), "flags", None)
    if "prometheus" in sources.others:
        if flags is None:
            group.note("prometheus", "its flags are unknown: it may allow deleting series, or stopping it")
        else:
            for flag, key in (("admin-api", "prometheus-admin"), ("lifecycle", "prometheus-lifecycle")):
                if flags.get(f"web.enable-{flag}"):
                    more(group, key, f"--web.enable-{flag} is on")
            if not any(flags.values()):
                group.ok("prometheus", "it can only be read: no admin API, no lifecycle API")
    alertmanager = sources.others.get("alertmanager")
    if isinstance(alertmanager, WebSettings):
        if alertmanager.token_file is None:
            more(group, "alertmanager-open", "it takes you without a token", warn=far(alertmanager.url))
        else:
            group.note("alertmanager", "the proxy before it decides who may silence: that cannot be asked beforehand")
