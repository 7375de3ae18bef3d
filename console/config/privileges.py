"""Least privileges: what each way of reading and acting needs, and which rights exceed that. One table with two uses:
`wacht doctor` reports excess rights from it, and docs/rights.md shows its tables.

That an Operator may change jobs and an Administrator nodes is Slurm's own rule, checked on slurmctld 24.11 and 26.05 by
tests/lab/test_rights_lab.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from console.actions.registry import ACTIONS


class Privilege(Struct, frozen=True, kw_only=True):
    """The least right that something needs."""

    way: str
    """cli, rest, native, sudo, prometheus, alertmanager, nvml, files."""
    to: str
    least: str


class Excess(Struct, frozen=True, kw_only=True):
    """A right that is more than needed, or exposes more than it should."""

    name: str
    """The name in doctor's first column."""
    what: str
    why: str
    mend: str


def _actions(needs: str, kind: str) -> str:
    """The actions with a key by name, and the number of others; docs/actions.md lists all."""
    those = [action for action in ACTIONS if action.kind == kind and action.admin_level == needs]
    named = ", ".join(action.id for action in those if action.key)
    more = sum(not action.key for action in those)
    return f"{named} and {more} more" if more else named


NODE_ACTIONS = _actions("Administrator", "node")
JOB_ACTIONS = _actions("Operator", "job")

NEEDS: tuple[Privilege, ...] = (
    Privilege(way="cli", to="read nodes, partitions, reservations, the queue, sdiag",
         least="any account that the controller knows, without a level; `PrivateData` in slurm.conf hides what it names"
               " (with `jobs` everybody else's jobs: then Operator)"),
    Privilege(way="cli", to="read runaway jobs: sacct",
         least="any account that slurmdbd knows; with `jobs` in `PrivateData` of slurm.conf nothing is said of them but"
               " to root and SlurmUser"),
    Privilege(way="cli", to="read priorities, fair shares and limits: sprio, sshare, scontrol show assoc_mgr",
         least="any account; `usage` in `PrivateData` leaves it its own shares and its own limits"),
    Privilege(way="cli", to=f"own jobs: {JOB_ACTIONS}",
         least="the account itself; an admin's hold and a higher priority take an Operator"),
    Privilege(way="cli", to=f"everybody's jobs: {JOB_ACTIONS}",
         least="AdminLevel=Operator; for the jobs of an account its coordinator"),
    Privilege(way="cli", to=f"nodes: {NODE_ACTIONS}",
         least="AdminLevel=Administrator: Slurm lets no Operator change nodes. Or rules of sudo for these commands"),
    Privilege(way="cli", to="partitions: partition-down, partition-up",
         least="AdminLevel=Administrator: an Operator cannot. Or a rule of sudo for `scontrol update PartitionName=*`"),
    Privilege(way="cli", to="reservations: reserve, extend, unreserve", least="AdminLevel=Operator"),
    Privilege(way="cli", to="users: block, unblock",
         least="AdminLevel=Operator, and a slurmdbd: `sacctmgr modify user`"),
    Privilege(way="sudo", to="writing commands behind `prefix`",
         least="rules for `scontrol update NodeName=*`, `scontrol reboot *`, and what else is used of `scontrol"
               " requeue`, `hold`, `release`, `scancel`; never ALL, never scontrol with any words"),
    Privilege(way="rest", to="read and act at an address (auth/jwt)",
         least="a token for an account of the level above, that lasts a shift, in a file of mode 0600; https"),
    Privilege(way="rest", to="read and act on a socket (rest_auth/local)",
         least="slurmrestd as that account itself: Slurm sees the account that it runs as. Never as root or SlurmUser"),
    Privilege(way="native", to="read and act", least="as cli: libslurm sends munge's word for the account"),
    Privilege(way="prometheus", to="read",
         least="GET /api/v1/query and /api/v1/query_range; doctor also looks at /api/v1/status/flags"),
    Privilege(way="alertmanager", to="read",
        least="GET /api/v2/alerts and /api/v2/silences; doctor also /api/v2/status"),
    Privilege(way="alertmanager", to="take, silence, lift",
         least="POST /api/v2/silences, DELETE /api/v2/silence/ID. Alertmanager does not authenticate: a proxy must"),
    Privilege(way="nvml", to="read this node's GPUs",
         least="opening /dev/nvidiactl and /dev/nvidia0 …, which every user may by default"),
    Privilege(way="files", to="run, keep a journal",
         least="own files of mode 0600 in own directories; /dev/log, so that syslog has the audit copy"),
)  # fmt: skip

#: Excess rights by the code that doctor uses.
MORE: Mapping[str, Excess] = {
    "root": Excess(
        name="account", what="wacht as root",
        why="everything that a bug or a slip does would be unlimited",
        mend="run it as your own account, and ask for AdminLevel=Operator or Administrator"),
    "slurm-user": Excess(
        name="Slurm", what="wacht as SlurmUser",
        why="it may do all that the controller can, and read its keys",
        mend="run it as your own account, and ask for AdminLevel=Operator or Administrator"),
    "administrator": Excess(
        name="Slurm", what="Administrator, for who changes jobs alone",
        why="it is the least for nodes, and too much for jobs: it may change partitions and stop the controller",
        mend="who never changes nodes does with: sacctmgr modify user NAME set adminlevel=Operator"),
    "sudo-all": Excess(
        name="sudo", what="a rule of sudo for ALL",
        why="it runs any program as another account",
        mend="write rules for the commands alone that wacht sends (docs/rights.md), with visudo"),
    "sudo-wide": Excess(
        name="sudo", what="a rule of sudo for scontrol with any words",
        why="scontrol can stop the controller and change partitions",
        mend="name the words in the rule: scontrol update NodeName=*, scontrol reboot * (docs/rights.md)"),
    "setuid": Excess(
        name="setuid", what="wacht setuid or setgid",
        why="whoever starts it acts as another account",
        mend="take the bit off: chmod ug-s FILE"),
    "capabilities": Excess(
        name="capabilities", what="capabilities of the process",
        why="wacht needs none",
        mend="see getcap of the interpreter, and AmbientCapabilities of what starts it"),
    "group": Excess(
        name="groups", what="the groups docker, lxd, disk, sudo, wheel, admin, slurm",
        why="they lead to root, or to Slurm's keys",
        mend="leave them to the accounts that need them: gpasswd -d NAME GROUP"),
    "token-long": Excess(
        name="token", what="a token that lasts longer than a month, or has no end",
        why="a copy of it is good for as long",
        mend="make one that ends after the shift: scontrol token username=NAME lifespan=43200"),
    "token-root": Excess(
        name="token", what="a token for root or SlurmUser",
        why="whoever reads it may do all that the controller can",
        mend="make one for your own account: scontrol token lifespan=43200"),
    "restd-root": Excess(
        name="slurmrestd", what="slurmrestd as root or SlurmUser",
        why="on its socket Slurm sees the account that it runs as",
        mend="start it as an account of its own, with the level that is needed"),
    "prometheus-admin": Excess(
        name="prometheus", what="Prometheus with --web.enable-admin-api",
        why="whoever reaches it can delete series",
        mend="start it without, or let a proxy refuse /api/v1/admin"),
    "prometheus-lifecycle": Excess(
        name="prometheus", what="Prometheus with --web.enable-lifecycle",
        why="whoever reaches it can stop it",
        mend="start it without, or let a proxy refuse /-/quit and /-/reload"),
    "alertmanager-open": Excess(
        name="alertmanager", what="an Alertmanager that asks for no token",
        why="whoever reaches it can silence every alert: Alertmanager has no rights of its own",
        mend="put a proxy with authentication before it, and name a token_file"),
    "plain-http": Excess(
        name="http", what="plain http to another host",
        why="whoever is on the way can read and forge the answers that you act on",
        mend="put https before it, and name the site's certificates with ca"),
    "writable": Excess(
        name="writable", what="files or directories that others can write",
        why="who writes them decides what wacht does as you",
        mend="take it off: chmod go-w FILE"),
    "readable": Excess(
        name="readable", what="a journal or a shelf of readings that others can read",
        why="it contains reasons and commands",
        mend="close it: chmod go-rwx FILE"),
}  # fmt: skip


def tables() -> str:
    """The tables of docs/rights.md."""
    lines = ["| way | to | least |", "|---|---|---|"]
    lines += [f"| {one.way} | {one.to} | {one.least} |" for one in NEEDS]
    lines += ["", "| more than needed | why | what to do |", "|---|---|---|"]
    lines += [f"| {one.what} | {one.why} | {one.mend} |" for one in MORE.values()]
    return "\n".join(lines) + "\n"
