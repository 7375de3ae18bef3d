"""What decides who waits, from sprio, sshare and scontrol show assoc_mgr. Only on demand: each call makes the
controller walk over all jobs or all accounts.

None of them prints text of users: names of accounts and QOS come from slurmdbd. A malformed row is left out, never
guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from collectors import process
from collectors.clean import clean
from collectors.model import Factors, Limits, Share, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.fields import integer, real

from . import association_text
from .read_command import ask, lines

#: sprio's format of each figure, and its factor.
_FACTORS = (("%A", "age"), ("%B", "association"), ("%F", "fair share"), ("%J", "size"), ("%P", "partition"),
            ("%Q", "QOS"), ("%S", "site"), ("%N", "nice"))  # fmt: skip
_SPRIO = "|".join(("%i", "%r", "%Y", *(sign for sign, _ in _FACTORS), "%T"))
_SSHARE = ("Account", "User", "RawShares", "NormShares", "RawUsage", "EffectvUsage", "FairShare")
_NO_FACTORS = "Slurm runs without priority/multifactor: jobs wait in the order they came"
_NO_SHARES = "Slurm gives out no shares: it keeps no accounts (no slurmdbd), or shows this account none"
_NO_ACCOUNTS = "Slurm keeps no accounts (no slurmdbd), so it sets no limits"


class SlurmQueueing:
    """Reads from the commands of one Slurm."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def factors(self, job: str) -> Factors:
        """The points of each factor. Waiting tasks of an array have those of the array. Raises SourceFault."""
        number = re.match(r"[0-9]{1,18}", job)
        if number is None:
            raise SourceFault("missing", f"{clean(job)[:40]} is no number of a job")
        found = self._lines(["sprio", f"--jobs={number[0]}", "-o", _SPRIO])
        return factors(job, found)

    def shares(self) -> Sequence[Share]:
        """Every account and user. Raises SourceFault."""
        found = shares(self._lines(["sshare", "-a", "-P", "-o", ",".join(_SSHARE)]))
        if not found:
            raise SourceFault("missing", _NO_SHARES)
        return found

    def limits(self) -> Limits:
        """Every limit. Raises SourceFault."""
        made = association_text.limits(self._lines(["scontrol", "-o", "show", "assoc_mgr", "flags=assoc,qos"]))
        if made is None:
            raise SourceFault("missing", _NO_ACCOUNTS)
        return made

    def _lines(self, argv: Sequence[str]) -> list[str]:
        if "cli" not in self._settings.transports:
            raise SourceFault("missing", "priorities, fair shares and limits are read by Slurm's commands alone",
                              'slurm = { …, fallback = ["cli"] } reads them')  # fmt: skip
        try:
            with process.extra_environment(self._settings.command_environment):
                return lines(ask(argv, self._settings.deadline_s), argv[0])
        except SourceFault as error:
            if "priority plugin" in error.fault.what:
                raise SourceFault("missing", _NO_FACTORS) from None
            raise


def factors(job: str, rows: Sequence[str]) -> Factors:
    """The factors that sprio printed; for a job in several partitions the row with the highest priority. Raises
    SourceFault."""
    if not rows or not rows[0].startswith("JOBID|"):
        raise SourceFault("malformed", "sprio printed no header", "run it by hand to see")
    best: Factors | None = None
    for row in rows[1:]:
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) != 3 + len(_FACTORS) + 1 or cells[0] != re.split(r"[_+]", job, maxsplit=1)[0]:
            continue
        figures = {name: real(cell) for (_, name), cell in zip(_FACTORS, cells[3:-1], strict=True)}
        points = {name: round(value) for name, value in figures.items() if value}
        points |= {"TRES": tres} if (tres := _tres_points(cells[-1])) else {}
        points |= {"nice": -points["nice"]} if "nice" in points else {}  # nice is subtracted
        made = Factors(job=job, priority=integer(cells[2]), points=points)
        if best is None or (made.priority or 0) > (best.priority or 0):
            best = made
    if best is None:
        raise SourceFault("missing", f"Slurm weighs no job that is held or may not begin yet, as job {clean(job)[:40]}")
    return best


def _tres_points(text: str) -> int:
    """The points of all TRES together (`cpu=12,gres/gpu=800`)."""
    return sum(round(real(part.partition("=")[2]) or 0) for part in text.split(",") if "=" in part)


def shares(rows: Sequence[str]) -> Sequence[Share]:
    """The shares that sshare printed: an account is indented one blank more than its parent. Raises SourceFault."""
    if not rows or rows[0].split("|")[:2] != ["Account", "User"]:
        raise SourceFault("malformed", "sshare printed no header", "run it by hand to see")
    above: list[str] = []
    """The account at each depth, down to the last one."""
    found = []
    for row in rows[1:]:
        cells = row.split("|")
        if len(cells) != len(_SSHARE):
            continue
        name, user = clean(cells[0].strip()), clean(cells[1].strip())
        depth = len(cells[0]) - len(cells[0].lstrip(" "))
        if not name:
            continue
        if not user:
            above = [*above[:depth], name]
        raw, norm, usage, part, factor = cells[2:]
        found.append(
            Share(
                account=name,
                user=user or None,
                parent=above[depth - 1] if not user and 0 < depth <= len(above) else None,
                shares=integer(raw),
                shares_norm=real(norm),
                usage=integer(usage),
                usage_part=real(part),
                factor=real(factor),
            )
        )
    return found


def open_queueing(cluster: str, settings: SlurmSettings) -> SlurmQueueing:
    """Reads on demand. Starts nothing."""
    return SlurmQueueing(settings)
