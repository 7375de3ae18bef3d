"""Fuzz targets: raw bytes as a source would deliver them, through the parser that reads them.

A target raises for an exception that the parser does not document, and for a value, warning or error that contains
terminal control sequences. `@F` in the bytes is replaced by the fence of the command.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from collectors import nodeset, process, racks
from collectors.alertmanager import AlertmanagerSettings, answers
from collectors.clean import clean, decode
from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.nvml import kernel_log, process_owner
from collectors.nvml.protocol import NvmlReading as NvmlAnswer
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.answers import Envelope
from collectors.prometheus.client import Rows
from collectors.prometheus.gpu_rows import gpus_of
from collectors.prometheus.loads import LoadReader
from collectors.prometheus.site_power import PowerReader
from collectors.prometheus.site_queries import SiteQueries
from collectors.slurm import SlurmSettings, operations
from collectors.slurm.commands import controller, rights
from collectors.slurm.commands import job_text as jobtext
from collectors.slurm.commands.jobs import COLUMNS, QueueReader
from collectors.slurm.commands.nodes import NodeReader, reasons
from collectors.slurm.commands.queue_factors import SlurmQueueing
from collectors.slurm.commands.read_command import FENCE
from collectors.slurm.rest import answers as rest
from collectors.slurm.rest import jobs as rest_jobs
from console.config import commands
from console.config import settings as config
from console.filters import language
from console.health import xid_policy
from console.journal import chain, entries
from console.runtime.errors import UserError
from tests.hostile.values import foul
from tests.support.make import change_of

Target = Callable[[bytes], None]
CommandOutput = Callable[[Sequence[str]], bytes]
_NAMED = re.compile(rb"^NodeName=([A-Za-z0-9][A-Za-z0-9._-]*)(?: |$)", re.M)
_CLOCK = ManualClock()


class UnsafeText(AssertionError):
    """Text with terminal control sequences was not cleaned."""


def assert_clean(value: Any) -> None:
    """Raise UnsafeText if a text in a value was not cleaned."""
    if found := foul(value):
        raise UnsafeText("; ".join(found[:3]))


@contextmanager
def fake_slurm(output_of: CommandOutput) -> Iterator[None]:
    """Replace Slurm's commands: `output_of` returns what each prints."""

    def run(argv: Sequence[str], **_: Any) -> process.ProcessResult:
        out = output_of(argv)
        mark = FENCE.search(argv[-1]) or re.search("[A-Z]{16}", argv[-1])
        return process.ProcessResult(
            argv=tuple(argv), rc=0, out=out.replace(b"@F", mark[0].encode()) if mark else out, err="", took_s=0.0
        )

    with mock.patch.object(process, "run", run), mock.patch.object(process, "find", str):
        yield


def _read_source(read: Callable[[], Any], output_of: CommandOutput) -> None:
    """Read a source; a fault is a valid result."""
    with fake_slurm(output_of):
        try:
            assert_clean(read())
        except SourceFault as error:
            assert_clean([error.fault.kind, error.fault.what, error.fault.mend, str(error.fault)])


def edge(raw: bytes) -> None:
    """The sanitiser: cleaned text stays as it is, and contains no control characters or surrogates."""
    text = decode(raw)
    once = clean(text)
    if clean(once) != once:
        raise UnsafeText(f"a second pass changes {once[:60]!r}")
    if bad := [char for char in once if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000]:
        raise UnsafeText(f"{bad[:3]} in {once[:60]!r}")
    once.encode()


def nodes(raw: bytes) -> None:
    """`scontrol show node`, with its names in the inventory and a reason for every node."""
    names = sorted({match.decode() for match in _NAMED.findall(raw)})

    def output_of(words: Sequence[str]) -> bytes:
        if words[0] == "scontrol":
            return raw if words[-1] == "-o" and words[4] == "-d" else raw.partition(b"\n")[0] + b"\n"
        return "\n".join([*names, ""]).encode() if "%N" in words else b"NODELIST|USER|TIMESTAMP|REASON@F\n"

    _read_source(lambda: NodeReader().read(1.0), output_of)


def node_reasons(raw: bytes) -> None:
    """`sinfo -R`."""
    _read_source(lambda: reasons(1.0), lambda _: b"NODELIST|USER|TIMESTAMP|REASON@F\n" + raw)


def queue(raw: bytes) -> None:
    """`squeue`."""
    _read_source(lambda: QueueReader().read(1.0), lambda _: "|".join(COLUMNS).encode() + b"@F\n" + raw)


def partitions(raw: bytes) -> None:
    """`scontrol show partition`."""
    _read_source(lambda: controller.partitions(1.0), lambda _: raw)


def reservations(raw: bytes) -> None:
    """`scontrol show reservation`, with every name known to `sinfo -T`."""
    names = b"".join(match + b" x\n" for match in re.findall(rb"ReservationName=(\S+)", raw))
    _read_source(lambda: controller.reservations(1.0), lambda words: raw if words[0] == "scontrol" else names)


def diag(raw: bytes) -> None:
    """`sdiag`."""
    _read_source(lambda: controller.diag(1.0), lambda _: raw)


def queueing(raw: bytes) -> None:
    """`sprio`, `sshare` and `scontrol show assoc_mgr`."""
    asked = SlurmQueueing(SlurmSettings())
    for read in (lambda: asked.factors("5"), asked.shares, asked.limits):
        _read_source(read, lambda _: raw)


def job_json(raw: bytes) -> None:
    """`scontrol show job --json`."""
    _read_source(
        lambda: controller.job_detail("2", 1.0), lambda words: raw if "--json" in words[-1] else b"JobId=2 JobName=x "
    )


def job_text(raw: bytes) -> None:
    """`squeue` with a fence after every field, and the text of scontrol."""
    text = decode(raw)
    row = b"".join(raw[at * 7 : at * 7 + 40].replace(b"@F", b"") + b"@F" for at in range(len(jobtext.FIELDS)))
    _read_source(lambda: jobtext.job_detail("2", text, 1.0), lambda _: b"HEAD@F\n" + row + b"\n")


def topology(raw: bytes) -> None:
    """`scontrol show topology`, and a site's rack file."""
    try:
        assert_clean(dict(racks.leaf_switches(decode(raw))))
    except ValueError as error:
        assert_clean(clean(str(error)))
    with _file(raw) as path:
        try:
            assert_clean(dict(racks.read_file(path)))
        except ValueError:
            return


def who(raw: bytes) -> None:
    """`scontrol show config` and `sacctmgr`."""
    _read_source(
        lambda: rights._of(rights.SlurmAccount("alice", 1000), 1.0),
        lambda words: raw if words[0] == "scontrol" else b"",
    )
    _read_source(lambda: rights._level("alice", 1.0), lambda _: raw)


def _rest(raw: bytes, kind: Any, rows: str, made: Callable[[Any], Any]) -> None:
    try:
        found = getattr(msgspec.json.decode(raw, type=kind), rows)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    assert_clean(
        [made(one) for one in found or ()] if isinstance(found, list) else made(found) if found is not None else None
    )


def rest_nodes(raw: bytes) -> None:
    """slurmrestd's nodes."""
    _rest(raw, rest.Nodes, "nodes", rest.node)


def rest_queue(raw: bytes) -> None:
    """slurmrestd's jobs."""
    _rest(raw, rest_jobs.Jobs, "jobs", rest_jobs.job)


def rest_others(raw: bytes) -> None:
    """slurmrestd's partitions, reservations and diagnostics."""
    _rest(raw, rest.Partitions, "partitions", rest.partition)
    _rest(raw, rest.Reservations, "reservations", lambda one: rest.reservation(one, 0.0))
    _rest(raw, rest.Diagnostics, "statistics", lambda one: rest.diag(one, None))


class _Server:
    """A Prometheus that answers every query with the same rows."""

    ahead_s = 0.0

    def __init__(self, envelope: Envelope) -> None:
        rows = envelope.data.result if envelope.data else []
        self._rows = Rows(rows, (), 0.0)
        self.ask = self.ask_range = lambda *_: self._rows
        self.rows = lambda *_: self._rows.rows

    def server_now(self) -> float:
        """Its clock."""
        return _CLOCK.now()


def prometheus(raw: bytes) -> None:
    """An answer of Prometheus, used for every query."""
    try:
        server: Any = _Server(msgspec.json.decode(raw, type=Envelope))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for settings in (PrometheusSettings(url="http://x"), PrometheusSettings(url="http://x", recorded=True)):
        book = SiteQueries(settings)
        for reader in (LoadReader(book, server, _CLOCK), PowerReader(book, server, _CLOCK.mono)):
            try:
                assert_clean(reader.read())
            except SourceFault as error:
                assert_clean(str(error.fault))
    rows = server._rows.rows
    labels = {value: "gpu0001" for row in rows for value in row.metric.values()}
    assert_clean(gpus_of(rows, rows, "Hostname", labels, _CLOCK.now(), 0, 60.0))


def alertmanager(raw: bytes) -> None:
    """An answer of Alertmanager, as alerts, silences, one silence, and the id of a new one."""
    reader = answers.AlertAnswers(AlertmanagerSettings(url="http://x"))
    for read in (reader.alerts, reader.silences, answers.silence_of, answers.made_id):
        try:
            assert_clean(read(raw))
        except SourceFault as error:
            assert_clean(str(error.fault))


def driver(raw: bytes) -> None:
    """Kernel log, cgroups, `scontrol listpids`, and a message of the child process that reads the driver."""
    text = decode(raw)
    kernel_log._in(text, 0.0)
    process_owner.parse_listpids(text)
    assert_clean([one for one in process_owner.job_of(text) if one])
    try:
        msgspec.msgpack.decode(raw, type=NvmlAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return


def journal(raw: bytes) -> None:
    """Lines of a journal that another program may have written."""
    records = [chain.record(line) for line in raw.split(b"\n")]
    found = entries.join(records)
    assert_clean([entries.line_text(record) for record in records])
    assert_clean(
        [
            [one, entries.outcome_text(one), entries.targets_text(one), entries.valid_targets(one)]
            for one in map(shown, found.values())
        ]
    )
    assert_clean([entries.row_before(one, target) for one in found.values() for target in one.targets])
    assert_clean(entries.orphans_text(list(found.values())))
    assert_clean([dict(entries.outcome_of(one, {})) for one in found.values()])


def shown(entry: entries.JournalEntry) -> entries.JournalEntry:
    """An entry without the fields that stay raw until they are displayed."""
    return msgspec.structs.replace(entry, seen={name: {} for name in entry.seen})


def typed(raw: bytes) -> None:
    """Filters, commands and node sets, as typed or passed by a script."""
    text = decode(raw)
    for parse, wrong in (
        (lambda: language.compile_filter(text, "node"), language.FilterError),
        (lambda: language.compile_filter(text, "job"), language.FilterError),
        (lambda: commands.parse(text), commands.CommandError),
        (lambda: nodeset.expand(text, 1000), ValueError),
    ):
        try:
            parse()
        except wrong:
            continue
    nodeset.fold(text.split())


def orders(raw: bytes) -> None:
    """Target names and a reason: no argument that is sent may be taken for an option."""
    name, _, reason = decode(raw).partition("\n")
    for kind, action in (("node", "drain"), ("node", "reboot"), ("job", "cancel"), ("job", "hold")):
        more = {"next_state": {name: "RESUME"}} if action == "reboot" else {}
        change = change_of(kind=kind, action=action, targets=(name,), reason=reason, **more)
        try:
            sent = operations.calls(change)
        except ValueError:
            continue
        assert_clean([list(words) for words, _ in sent])
        for words, _ in sent:
            if any(name in word and word[:1] == "-" for word in words[1:]) or "\0" in "".join(words):
                raise UnsafeText(f"{words}")


def settings(raw: bytes) -> None:
    """A configuration and an XID policy: refused with an error, or loaded; nothing in them is executed."""
    with _file(raw) as path:
        for load in (lambda: config.load(str(path), {}, Path("/nonexistent")), lambda: xid_policy.load_policy(path)):
            try:
                load()
            except UserError:
                continue


@contextmanager
def _file(raw: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="wacht-fuzz-") as file:
        file.write(raw)
        file.flush()
        yield Path(file.name)


TARGETS: Mapping[str, Target] = {
    one.__name__: one
    for one in (
        edge, nodes, node_reasons, queue, partitions, reservations, diag, queueing, job_json, job_text, topology, who,
        rest_nodes, rest_queue, rest_others, prometheus, alertmanager, driver, journal, typed, orders, settings,
    )
}  # fmt: skip
