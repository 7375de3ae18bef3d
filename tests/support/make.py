"""What tests are made of: facts with sensible defaults, stand-ins for Slurm's commands, and the recordings."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from collectors.model import Alert, Change, Cluster, Facts, Fault, Job, Node, Reading, Source
from collectors.nodestate import display_word, parse_state
from collectors.slurm.commands.jobs import COLUMNS, NAMED
from console.actions.registry import BY_ID
from console.config.keymap import KeyLine
from console.ingest import reduce as reducer
from tests.support.paths import DATA

RECORDED = DATA / "recorded"
VERSIONS = ("24.11", "26.05")
NOW = 1_795_000_000
"""The present of the tests, seconds since the epoch."""
FENCE = "QWERTYUIOPASDFGH"
"""The fence of the recordings."""
PENDING = {"JobArrayID": "101", "State": "PENDING", "UserName": "alice", "Partition": "gpu", "QOS": "(null)",
           "NumNodes": "2", "NumCPUs": "224", "NumTasks": "2", "tres-alloc": "cpu=224,mem=3808000M,node=2,billing=224",
           "tres-per-node": "gres/gpu:h100:8", "tres-per-job": "N/A", "tres-per-task": "N/A", "tres-per-socket": "N/A",
           "Sockets": "*", "RestartCnt": "0", "PriorityLong": "4294901757", "SubmitTime": "1795509455",
           "StartTime": "N/A", "TimeLimit": "1:00:00", "NodeList": "", "Reason": "Priority", "Account": "(null)",
           "Name": "train"}  # fmt: skip


def node(name: str = "gpu0001", state: str = "IDLE", **more: Any) -> Node:
    """A node in that state, as scontrol writes it (`IDLE+DRAIN`)."""
    base, flags = parse_state(state)
    given = {"gpus": 8, "gpus_alloc": 0, "partitions": ("gpu",)} | more
    return Node(name=name, state=base, flags=flags, display=display_word(base, flags), **given)


def job(id: str = "101", state: str = "RUNNING", nodes: str | None = None, **more: Any) -> Job:
    """A job of alice's that asks for 8 GPUs, and holds them where `nodes` are given."""
    given = {"name": "train", "user": "alice", "partition": "gpu", "gpus": 8} | more
    return Job(id=id, state=state, nodes=nodes, **({"gpus_held": given["gpus"] if nodes else None} | given))


def alert(name: str = "NodeDown", node: str | None = None, id: str = "", labels: Mapping[str, str] = {},
          **more: Any) -> Alert:  # fmt: skip
    """A critical alert that began an hour before NOW. Its labels are its name, its node and `labels`; its id is made of
    them unless it is given.
    """
    full = {"alertname": name} | ({"node": node} if node else {}) | dict(labels)
    given = {"severity": "critical", "starts": NOW - 3600, "node": full.get("node")} | more
    return Alert(id=id or f"{name}/{sorted(full.items())}", name=name, labels=full, **given)


def reading(source: str = "slurm.nodes", mono: float = 100.0, took: float = 0.1, fault: Fault | None = None,
            **facts: Any) -> Reading:  # fmt: skip
    """One reading with these facts, or with that fault; its wall clock runs 1000 s ahead of its monotonic one."""
    found = Facts(**{key: keyed(value) for key, value in facts.items()}) if fault is None else None
    return Reading(cluster="lab", source=source, at=mono + 1000, mono=mono, took_s=took, facts=found, fault=fault)


def keyed(rows: Any) -> Any:
    """Rows by key, id, name or node, as every mapping of facts has them."""
    if not isinstance(rows, list):
        return rows
    return {next(key for word in ("key", "id", "name", "node") if (key := getattr(row, word, None))): row
            for row in rows}  # fmt: skip


def cluster(
    name: str = "lab", sources: Iterable[Source] | None = None, at: float | None = None, **facts: Any
) -> Cluster:
    """A cluster in which these facts (`nodes=[...]`, `jobs=[...]`) have been read, joined as the product joins them.

    A kind that is None was not read. `sources` replaces the one source that has read everything, `at` its time.
    """
    given = {kind: list(rows) if isinstance(rows, tuple) else rows for kind, rows in facts.items() if rows is not None}
    made = reducer.begin(name, [])
    if given:
        made, _ = reducer.reduce(made, reading("slurm.all", **given))
    replaced = {"at": at, "sources": None if sources is None else keyed(list(sources))}
    return replace(made, **{key: value for key, value in replaced.items() if value is not None})


def key_lines(**named: object) -> list[KeyLine]:
    """Keys or filters of a configuration, each on a line of its own."""
    return [KeyLine(f"own.toml:{at}", name, value) for at, (name, value) in enumerate(named.items(), 1)]


class Commands:
    """Stand-ins for Slurm's commands: small shell scripts, alone on PATH but for the system's own."""

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.log = folder / "calls"
        self._cases: dict[str, list[str]] = {}
        monkeypatch.setenv("PATH", f"{self.folder}:{os.defpath}")

    def script(self, program: str, text: str) -> None:
        """The whole body of one, in sh."""
        path = self.folder / program
        path.write_text(f'#!/bin/sh\nprintf "%s %s\\n" {program} "$*" >> {shlex.quote(str(self.log))}\n{text}\n')
        path.chmod(0o755)

    def says(self, program: str, out: str | bytes = b"", err: str = "", rc: int = 0, to: str = "*") -> None:
        """What one prints and ends with, for arguments that fit `to` (as sh's `case` does); the first that fits wins.

        `@F` in the output becomes the fence that was asked for: the last word's part behind its last colon.
        """
        cases = self._cases.setdefault(program, [])
        raw = self.folder.parent / f"{program}.{len(cases)}"
        raw.write_bytes(out.encode("utf-8", "surrogateescape") if isinstance(out, str) else out)
        quoted = to.replace(" ", "\\ ")
        cases.append(
            f'{quoted}) LC_ALL=C sed "s/@F/$mark/g" {shlex.quote(str(raw))}; printf %s {shlex.quote(err)} >&2; '
            f"exit {rc};;"
        )
        self.script(program, "\n".join(['mark="${*##*:}"', 'case "$*" in', *cases, "esac", "exit 64"]))

    @property
    def calls(self) -> list[str]:
        """What was called, with its arguments, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def row(**cells: str) -> str:
    """One raw row of squeue, without its fence. Columns by squeue's names, `_` for `-`."""
    given = PENDING | {key.replace("_", "-"): value for key, value in cells.items()}
    assert given.keys() == set(COLUMNS), given.keys() ^ set(COLUMNS)
    return "|".join(given[column] for column in COLUMNS)


def named_row(nice: str = "0", excluded: str = "", **cells: str) -> str:
    """One raw row of squeue as it is of a job that was asked for by name."""
    given = PENDING | {key.replace("_", "-"): value for key, value in cells.items()}
    given |= {"Nice": nice, "ExcNodes": excluded}
    return "|".join(given[column] for column in NAMED)


def squeue(*rows: str, columns: Sequence[str] = COLUMNS) -> str:
    """A whole answer of squeue, its fences as `@F`; `columns` are NAMED where jobs were asked for by name."""
    header = "|".join(column.upper() for column in columns)
    return "".join(f"{one}@F\n" for one in (header, *rows))


def line(name: str, state: str = "IDLE", end: str = "", **cells: str) -> str:
    """One line of `scontrol show node -d -o`, as 26.05 prints it, with `end` behind it."""
    given = {"CPUAlloc": "0", "Gres": "gpu:h100:8", "GresUsed": "gpu:h100:0(IDX:N/A)", "Partitions": "gpu"} | cells
    return (
        f"NodeName={name} Arch=x86_64 CoresPerSocket=56  CPUAlloc={given['CPUAlloc']} CPUEfctv=112 CPUTot=112 "
        f"CPULoad=1.90 AvailableFeatures=(null) ActiveFeatures=(null) Gres={given['Gres']} GresDrain=N/A "
        f"GresUsed={given['GresUsed']} NodeAddr=127.0.0.1 NodeHostName={name} Port=6818 Version=26.05.5 "
        f"OS=Linux 6.12.0-lab #1 SMP PREEMPT_DYNAMIC @0  RealMemory=2000000 AllocMem=0 FreeMem=22992 Sockets=2 "
        f"Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A "
        f"Partitions={given['Partitions']}  BootTime=1795507276 SlurmdStartTime=1795509455 LastBusyTime=1795509456 "
        f"ResumeAfterTime=None SuspendTime=INFINITE CfgTRES=cpu=112,mem=2000000M,billing=112 AllocTRES= "
        f"CurrentWatts=0 AveWatts=0{end}\n"
    )


@cache
def recorded(version: str, file: str) -> bytes:
    """What that Slurm printed."""
    return (RECORDED / version / file).read_bytes()


@cache
def recorded_jobs(version: str) -> str:
    """The recorded answer of squeue with the columns that wacht asks for now, its fences as `@F`.

    A column that was not recorded says what Slurm says where nothing was asked for.
    """
    argv = json.loads(recorded(version, "manifest.json"))["files"]["jobs.txt"]["argv"]
    columns = [part.partition(":")[0] for part in argv[-1].split(",")]
    text = recorded(version, "jobs.txt").decode("utf-8", "surrogateescape")
    header, *rows = text.split(f"{FENCE}\n")[:-1]
    assert header.count("|") == len(columns) - 1
    cells = [dict(zip(columns, one.split("|", len(columns) - 1), strict=True)) for one in rows]
    unsaid = {"NumTasks": "1", "tres-per-task": "N/A", "tres-per-socket": "N/A", "Sockets": "*"}
    return squeue(*("|".join((unsaid | one)[column] for column in COLUMNS) for one in cells))


def play(commands: Commands, version: str) -> None:
    """Let the stand-ins answer as that Slurm did when it was recorded."""

    def told(file: str) -> bytes:
        return recorded(version, file)

    lines = told("nodes.txt").decode("utf-8", "surrogateescape").split("\n")
    commands.says("scontrol", told("nodes.txt"), to="-a show node -d -o")
    for name in ("gpu0001", "gpu0002"):
        own = next(text for text in lines if text.startswith(f"NodeName={name} "))
        commands.says("scontrol", f"{own}\n", to=f"-a show node {name} -d -o")
    commands.says("scontrol", told("ping.txt"), to="ping")
    commands.says("scontrol", told("partitions.txt"), to="-a show partition -o")
    commands.says("scontrol", told("reservations.txt"), to="-a show reservation -o")
    commands.says("scontrol", told("config.txt"), to="show config")
    for number, kind in (("2", "running"), ("9", "pending")):
        commands.says("scontrol", told(f"job_{kind}.txt"), to=f"show job {number} -o")
        commands.says("scontrol", told(f"job_{kind}.json"), to=f"show job {number} --json=v0.0.42")
    reasons = f"NODELIST|USER|TIMESTAMP|REASON{FENCE}\n".encode() + told("reasons.txt")
    commands.says("sinfo", reasons.replace(FENCE.encode(), b"@F"), to="-a -R *")
    commands.says("sinfo", told("node_names.txt"), to="-a -h -o %N")
    commands.says("squeue", "JOBID|USER|END_TIME|NODELIST@F\n", to="-a -t CG*")
    commands.says("squeue", recorded_jobs(version))
    commands.says("sdiag", told("sdiag.txt"))
    # Without a topology Slurm prints nothing.
    commands.says("scontrol", to="show topology -o")


def change_of(action: str, **more: Any) -> Change:
    """A Change with the operation of the action's row; none where there is no such action."""
    row = BY_ID.get(action)
    given = {} if row is None else {"operation": row.operation, "kind": row.kind}
    return Change(action=action, **{**given, **more})
