"""The transports to one living Slurm side by side: what differs between them, and what a poll over each costs.

`python3 -m tests.lab.transports [SUITE...]` writes the table of docs/slurm.md anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

from msgspec import Struct

from collectors.slurm import SlurmSettings
from collectors.slurm.operations import SlurmOperation
from collectors.slurm.rest import client
from collectors.slurm.sources import open_by_name
from collectors.slurm.transport import KINDS, ServerInfo, SlurmTransport, unsupported
from console.actions.registry import ACTIONS as ROWS_OF_ACTIONS
from tests.support.paths import DOCS

from . import rest
from .roots import SUITES
from .slurm import Lab

#: What is done to Slurm, by the name of the action.
ACTIONS = {one.id: one.operation for one in ROWS_OF_ACTIONS if isinstance(one.operation, SlurmOperation)}
PAGE = DOCS / "slurm.md"
BEGIN, END = "<!-- table: written by tests/lab/transports.py -->", "<!-- end of the table -->"
#: The data parsers that each version has; tests/lab/test_transports_lab.py reads with every one.
PARSERS = {"trixie": (42, 41, 40), "forky": (45, 44, 43, 42)}
#: Kinds that are one row for each of their names; the others are figures of a moment, or of whoever asks.
ROWS = ("nodes", "jobs", "partitions", "reservations")


class Allowed(Struct, frozen=True, kw_only=True):
    """A difference between the commands and slurmrestd that is known, and whose fault it is."""

    kind: str
    field: str
    """"" is a row that only slurmrestd has."""
    until: int = 99
    """The last data parser that has it."""
    why: str


ALLOWED = (
    Allowed(kind="nodes", field="comment", why="scontrol breaks a comment's lines, and what follows is no field's"),
    Allowed(kind="nodes", field="extra", why="scontrol breaks the lines of Comment and Extra"),
    Allowed(kind="jobs", field="", why="squeue -r leaves out the last task of an array whose tasks have a step"),
    Allowed(kind="partitions", field="default", until=44, why="slurmrestd tells the default from v0.0.45 on"),
)


def settings(lab: Lab, transport: str = "rest", **more: Any) -> SlurmSettings:
    """How a site would configure the lab's socket."""
    there = {"socket": str(rest.socket(lab))} if transport == "rest" else {}
    return SlurmSettings(transport=transport, share=False, **there, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def known(*parsers: int) -> Iterator[None]:
    """wacht knows only these data parsers, and has asked nobody yet."""
    client.RestServer.forget()
    with mock.patch.object(client, "PARSERS", parsers):
        yield
    client.RestServer.forget()


def rows(opened: SlurmTransport, kind: str) -> Mapping[str, Any]:
    """All rows of a kind, read anew."""
    reader = opened.reader(kind)
    found: Mapping[str, Any] = getattr(reader.read(), kind)
    reader.close()
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Row and field to the two values; the field of a row that only one has is ""."""
    found: dict[tuple[str, str], Any] = {
        (key, ""): (key in one, key in other) for key in one.keys() ^ other.keys()
    }  # fmt: skip
    for key in one.keys() & other.keys():
        for field in one[key].__struct_fields__:
            here, there = getattr(one[key], field), getattr(other[key], field)
            if here != there:
                found[key, field] = (here, there)
    return found


def strange(kind: str, parser: int, found: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """The differences that are not among those known."""
    fine = {one.field for one in ALLOWED if one.kind == kind and parser <= one.until}
    return {
        key: values for key, values in found.items()
        if key[1] not in fine or (key[1] == "" and values == (True, False))
    }  # fmt: skip


# -- the table ---------------------------------------------------------------------------------------------------------


def column(lab: Lab, transport: str) -> tuple[str, dict[str, str]]:
    """The head of a column, and its lines: what the second reading costs, whether it can, or why not."""
    opened = open_by_name(transport, "lab", settings(lab, transport))
    about = opened.about()
    there = client.server_info_of(settings(lab)) if transport == "rest" else ServerInfo(slurmdbd=True)
    cells: dict[str, str] = {}
    for kind in KINDS:
        if (why := unsupported(transport, kind, there)) is not None:
            cells[kind] = f"no: {why}"
            continue
        reader = opened.reader(kind)
        reader.read()
        if kind == "rights":  # how many questions that is depends on who asks
            cells[kind] = "yes"
            continue
        began = time.perf_counter()
        reader.read()
        took = 1e3 * (time.perf_counter() - began)
        size = "" if reader.size is None else f"{reader.size / 1e3:,.0f} kB, "
        cells[kind] = f"{size}{took:.0f} ms"
        reader.close()
    for action, operation in ACTIONS.items():
        why, task = unsupported(transport, operation, there), unsupported(transport, operation, there, "tasks")
        cells[action] = f"no: {why}" if why else "yes, but no tasks" if task else "yes"
    return f"{about.version} {transport}" + (f" {about.parser}" if about.parser else ""), cells


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """As Markdown: a line a read and an action, a column a version and transport."""
    lines = [f"| | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    for what in (*KINDS, *ACTIONS):
        name = f"read {what}" if what in KINDS else what
        lines.append(f"| {name} | {' | '.join(cells.get(what, '') for cells in columns.values())} |")
    return "\n".join(lines)


def main() -> None:
    """Read over every transport of every version, and write the table."""
    columns: dict[str, Mapping[str, str]] = {}
    for suite in sys.argv[1:] or SUITES:
        with Lab(suite, nodes=64, restd=True, accounting=True) as lab:
            for size in (8, 4, 1):
                lab.submit(5, user="alice", nodes=2, gpus=size, seconds=3600)
            lab.submit(10_000, user="bob", nodes=48, seconds=3600)
            os.environ["PATH"] = f"{lab.bin_dir}:{os.environ['PATH']}"
            client.RestServer.forget()
            for transport in ("cli", "rest"):
                head, cells = column(lab, transport)
                columns[head] = cells
    text = PAGE.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(f"{text[:start]}\n{table(columns)}\n{text[stop:]}")


if __name__ == "__main__":
    main()
