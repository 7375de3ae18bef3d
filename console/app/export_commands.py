"""`:export`, `:report`, `:vendor` and `Y`: a thread creates and writes the file, then a message names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from textual.css.query import QueryError

from collectors.clean import clean
from collectors.model import Gpu, SourceFault
from collectors.nodeset import fold
from console.clusters.fleet import Fleet
from console.config.commands import FORMATS, Command, CommandError
from console.export import table_export
from console.export.export_fields import GPU, MAP, fields_of
from console.export.output_file import save
from console.export.table_export import TableExport
from console.journal.chain import JournalFault
from console.reports.period import Span, span_of
from console.runtime.errors import UserError
from console.screens.gpus import GpusScreen
from console.screens.journal import JournalScreen
from console.screens.layout.list_screen import ListScreen
from console.screens.layout.screen import WachtScreen
from console.screens.node import NodeScreen
from console.tables.gpu_table import Col
from console.tables.gpu_table import columns as gpu_columns
from widgets.cells import Cell
from widgets.table import VirtualTable
from widgets.table_column import Column, ExportField
from widgets.textual_ext.screen_contents import screen_strips
from widgets.units import stamp

from .notifications import Notifications
from .ports import Terminal

#: The FILE that means the terminal's clipboard, through OSC 52.
CLIPBOARD = "clipboard"
#: Bytes that terminals accept: 100,000 characters of base64. Some silently drop longer text.
CLIPBOARD_MOST = 74_994
#: Seconds after which a message says that the export is still being written.
SLOW_S = 2.0
#: How far back a vendor ticket asks the accounting for events and jobs, and for how many jobs.
TICKET_S, _TICKET_JOBS = 90 * 86_400, 20
Chunks = Iterable[bytes]


class ExportJob(NamedTuple):
    """What is to be written: its name and ending in the file name, and the function that creates it, in a thread. That
    function returns the content and a description."""

    name: str
    ending: str
    make: Callable[[], tuple[Chunks, str]]


class ExportCommands:
    """Writes what is on the screen, or a report, to a file or the clipboard."""

    def __init__(self, fleet: Fleet, notifications: Notifications, port: Terminal) -> None:
        self._fleet, self._notify, self._port = fleet, notifications, port

    def carry_out(self, command: Command) -> None:
        """`:export FORMAT [FILE]` or `:report [LENGTH] [FILE]`. Raises CommandError for invalid words."""
        if command.verb == "report":
            length, file = _report_words(command.rest)
            try:
                span = span_of(self._fleet.session.clock.now(), length)
            except ValueError as error:
                raise CommandError(str(error)) from None
            self.begin(self._report(span), file, command.over)
            return
        form, _, file = command.rest.partition(" ")
        if form not in FORMATS:
            raise CommandError(f"export {' | '.join(FORMATS)}, then a FILE or {CLIPBOARD}")

        def shown() -> None:
            """Runs after the prompt has closed: it is not part of the picture, and the focus is on a table again."""
            try:
                self.begin(self._export_job(form), file.strip(), command.over)
            except CommandError as error:
                self._notify.show(str(error), "warning")

        self._port.call_after_refresh(shown)

    def copy_rows(self) -> None:
        """Key `Y`: copy the names of the marked rows, or of the row under the cursor, in shell syntax."""
        screen = self._port.screen
        if not isinstance(screen, WachtScreen):
            return
        text, count = "", 0
        if nodes := screen.targets("node"):
            text, count = fold(nodes), len(nodes)
        elif jobs := screen.targets("job"):
            text, count = ",".join(jobs), len(jobs)
        elif (table := _table(screen)) is not None:
            keys = [key for key in table.keys if key in table.marked] or [key for key in (table.cursor_key,) if key]
            text, count = ",".join(keys), len(keys)
        if not text:
            self._notify.show("there is no row under the cursor to copy the name of")
        elif len(text.encode()) > CLIPBOARD_MOST:
            self._notify.show(_too_large(len(text.encode())), "warning")
        else:
            self._port.copy_to_clipboard(text)
            self._notify.show(
                f"copied: {text if len(text) <= 60 else f'{text[:59]}…'}" + (f"  ({count:,})" if count > 1 else "")
            )

    def _report(self, span: Span) -> ExportJob:
        from console.reports.reads import gather
        from console.screens.handover import console_sources

        source = console_sources(self._fleet.session, self._port.policy)

        def make() -> tuple[Chunks, str]:
            from console.reports.rendering import as_markdown

            report = gather(source, span)
            return [as_markdown(report).encode("utf-8", "replace")], f"the report of {span.text}"

        return ExportJob("report", "md", make)

    # What is exported.

    def _export_job(self, form: str) -> ExportJob:
        screen = self._port.screen
        if form == "text":
            lines = [strip.text.rstrip() for strip in screen_strips(screen.app)]
            return ExportJob(
                _crumb(screen), "txt", lambda: (["".join(f"{one}\n" for one in lines).encode()], "the screen")
            )
        if form == "svg":
            from console.export.svg import picture

            draw = picture(
                screen.app,
                f"wacht  {self._fleet.cluster.name}  {_crumb(screen)}  {stamp(self._fleet.session.clock.now())}",
            )
            return ExportJob(_crumb(screen), "svg", lambda: ([draw()], "the screen"))
        name, make = self._table_rows(screen)

        def rows() -> tuple[Chunks, str]:
            made = make()
            return table_export.written(
                made, form
            ), f"{len(made.keys):,} row{'' if len(made.keys) == 1 else 's'} of {made.name}"

        return ExportJob(name, form, rows)

    def _table_rows(self, screen: Any) -> tuple[str, Callable[[], TableExport]]:
        """The name and the rows of what the screen shows, in a form that a thread can render."""
        cluster = self._fleet.cluster
        if isinstance(screen, NodeScreen):
            return f"gpus-{screen.key}", self._gpus((screen.key,), f"the GPUs of {screen.key}")
        if isinstance(screen, GpusScreen):
            if screen.rack is not None:
                names = cluster.racks.get(screen.rack, ())
                return f"gpus-{screen.rack or 'no-rack'}", self._gpus(names, f"the GPUs of rack {screen.rack}")
            if "nodes" not in cluster.known:
                raise CommandError("nothing to export: the nodes are not known")
            columns = [Column(one.name, one.name.replace("_", " "), 0, partial(_plain_text, one)) for one in MAP]
            whole = TableExport(name="gpus", columns=columns, fields=MAP, rows=cluster.nodes, keys=tuple(cluster.nodes),
                          ctx=screen.ctx(), note=self._file_note("GPUs by node"))  # fmt: skip
            return "gpus", lambda: whole
        table = _table(screen)
        if table is None:
            raise CommandError("there is no table here: :export svg or :export text takes the screen")
        name, fields = fields_of(table.columns)
        name = name or _crumb(screen)
        if table.rows_outdated:
            raise CommandError(f"the {name} are just being filtered or put in order: try again in a moment")
        view, marked, every = table.view, table.marked, _all_rows(screen)
        keys, rows = view.keys, view.rows
        if isinstance(screen, ListScreen):
            keys, rows = screen.exported()
        elif marked:
            # As for an action: marked rows in the order shown, then those that a filter hides.
            keys = [key for key in keys if key in marked]
            keys += sorted(key for key in marked.difference(keys) if key in every)
            rows = {key: rows[key] if key in rows else every[key] for key in keys}
        if not keys:
            raise CommandError(f"nothing to export: {table.empty_text or f'no {name} are shown'}")
        which = f"{len(keys):,} {name}" + (" (marked)" if marked else "")
        text = getattr(screen, "filter_text", "")
        asked = f", filter {text}" if text and not marked else ""
        old = " (OLD: their source fails or is late)" if table.dimmed else ""
        one = TableExport(name=name, columns=table.columns, fields=fields, rows=rows, keys=keys, ctx=table.ctx,
                    note=self._file_note(f"{which}{asked}{old}"))  # fmt: skip
        return name, lambda: one

    def _file_note(self, what: str) -> str:
        demo = "DEMO " if self._fleet.cluster.demo else ""
        return f"{demo}{self._fleet.cluster.name}, {stamp(self._fleet.session.clock.now())}: {what}"

    def _gpus(self, names: Sequence[str], what: str) -> Callable[[], TableExport]:
        """A row for each GPU, read from telemetry when it is called. Raises SourceFault."""
        telemetry, note = self._fleet.session.telemetry, self._file_note(what)
        columns = [
            Column("node", "node", 0, lambda gpu, _: gpu.node),
            *(
                Column(one.title, one.title, 0, partial(_of_gpu, one), align="right" if one.right else "left")
                for one in gpu_columns(self._fleet.cluster.jobs)
            ),
        ]

        def make() -> TableExport:
            found = telemetry.gpus(names)
            rows = {f"{gpu.node}/{gpu.index}": gpu for gpus in found.values() for gpu in gpus}
            if not rows:
                raise SourceFault("missing", f"no source reports {what}")
            return TableExport(
                name="gpus", columns=columns, fields=GPU, rows=rows, keys=tuple(rows), ctx=None, note=note
            )

        return make

    # Vendor ticket.

    def vendor(self, file: str = CLIPBOARD, *, over: bool = False) -> None:
        """`:vendor`: write the ticket of the node under the cursor. Raises CommandError."""
        screen = self._port.screen
        names = screen.targets("node") if isinstance(screen, WachtScreen) else ()
        if len(names) != 1:
            raise CommandError("a vendor's ticket is of one node: put the cursor on it")
        self.begin(ExportJob(f"vendor-{names[0]}", "md", self._vendor_ticket(names[0])), file, over)

    def _vendor_ticket(self, node: str) -> Callable[[], tuple[Chunks, str]]:
        from console.export.vendor_ticket import Case, as_markdown
        from console.journal import past_actions

        at, cluster, policy, now, journal = (
            self._fleet.session,
            self._fleet.cluster,
            self._port.policy,
            self._fleet.session.clock.now(),
            self._fleet.session.journal,
        )

        def make() -> tuple[Chunks, str]:
            lacks: list[str] = []

            def had(what: str, read: Callable[[], Any], none: Any) -> Any:
                try:
                    return read()
                except (SourceFault, JournalFault) as error:
                    lacks.append(f"{what}: {error.fault if isinstance(error, SourceFault) else error}")
                    return none

            since = int(now - TICKET_S)
            case = Case(
                node=node, cluster=cluster, now=now, policy=policy,
                gpus=tuple(had("GPUs", lambda: at.telemetry.gpus([node]).get(node, ()), ())),
                acts=tuple(had("what was done from here", lambda: past_actions.on_target(node, journal.lines(), "node"),
                               ())),
                events=tuple(had("events", lambda: at.ledger.events_of_node(node, since), ())),
                jobs=tuple(had("last jobs", lambda: at.ledger.jobs_of_node(node, since, _TICKET_JOBS), ())),
                lacks=tuple(lacks),
            )  # fmt: skip
            return [as_markdown(case).encode("utf-8", "replace")], f"the ticket of {node}"

        return make

    # Destinations.

    def begin(self, made: ExportJob, file: str, over: bool) -> None:
        """Create it and write it, off the event loop. `file` "" is a new file in the home directory."""
        name, at = self._file_name(made), self._fleet.session
        if over and file in {"", CLIPBOARD}:
            raise CommandError("! writes over a file: name it")
        slow = self._port.set_timer(SLOW_S, lambda: self._notify.show_for(at, f"{made.name}: it is being written …"))

        def ended(told: str, severity: str) -> None:
            slow.stop()
            # The text may hold foreign names.
            self._notify.show_for(at, clean(told), severity)

        def work() -> None:
            told, severity = "not written", "error"
            try:
                told = self._copy_to_clipboard(made) if file == CLIPBOARD else _save_to_file(made, file, name, over)
                severity = "information"
            except (UserError, SourceFault, JournalFault, OSError) as error:
                told = f"not written: {error.fault if isinstance(error, SourceFault) else error}"
            finally:
                self._port.call_from_thread(ended, told, severity)

        self._port.run_in_thread(work, "export")

    def _file_name(self, made: ExportJob) -> str:
        """`wacht-CLUSTER-SCREEN-20261124T031207Z.csv`, with the time that is shown; it needs no shell quoting."""
        at = datetime.fromtimestamp(self._fleet.session.clock.now(), UTC)
        demo = "demo-" if self._fleet.cluster.demo and self._fleet.cluster.name != "demo" else ""
        words = "-".join(
            re.sub(r"[^A-Za-z0-9._-]+", "_", one)[:80] for one in (f"{demo}{self._fleet.cluster.name}", made.name)
        )
        return f"wacht-{words}-{at:%Y%m%dT%H%M%SZ}.{made.ending}"

    def _copy_to_clipboard(self, made: ExportJob) -> str:
        chunks, what = made.make()
        held = bytearray()
        for chunk in chunks:
            held += chunk
            if len(held) > CLIPBOARD_MOST:
                raise UserError(_too_large(None))
        self._port.call_from_thread(self._port.copy_to_clipboard, held.decode())
        return f"{what}: sent to the terminal's clipboard ({_size(len(held))}); it does not say whether it took it"


def _report_words(rest: str) -> tuple[str, str]:
    """The length of time ("" if none is named) and the file."""
    head, _, more = rest.partition(" ")
    return (head, more.strip()) if re.fullmatch(r"(?:\d+[smhd])+", head.lower()) else ("", rest)


def _crumb(screen: Any) -> str:
    crumb = getattr(screen, "crumb", "") or "screen"
    key = getattr(screen, "key", None)
    return f"{crumb}-{key}" if isinstance(key, str) and isinstance(screen, WachtScreen) else crumb


def _table(screen: Any) -> VirtualTable[Any] | None:
    """The table that has the focus, or the main table of the screen."""
    if isinstance(screen.focused, VirtualTable):
        return screen.focused
    try:
        return screen.query_one("#main", VirtualTable)  # type: ignore[no-any-return]
    except QueryError:
        return None


def _plain_text(field: ExportField, row: Any, ctx: Any) -> str:
    value = field.value(row, ctx)
    return "—" if value is None else str(table_export.guarded(value)).removeprefix("'")


def _all_rows(screen: Any) -> Mapping[str, Any]:
    """All rows, those that a filter hides too."""
    if isinstance(screen, ListScreen):
        return screen.rows()
    return screen.journal.entries if isinstance(screen, JournalScreen) else {}


def _of_gpu(col: Col, gpu: Gpu, _: Any) -> Cell:
    return col.cell(gpu)


def _save_to_file(made: ExportJob, file: str, name: str, over: bool) -> str:
    try:
        path = Path(file or "~").expanduser()
    except RuntimeError:
        raise UserError(f"{file}: that home folder is unknown; give an absolute path") from None
    if path.is_dir():
        path /= name
    chunks, what = made.make()
    size = save(path, chunks, over)
    return f"{what}: {path} ({_size(size)})"


def _too_large(size: int | None) -> str:
    of = "more than that" if size is None else _size(size)
    return f"a terminal's clipboard takes {_size(CLIPBOARD_MOST)}, this is {of}: mark fewer rows, or name a file"


def _size(size: int) -> str:
    return f"{size:,} B" if size < 1000 else f"{size / 1e3:,.0f} kB" if size < 1e6 else f"{size / 1e6:,.1f} MB"
