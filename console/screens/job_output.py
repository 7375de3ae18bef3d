"""The end of a job's output, if the operator may read it. Read on demand in a child process that can be killed."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from textual.widget import Widget

from collectors.clean import clean
from collectors.file_tail import expand_patterns
from collectors.model import Cluster, Diff, Fault, LogTail, SourceFault
from collectors.nodeset import names_in
from console.clusters.cluster_session import ClusterSession
from console.config.commands import CommandError, is_job
from console.fields.common_cells import Ctx
from widgets.key_bar import KeyHint
from widgets.pane import Pane, pane_line
from widgets.units import age, memory

from .layout.screen import WachtScreen


class JobOutputScreen(WachtScreen):
    """The output of one job."""

    crumb = "log"
    tick_s = 1.0

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.text = Pane(f"Output of job {key}", scroll=True, empty_text="asking …", id="main")
        self._tail: LogTail | Fault | None = None
        self._read_mono = 0.0

    @property
    def breadcrumb(self) -> str:
        """The job whose output is shown."""
        return f"log of {self.key}"

    def body(self) -> Iterable[Widget]:
        """One long pane."""
        yield self.text

    def on_mount(self) -> None:
        """Find the file, then read its end."""
        super().on_mount()
        self.read()

    def read(self) -> None:
        """Read the output, for the first time or again."""
        at, job, cluster = self.at, self.key, self.cluster
        self._read_mono = self.app.clock.mono()
        self.fetch(lambda: read_log(at, job, cluster), self._tail_fetched, "log")

    def _tail_fetched(self, answer: Any) -> None:
        self._tail = answer
        if isinstance(answer, LogTail):
            self.text.set_lines([pane_line(one) for one in answer.lines] or [pane_line(("it is empty", "text-dim"))])
            self.text.action_ends(last=True)
        else:
            role = "text-dim" if answer.kind == "missing" else "warn"
            pieces = textwrap.wrap(str(answer), max(20, self.size.width - 4))
            self.text.set_lines([pane_line((piece, role)) for piece in pieces])
        self.tick(self.ctx())

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Nothing: the output is not polled."""

    def tick(self, ctx: Ctx) -> None:
        """Update the ages."""
        if not isinstance(self._tail, LogTail):
            return
        found, asked = self._tail, age(self.app.clock.mono() - self._read_mono)
        part = "all of it" if not found.begins_at else f"the end of {memory(found.size / (1 << 20))}"
        written = age(self.app.clock.now() - found.changed_at)
        self.text.set_title([(f"{found.path}", "title")], f"{part}, written {written} ago, read {asked} ago")

    def selected_job(self) -> str | None:
        """The job that `:log` reads again."""
        return self.key

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("↑↓", "scroll"), KeyHint("y", "copy"), KeyHint("Esc", "back"))

    def copy_text(self) -> str | None:
        """The command that shows the output."""
        return f"tail -c 64K {shlex.quote(self._tail.path)}" if isinstance(self._tail, LogTail) else None


def read_log(session: ClusterSession, job: str, cluster: Cluster) -> LogTail:
    """Find the output file of a job and read its end. Blocks. Raises SourceFault."""
    row = cluster.jobs.get(job)
    if row is not None and row.nodes is None and row.started is None and not row.restarts:
        raise SourceFault("missing", f"job {job} waits: it has written nothing yet")
    if row is not None:
        path, user, nodes = session.transport.job_detail(job).stdout, row.user, row.nodes
    else:
        account = session.ledger.account_of_job(job)
        path, user, nodes = account.stdout, account.run.user or "", account.run.nodes
    if path is None:
        raise SourceFault(
            "missing", f"where job {job} wrote its output is unknown: it had no script, or this Slurm does not keep it"
        )
    try:
        return session.ledger.log_tail(path, user or None)
    except SourceFault as error:
        # A name may contain a literal %: patterns that Slurm left are filled in only if no such file exists.
        other = expand_patterns(path, job, next(iter(names_in(nodes)), None))
        if error.fault.kind != "missing" or other == path:
            raise
        return session.ledger.log_tail(other, user or None)


def job_to_read(screen: object, job: str) -> str:
    """The job of `:log [ID]`, by default that of the cursor. Raises CommandError."""
    wanted = job or (screen.selected_job() if isinstance(screen, WachtScreen) else None)
    if wanted is None:
        raise CommandError("log [ID]: put the cursor on a job, or name one")
    if not is_job(wanted):
        raise CommandError(f"{clean(wanted)} is no job's number")
    return wanted
