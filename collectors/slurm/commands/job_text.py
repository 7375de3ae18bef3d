"""One job in full from a Slurm whose scontrol has no JSON (22.05, or built without it): fenced squeue output.

The indices of its GPUs are only in the text of `scontrol show job -d`, which a name could forge: they are taken from
after the job's own name and account, as squeue printed them, and before the first field that a user may fill.
"""

from __future__ import annotations

import re

from collectors.clean import clean, decode
from collectors.model import JobDetail, SourceFault
from collectors.nodeset import expand
from collectors.slurm.fields import gres_gpus, integer

from .read_command import ask, fence, value_or_none

#: squeue's names (22.05 to 26.05) of the fields of a JobDetail; free text is fenced like the rest.
FIELDS = (
    "State", "BatchFlag", "Requeue", "Dependency", "WorkDir", "Command", "STDOUT", "Comment", "admin_comment",
    "exit_code", "Feature", "tres-alloc", "BatchHost", "ReqNodes", "Licenses", "STDERR", "system_comment", "Account",
    "Name",
)  # fmt: skip
_MORE = {"tres_alloc_str": "tres-alloc", "batch_host": "BatchHost", "required_nodes": "ReqNodes",
         "licenses": "Licenses", "standard_error": "STDERR", "system_comment": "system_comment"}  # fmt: skip
_ALIVE = frozenset({"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "STOPPED"})
_HEAD = re.compile(r"JobId=[0-9]+ (?:(?:ArrayJobId|ArrayTaskId|ArrayTaskThrottle|HetJob\w+)=\S+ )*JobName=")
_HELD = re.compile(r"\sNodes=(\S+) CPU_IDs=\S+ Mem=[0-9]+ GRES=(\S*)")


def job_detail(job: str, text: str, deadline_s: float) -> JobDetail:
    """The job whose `scontrol show job -d -o` printed `text`. Raises SourceFault."""
    mark = fence()
    form = ",".join(f"{field}:{mark}" for field in FIELDS)
    argv = ["squeue", "-a", "-r", "-t", "all", "-j", job, "-O", form]
    rows = decode(ask(argv, deadline_s)).split(f"{mark}\n")
    cells = rows[1].split(mark) if len(rows) > 2 else []
    if len(cells) != len(FIELDS):
        raise SourceFault("malformed", f"squeue sent {len(cells)} fields of job {job}, {len(FIELDS)} were asked for",
                          "run it by hand to see")  # fmt: skip
    told = dict(zip(FIELDS, cells, strict=True))
    return JobDetail(
        id=job,
        gpu_indices=_indices(text, told["Name"], told["Account"]),
        batch=_flag(told["BatchFlag"]),
        requeueable=_flag(told["Requeue"]),
        dependency=value_or_none(told["Dependency"]),
        working_dir=value_or_none(told["WorkDir"]),
        command=value_or_none(told["Command"]),
        stdout=value_or_none(told["STDOUT"]),
        comment=value_or_none(told["Comment"]),
        admin_comment=value_or_none(told["admin_comment"]),
        exit_code=None if told["State"] in _ALIVE else _returned(told["exit_code"]),
        features=value_or_none(told["Feature"]),
        fields={key: value for key, field in _MORE.items() if (value := value_or_none(told[field])) is not None},
    )


def _returned(text: str) -> str | None:
    """The job's exit code, from its wait(2) status; None if a signal ended it."""
    status = integer(text)
    return None if status is None or status & 0x7F else str(status >> 8)


def _flag(text: str) -> bool | None:
    return {"0": False, "1": True}.get(text)


def _indices(text: str, name: str, account: str) -> dict[str, str]:
    """Node to the indices of the job's GPUs there; empty if the text is not as expected."""
    head = _HEAD.match(text)
    rest = text[head.end() :] if head else ""
    behind = f" Account={account} QOS="
    # 25.11 prints the job's SLUID there.
    if not re.match(rf"{re.escape(name)} (?:SLUID=\S+ )?UserId=", rest) or behind not in rest[len(name) :]:
        return {}
    rest = rest[len(name) :].partition(behind)[2].partition(" MinCPUsNode=")[0]
    found: dict[str, str] = {}
    for nodes, gres in _HELD.findall(rest):
        indices = gres_gpus(gres)[2]
        try:
            found |= dict.fromkeys(expand(nodes), clean(indices)) if indices else {}
        except ValueError:
            return {}
    return found
