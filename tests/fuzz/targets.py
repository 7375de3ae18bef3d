"""What is fuzzed: raw bytes as a source would give them, through the parser that reads them.

A target raises where something is wrong: an exception that the parser does not promise, or a value, a warning or an
error with a text in it that could steer a terminal. `@F` in the bytes becomes the fence that was asked for.
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
from collectors.prometheus.client import Rows
from collectors.prometheus.gpu_rows import gpus_of
from collectors.prometheus.http_transport import Envelope
from collectors.prometheus.loads import LoadReader
from collectors.prometheus.site_power import PowerReader
from collectors.prometheus.site_queries import SiteQueries
from collectors.slurm import SlurmSettings, operations
from collectors.slurm.commands import controller, rights
from collectors.slurm.commands import job_text as jobtext
from collectors.slurm.commands.fenced_reads import FENCE
from collectors.slurm.commands.jobs import COLUMNS, QueueReader
from collectors.slurm.commands.nodes import NodeReader, reasons
from collectors.slurm.commands.queue_factors import SlurmQueueing
from collectors.slurm.rest import answers as rest
from collectors.slurm.rest import jobs as rest_jobs
from console.config import commands
from console.config import settings as config
from console.filters import language
from console.health import xid_policy
from console.journal import chain, entries
from console.runtime.errors import UserError
from tests.hostile.values import foul
from tests.make import change_of

Target = Callable[[bytes], None]
Said = Callable[[Sequence[str]], bytes]
_NAMED = re.compile(rb"^NodeName=([A-Za-z0-9][A-Za-z0-9._-]*)(?: |$)", re.M)
_CLOCK = ManualClock()


class Foul(AssertionError):
    """A text that steers got through."""


def pure(value: Any) -> None:
    """Raises Foul where a text in a value was not cleaned."""
    if found := foul(value):
        raise Foul("; ".join(found[:3]))


@contextmanager
def slurm(said: Said) -> Iterator[None]:
    """Slurm's commands, without a process: `said` gives what each prints."""

    def run(argv: Sequence[str], **_: Any) -> process.ProcessResult:
        out = said(argv)
        mark = FENCE.search(argv[-1]) or re.search("[A-Z]{16}", argv[-1])
        return process.ProcessResult(
            argv=tuple(argv), rc=0, out=out.replace(b"@F", mark[0].encode()) if mark else out, err="", took_s=0.0
        )

    with mock.patch.object(process, "run", run), mock.patch.object(process, "find", str):
        yield


def _source(read: Callable[[], Any], said: Said) -> None:
    """A source's reading: a fault is one of its answers."""
    with slurm(said):
        try:
            pure(read())
        except SourceFault as error:
            pure([error.fault.kind, error.fault.what, error.fault.mend, str(error.fault)])


def edge(raw: bytes) -> None:
    """The sanitiser: all that is cleaned stays as it is, and no character that is no text is left."""
    text = decode(raw)
    once = clean(text)
    if clean(once) != once:
        raise Foul(f"a second pass changes {once[:60]!r}")
    if bad := [char for char in once if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000]:
        raise Foul(f"{bad[:3]} in {once[:60]!r}")
    once.encode()


def nodes(raw: bytes) -> None:
    """`scontrol show node`, its names in the inventory and every node with a reason."""
    names = sorted({match.decode() for match in _NAMED.findall(raw)})

    def said(words: Sequence[str]) -> bytes:
        if words[0] == "scontrol":
            return raw if words[-1] == "-o" and words[4] == "-d" else raw.partition(b"\n")[0] + b"\n"
        return "\n".join([*names, ""]).encode() if "%N" in words else b"NODELIST|USER|TIMESTAMP|REASON@F\n"

    _source(lambda: NodeReader().read(1.0), said)


def node_reasons(raw: bytes) -> None:
    """`sinfo -R`."""
    _source(lambda: reasons(1.0), lambda _: b"NODELIST|USER|TIMESTAMP|REASON@F\n" + raw)


def queue(raw: bytes) -> None:
    """`squeue`."""
    _source(lambda: QueueReader().read(1.0), lambda _: "|".join(COLUMNS).encode() + b"@F\n" + raw)


def partitions(raw: bytes) -> None:
    """`scontrol show partition`."""
    _source(lambda: controller.partitions(1.0), lambda _: raw)


def reservations(raw: bytes) -> None:
    """`scontrol show reservation`, every name known to `sinfo -T`."""
    names = b"".join(match + b" x\n" for match in re.findall(rb"ReservationName=(\S+)", raw))
    _source(lambda: controller.reservations(1.0), lambda words: raw if words[0] == "scontrol" else names)


def diag(raw: bytes) -> None:
    """`sdiag`."""
    _source(lambda: controller.diag(1.0), lambda _: raw)


def queueing(raw: bytes) -> None:
    """`sprio`, `sshare` and `scontrol show assoc_mgr`."""
    asked = SlurmQueueing(SlurmSettings())
    for read in (lambda: asked.factors("5"), asked.shares, asked.limits):
        _source(read, lambda _: raw)


def job_json(raw: bytes) -> None:
    """`scontrol show job --json`."""
    _source(
        lambda: controller.job_detail("2", 1.0), lambda words: raw if "--json" in words[-1] else b"JobId=2 JobName=x "
    )


def job_text(raw: bytes) -> None:
    """`squeue` with a fence behind every field, and the text of scontrol that has the same name."""
    text = decode(raw)
    row = b"".join(raw[at * 7 : at * 7 + 40].replace(b"@F", b"") + b"@F" for at in range(len(jobtext.FIELDS)))
    _source(lambda: jobtext.job_detail("2", text, 1.0), lambda _: b"HEAD@F\n" + row + b"\n")


def topology(raw: bytes) -> None:
    """`scontrol show topology`, and a site's own file of racks."""
    try:
        pure(dict(racks.leaf_switches(decode(raw))))
    except ValueError as error:
        pure(clean(str(error)))
    with _file(raw) as path:
        try:
            pure(dict(racks.read_file(path)))
        except ValueError:
            return


def who(raw: bytes) -> None:
    """`scontrol show config` and `sacctmgr`."""
    _source(
        lambda: rights._of(rights.SlurmAccount("alice", 1000), 1.0),
        lambda words: raw if words[0] == "scontrol" else b"",
    )
    _source(lambda: rights._level("alice", 1.0), lambda _: raw)


def _rest(raw: bytes, kind: Any, rows: str, made: Callable[[Any], Any]) -> None:
    try:
        found = getattr(msgspec.json.decode(raw, type=kind), rows)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    pure([made(one) for one in found or ()] if isinstance(found, list) else made(found) if found is not None else None)


def rest_nodes(raw: bytes) -> None:
    """slurmrestd's nodes."""
    _rest(raw, rest.Nodes, "nodes", rest.node)


def rest_queue(raw: bytes) -> None:
    """slurmrestd's jobs."""
    _rest(raw, rest_jobs.Jobs, "jobs", rest_jobs.job)


def rest_others(raw: bytes) -> None:
    """slurmrestd's partitions, reservations and figures."""
    _rest(raw, rest.Partitions, "partitions", rest.partition)
    _rest(raw, rest.Reservations, "reservations", lambda one: rest.reservation(one, 0.0))
    _rest(raw, rest.Diagnostics, "statistics", lambda one: rest.diag(one, None))


class _Server:
    """A Prometheus that answers every query with the same."""

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
    """An answer of Prometheus, as the answer to every query."""
    try:
        server: Any = _Server(msgspec.json.decode(raw, type=Envelope))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for settings in (PrometheusSettings(url="http://x"), PrometheusSettings(url="http://x", recorded=True)):
        book = SiteQueries(settings)
        for reader in (LoadReader(book, server, _CLOCK), PowerReader(book, server, _CLOCK.mono)):
            try:
                pure(reader.read())
            except SourceFault as error:
                pure(str(error.fault))
    rows = server._rows.rows
    labels = {value: "gpu0001" for row in rows for value in row.metric.values()}
    pure(gpus_of(rows, rows, "Hostname", labels, _CLOCK.now(), 0, 60.0))


def alertmanager(raw: bytes) -> None:
    """An answer of Alertmanager, as its alerts, its silences, one of them, and the id of a new one."""
    reader = answers.AlertAnswers(AlertmanagerSettings(url="http://x"))
    for read in (reader.alerts, reader.silences, answers.silence_of, answers.made_id):
        try:
            pure(read(raw))
        except SourceFault as error:
            pure(str(error.fault))


def driver(raw: bytes) -> None:
    """What the kernel, cgroups and `scontrol listpids` say, and a message of the child that reads the driver."""
    text = decode(raw)
    kernel_log._in(text, 0.0)
    process_owner.parse_listpids(text)
    pure([one for one in process_owner.job_of(text) if one])
    try:
        msgspec.msgpack.decode(raw, type=NvmlAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return


def journal(raw: bytes) -> None:
    """Lines of a journal that somebody else may have written."""
    records = [chain.record(line) for line in raw.split(b"\n")]
    found = entries.join(records)
    pure([entries.line_text(record) for record in records])
    pure(
        [
            [one, entries.outcome_text(one), entries.targets_text(one), entries.valid_targets(one)]
            for one in map(shown, found.values())
        ]
    )
    pure([entries.row_before(one, target) for one in found.values() for target in one.targets])
    pure(entries.orphans_text(list(found.values())))
    pure([dict(entries.outcome_of(one, {})) for one in found.values()])


def shown(entry: entries.JournalEntry) -> entries.JournalEntry:
    """An entry without what is kept raw until it is looked at."""
    return msgspec.structs.replace(entry, seen={name: {} for name in entry.seen})


def typed(raw: bytes) -> None:
    """Filters, commands and node sets, which a person types or a link of a script holds."""
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
    """Names of targets and a reason: what is sent has no word that a command would take for an option."""
    name, _, reason = decode(raw).partition("\n")
    for kind, action in (("node", "drain"), ("node", "reboot"), ("job", "cancel"), ("job", "hold")):
        more = {"next_state": {name: "RESUME"}} if action == "reboot" else {}
        change = change_of(kind=kind, action=action, targets=(name,), reason=reason, **more)
        try:
            sent = operations.calls(change)
        except ValueError:
            continue
        pure([list(words) for words, _ in sent])
        for words, _ in sent:
            if any(name in word and word[:1] == "-" for word in words[1:]) or "\0" in "".join(words):
                raise Foul(f"{words}")


def settings(raw: bytes) -> None:
    """A configuration and an XID policy: refused with a text, or taken; nothing of them is run."""
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
