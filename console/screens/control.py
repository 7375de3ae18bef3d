"""The control screen: Slurm's daemons, RPC use by user, and jobs that do not end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.tables import control_lines
from console.tables.control_columns import HUNG, RPC_USERS, hung, rpc_users
from widgets.key_bar import KeyHint
from widgets.pane import Pane
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import when

from .layout.two_tables import TwoTables


class ControlScreen(TwoTables):
    """Daemon figures at the top, RPC users in the middle, hung jobs below."""

    DEFAULT_CSS = """
    ControlScreen #daemons { height: auto; max-height: 50%; }
    ControlScreen .crumbs { height: 1; }
    ControlScreen #main { height: 3fr; }
    ControlScreen #hung { height: 2fr; }
    """
    crumb = "control"

    def __init__(self) -> None:
        super().__init__()
        self.daemons = Pane("Slurm's daemons", id="daemons")
        self.rpc_users: VirtualTable[Any] = VirtualTable(RPC_USERS, sort="time", reverse=True, id="main")
        self.hung: VirtualTable[Any] = VirtualTable(HUNG, sort="since", id="hung")
        self.set_tables(self.rpc_users, self.hung)

    def body(self) -> Iterable[Widget]:
        """The pane and both tables, one above the other."""
        yield self.daemons
        yield self._heads[0]
        yield self.rpc_users
        yield self._heads[1]
        yield self.hung

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update everything; both tables are short."""
        ctx = self.ctx()
        self.rpc_users.set_rows(rpc_users(cluster.diag), ctx=ctx)
        found = hung(cluster, ctx.now)
        self.hung.set_rows(found, ctx=ctx)
        self.rpc_users.dimmed = self.stale("slurm.diag")
        self.hung.dimmed = self.stale("slurm.control", "slurm.jobs")
        since = cluster.diag.since if cluster.diag is not None else None
        began = f"since {when(since, None, ctx.now)}" if since is not None else ""
        self.set_head(0, (("Who asks slurmctld ", "title"), (began, "text-dim")))
        late = sum(1 for one in found.values() if one.late)
        right = ((f"{late:,} too long", "bad"),) if late else ()
        known = "jobs" in cluster.known
        self.set_head(
            1, (("Jobs that end or should have ", "title"), (f" {len(found):,}" if known else " —", "")), right
        )
        self.rpc_users.empty_text = self.missing_text("diag", "slurm.diag", "sdiag names nobody")
        self.hung.empty_text = self.missing_text("jobs", "slurm.jobs", "no job is completing")
        self._paint_daemons(ctx)

    def tick(self, ctx: Ctx) -> None:
        """Update the ages."""
        self.hung.set_rows(hung(self.cluster, ctx.now), ctx=ctx)
        self._paint_daemons(ctx)

    def _paint_daemons(self, ctx: Ctx) -> None:
        lines = control_lines.lines(self.cluster, ctx.now)
        self.daemons.set_title("Slurm's daemons", self.stale_mark("slurm.control", "slurm.diag"))
        self.daemons.styles.height = len(lines) + 2
        self.daemons.set_lines(lines)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The job under the cursor, if the controller still knows it."""
        row = self.hung.row_of(self.hung.cursor_key) if self.hung.cursor_key and self.active is self.hung else None
        return (row.job,) if kind == "job" and row is not None and row.job in self.cluster.jobs else ()

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (
            KeyHint("Enter", "jobs of it"),
            KeyHint("Tab", "other table"),
            KeyHint("o", "order"),
        )

    def copy_text(self) -> str | None:
        """The command for the table that has the focus."""
        return "sdiag" if self.active is self.rpc_users else "squeue -a -t CG"

    @on(TableKeys.Opened, "#main")
    def _user_opened(self, event: TableKeys.Opened) -> None:
        self.app.navigation.go("jobs", f"user={event.key}")

    @on(TableKeys.Opened, "#hung")
    def _job_opened(self, event: TableKeys.Opened) -> None:
        row = self.hung.row_of(event.key)
        if row is None:
            return
        if row.job in self.cluster.jobs:
            self.app.navigation.open_row("job", row.job)
        elif row.nodes:
            self.app.navigation.go("nodes", row.nodes)
