"""The control screen: Slurm's daemons, RPC use by user, and jobs that do not end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.widget import Widget

from console.fields.common_cells import Ctx
from console.tables import control_lines
from console.tables.control_columns import HUNG, RPC_USERS, Hung, hung, rpc_users
from widgets.key_bar import KeyHint
from widgets.pane import Pane
from widgets.units import when

from .layout.two_table_screen import Head, TableSpec, TwoTableScreen, TwoTableSpec

_KEYS = (
    KeyHint("Enter", "jobs of it"),
    KeyHint("Tab", "other table"),
    KeyHint("o", "sort"),
)


def _users_head(screen: TwoTableScreen) -> Head:
    diag, now = screen.cluster.diag, screen.ctx().now
    since = diag.since if diag is not None else None
    began = f"since {when(since, None, now)}" if since is not None else ""
    return (("Who asks slurmctld ", "title"), (began, "text-dim")), ()


def _hung(screen: TwoTableScreen) -> Mapping[str, Hung]:
    return hung(screen.cluster, screen.ctx().now)


def _hung_head(screen: TwoTableScreen) -> Head:
    rows = [one for key in screen.lower.keys if (one := screen.lower.row_of(key)) is not None]
    late = sum(one.late for one in rows)
    count = f" {len(rows):,}" if "jobs" in screen.cluster.known else " —"
    return (("Jobs that end or should have ", "title"), (count, "")), ((f"{late:,} too long", "bad"),) if late else ()


def _open_hung(screen: TwoTableScreen, one: Hung) -> None:
    if one.job in screen.cluster.jobs:
        screen.app.navigation.open_row("job", one.job)
    elif one.nodes:
        screen.app.navigation.go("nodes", one.nodes)


_SPEC = TwoTableSpec(
    crumb="control",
    upper=TableSpec(
        id="main", columns=RPC_USERS, sort="time", reverse=True, height=3, sources=("slurm.diag",), keys=_KEYS,
        rows=lambda screen: rpc_users(screen.cluster.diag), changes=frozenset({"diag"}), head=_users_head,
        empty=lambda screen: screen.missing_text("diag", "slurm.diag", "sdiag names no user"),
        copied=lambda *_: "sdiag", opened=lambda screen, row: screen.app.navigation.go("jobs", f"user={row.user}"),
    ),
    lower=TableSpec(
        id="hung", columns=HUNG, sort="since", height=2, sources=("slurm.control", "slurm.jobs"), keys=_KEYS,
        rows=_hung, head=_hung_head,
        empty=lambda screen: screen.missing_text("jobs", "slurm.jobs", "no job is completing"),
        copied=lambda *_: "squeue -a -t CG", opened=_open_hung, targets={"job": lambda one: (one.job,)},
    ),
)  # fmt: skip


class ControlScreen(TwoTableScreen):
    """Daemon figures at the top, RPC users in the middle, hung jobs below."""

    DEFAULT_CSS = """
    ControlScreen #daemons { height: auto; max-height: 50%; }
    """

    def __init__(self) -> None:
        super().__init__(_SPEC)
        self.daemons = Pane("Slurm's daemons", id="daemons")

    def body(self) -> Iterable[Widget]:
        """The pane and both tables, one above the other."""
        yield self.daemons
        yield from super().body()

    def tick(self, ctx: Ctx) -> None:
        """Update the ages, and the daemons."""
        super().tick(ctx)
        lines = control_lines.lines(self.cluster, ctx.now)
        self.daemons.set_title("Slurm's daemons", self.stale_mark("slurm.control", "slurm.diag"))
        self.daemons.styles.height = len(lines) + 2
        self.daemons.set_lines(lines)
