"""The accounts screen: jobs, shares, use and limits of each account, and the users of the account under the cursor."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault, Limits, Share
from console.actions.registry import NAVIGATION
from console.fields.common_cells import Ctx
from console.filters.language import LENGTH_CAP
from console.queue.accounts import (
    NO_ACCOUNT,
    Holder,
    account_holders,
    account_subtree,
    account_users,
    applicable_limits,
    holdings,
    matching_accounts,
)
from console.queue.limit_hits import limit_text
from console.queue.queue_reads import CACHE_S, QueueAnswer
from console.tables.account_columns import ACCOUNTS, FULL, MEMBERS, NEAR
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import age, percent

from .layout.filtered_screen import FilteredScreen
from .layout.two_tables import TwoTables

_WIDE_COLUMNS, _TALL_ROWS = 130, 34


class AccountsScreen(TwoTables, FilteredScreen):
    """Accounts, their users, and the limits that apply to an account."""

    DEFAULT_CSS = """
    AccountsScreen .crumbs { height: 1; }
    AccountsScreen #main { height: 1fr; }
    AccountsScreen #below { height: 1fr; }
    AccountsScreen #of { width: 3fr; height: 1fr; }
    AccountsScreen #limits { width: 2fr; max-width: 54; height: 1fr; }
    AccountsScreen.-narrow #below { layout: vertical; height: 12; }
    AccountsScreen.-narrow.-tall #below { height: 1fr; }
    AccountsScreen.-narrow #of, AccountsScreen.-narrow #limits { width: 1fr; max-width: 100%; }
    AccountsScreen.-narrow #limits { height: 5; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(key.keys), "refresh", key.help, show=False) for key in NAVIGATION if key.id == "refresh"
    ]
    crumb = "accounts"
    sums = (holdings,)

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(ACCOUNTS, id="main")
        self.members: VirtualTable[Any] = VirtualTable(MEMBERS, id="members")
        self.limits = Pane("Limits", scroll=True, id="limits")
        self.set_tables(self.table, self.members)
        self.filter = ""
        self._shares: QueueAnswer[Sequence[Share]] | None = None
        self._limits: QueueAnswer[Limits] | None = None
        self._fetched_mono: float | None = None

    def body(self) -> Iterable[Widget]:
        """Accounts above, users and limits below."""
        yield self._heads[0]
        yield self.table
        yield Horizontal(Vertical(self._heads[1], self.members, id="of"), self.limits, id="below")

    # Facts.

    def on_screen_resume(self) -> None:
        """Fetch shares and limits when the screen is opened."""
        super().on_screen_resume()
        self._fetch_shares()

    def _fetch_shares(self) -> None:
        self._fetched_mono = self.app.clock.mono()
        queueing = self.at.queueing
        self.fetch(lambda: (queueing.shares(), queueing.limits()), self._shares_fetched, "queueing")

    def _shares_fetched(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            mono = self.app.clock.mono()
            self._shares, self._limits = QueueAnswer(answer, mono), QueueAnswer(answer, mono)
        else:
            self._shares, self._limits = answer
        self._paint_tables()

    def action_refresh(self) -> None:
        """Ctrl+R: also fetch shares and limits again, unless the last answer is recent."""
        if self._fetched_mono is not None and self._shares is not None:
            old = self.app.clock.mono() - self._shares.mono
            if old < CACHE_S:
                self.app.show_message("shares and limits are asked for once a minute at most")
        self._fetch_shares()
        self.app.session.poller.refresh_now()

    def discard_fetched(self) -> None:
        """Drop shares and limits, which belong to another time."""
        self._shares = self._limits = self._fetched_mono = None

    @property
    def _known(self) -> tuple[Sequence[Share], Limits | None]:
        shares = self._shares.known if self._shares is not None else None
        return shares or (), self._limits.known if self._limits is not None else None

    # Painting.

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update the jobs; shares and limits are fetched separately."""
        if diff is None or "jobs" in diff.kinds:
            self._paint_tables()
        self.table.dimmed = self.members.dimmed = self.stale("slurm.jobs")

    def tick(self, ctx: Ctx) -> None:
        """Update the ages."""
        self.table.dimmed = self.members.dimmed = self.stale("slurm.jobs")
        self._paint_heads()

    def _paint_tables(self) -> None:
        rows = account_holders(self.cluster, *self._known)
        shown: Mapping[str, Holder] = rows
        if self.filter:
            names: dict[str, set[str]] = {}
            for account, user in holdings(self.cluster):
                names.setdefault(account, set()).add(user)
            for one in self._known[0]:
                if one.user is not None:
                    names.setdefault(one.account, set()).add(one.user)
            shown = matching_accounts(rows, self.filter, names)
        first = not self.table.keys or self.table.cursor_key == self.table.keys[0]
        self.table.set_rows(shown, ctx=self.ctx(), alive=rows)
        if first and shown:
            self.table.select(self.table.keys[0])  # with the cursor on the first row, keep it on the first row
        self._paint_members()

    def _paint_members(self) -> None:
        """Show the users and limits of the account under the cursor."""
        account = self.table.cursor_key
        found = account_users(account, self.cluster, *self._known) if account is not None else {}
        self.members.set_rows(found, ctx=self.ctx())
        self._paint_heads()

    def _paint_heads(self) -> None:
        mono = self.app.clock.mono()
        right: list[Span] = []
        for what, answer in (("shares", self._shares), ("limits", self._limits)):
            if answer is None:
                right.append((f"{what}: asking …  ", "text-dim"))
            elif answer.fault is not None:
                right.append((f"{what} unknown  ", "warn"))
            else:
                right.append((f"{what} {age(mono - answer.mono)} old  ", "text-dim"))
        known = "jobs" in self.cluster.known
        count = f" {len(self.table.keys):,}" if known else " —"
        spans: list[Span] = [("Accounts ", "title"), (count, "text-strong")]
        if self.filter:
            spans.append((f"  / {self.filter}", "accent"))
        self.set_head(0, spans, right)
        account = self.table.cursor_key or ""
        self.set_head(
            1, (("Users ", "title"), (f" {len(self.members.keys):,}", "text-strong"), (f"  of {account}", ""))
        )
        empty = "no jobs, shares or limits"
        unknown = self.why_unknown("jobs")
        self.table.empty_text = unknown or ("no account fits the filter" if self.filter else empty)
        self.members.empty_text = unknown or ("no jobs or shares in it" if account else "")
        self._paint_limits(account)

    def _paint_limits(self, account: str) -> None:
        self.limits.set_title([("Limits ", "title"), (f" {account}", "")] if account else "Limits")
        why = [one.fault for one in (self._limits, self._shares) if one is not None and one.fault is not None]
        lines = [PaneLine([(text, "warn")]) for text in dict.fromkeys(str(fault) for fault in why)]
        for one in applicable_limits(account, self._known[1]):
            share = one.share or 0.0
            role = "bad" if share >= FULL else "warn" if share >= NEAR else ""
            lines.append(PaneLine([(f"{percent(100 * share, 0):>6} ", role or "text-dim"), (limit_text(one), role)]))
        if not lines and self._limits is not None:
            lines = [PaneLine([("none is set for it, or above it", "text-dim")])]
        self.limits.set_lines(lines)

    # Filter, keys.

    @property
    def filter_text(self) -> str:
        """The words of the filter; an account matches by its name or that of one of its users."""
        return self.filter

    def set_filter(self, text: str) -> None:
        """Show only accounts whose name, or a user's name, contains these words, and the matching users."""
        self.filter = text.strip()
        self._paint_tables()
        self.refresh_keys()

    def on_resize(self, event: events.Resize) -> None:
        """Put users and limits side by side where there is room."""
        self.set_class(event.size.width < _WIDE_COLUMNS, "-narrow")
        self.set_class(event.size.height >= _TALL_ROWS, "-tall")

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "jobs of it"), KeyHint("Tab", "users"), KeyHint("/", "filter"), KeyHint("o", "sort"))

    def copy_text(self) -> str | None:
        """The command that shows what is under the cursor."""
        row = self._selected_row()
        if row is None or row.account == NO_ACCOUNT:
            return "sshare -a"
        who = [] if row.user is None else [f"--users={row.user}"]
        return shlex.join(["sshare", "-a", f"--accounts={row.account}", *who])

    def _selected_row(self) -> Holder | None:
        table = self.active
        row = table.row_of(table.cursor_key) if table.cursor_key is not None else None
        return row if isinstance(row, Holder) else None

    @on(TableKeys.Moved, "#main")
    def _moved(self) -> None:
        self._paint_members()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        row = self._selected_row()
        if row is None:
            return
        if not row.held.running and not row.held.pending:
            of = f" in {row.account}" if row.user is not None else ""
            self.app.show_message(f"{row.user or row.account} has no job in the queue{of}")
            return
        names = [row.account] if row.user is not None else account_subtree(row.account, *self._known)
        mine = {account for account, _ in holdings(self.cluster)}
        wanted = " | ".join(f"account={_quoted(name)}" for name in names if name in mine and name != NO_ACCOUNT)
        if row.user is not None:
            wanted = f"{wanted} & user={_quoted(row.user)}" if wanted else f"user={_quoted(row.user)}"
        if len(wanted) > LENGTH_CAP:
            self.app.show_message(f"{len(names):,} accounts are too many for a filter: see one under it")
        else:
            self.app.navigation.go("jobs", wanted)


def _quoted(value: str) -> str:
    return f'"{value}"' if '"' not in value else f"'{value}'"
