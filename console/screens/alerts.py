"""The alerts screen: alerts grouped by common failure, with the nodes and jobs that they affect, and the silences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold
from console.actions.action import Kind
from console.alerts.groups import AlertGroup, alert_groups, drain_reason_text, suppressed_counts
from console.fields.common_cells import Ctx
from console.filters.language import LENGTH_CAP
from console.tables.alert_columns import GROUPS, SILENCES, SilenceRow, detail
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import age, plural, when

from .layout.screen import WachtScreen

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy

#: The source whose state counts for both alerts and silences.
SOURCE = "alerts.alerts"
_PAINTED_KINDS = frozenset({"alerts", "silences", "nodes", "jobs"})
_LOW_ROWS = 34
#: Step (lines) in which the table of groups shrinks in favour of the pane below it.
_HEIGHT_STEP = 8
#: Longest suggested reason in characters.
_MAX_REASON = 120


class AlertsScreen(WachtScreen):
    """Alert groups, their impact, who took them, and silences."""

    DEFAULT_CSS = """
    AlertsScreen .crumbs { height: 1; }
    AlertsScreen #main { height: 4fr; }
    AlertsScreen #detail { height: 4fr; }
    AlertsScreen #silences { height: 1fr; }
    AlertsScreen.-low #detail { height: 8; }
    AlertsScreen.-low #silences { height: 3; }
    AlertsScreen.-none #silences { display: none; }
    """
    crumb = "alerts"
    acts_on = ("alert", "node", "silence")

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(GROUPS, sort="state", pending_column="state", id="main")
        self.silences: VirtualTable[Any] = VirtualTable(SILENCES, pending_column="state", id="silences")
        self.detail = Pane("", id="detail")
        self._heads = (Pane(border=False, classes="crumbs"), Pane(border=False, classes="crumbs"))

    def body(self) -> Iterable[Widget]:
        """The table of groups, the details of the group under the cursor, and the silences."""
        yield self._heads[0]
        yield self.table
        yield self.detail
        yield self._heads[1]
        yield self.silences

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Compute the alert groups as well, off the event loop."""
        super().prepare(cluster, session, policy, shown=shown)
        if shown:
            alert_groups(cluster, session.clock.now(), policy)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Recompute the groups if a kind of fact that they depend on has changed."""
        ctx = self.ctx()
        if diff is None or diff.kinds & _PAINTED_KINDS:
            before = self.table.row_of(self.table.cursor_key) if self.table.cursor_key else None
            rows = {one.key: one for one in alert_groups(cluster, self.app.clock.now(), self.app.policy)}
            self.table.set_rows(rows, ctx=ctx)
            # The pane gets the room that the table leaves, in steps, so that one group more does not move the text.
            self.table.styles.max_height = _HEIGHT_STEP * -(-(len(rows) + 2) // _HEIGHT_STEP) if rows else None
            self._keep_cursor_on(before, rows.values())
            suppressed = suppressed_counts(cluster)
            standing = [SilenceRow(one, suppressed.get(one.id, 0)) for one in cluster.silences.values()]
            standing.sort(key=lambda one: (one.silence.state != "active", one.silence.ends or 0))
            self.silences.set_rows({one.silence.id: one for one in standing}, ctx=ctx)
            self.set_class(not standing, "-none")
        self._show_pending()
        self.tick(ctx)

    def tick(self, ctx: Ctx) -> None:
        """Update ages and staleness."""
        for table in (self.table, self.silences):
            table.dimmed = self.stale(SOURCE)
            table.set_ctx(ctx)
        self._paint_heads()
        self._paint_detail()

    def _keep_cursor_on(self, before: AlertGroup | None, rows: Iterable[AlertGroup]) -> None:
        """Keep the cursor on the same alerts when they are grouped differently, so that no key hits another group."""
        if before is None or before.key == self.table.cursor_key:
            return
        mine = set(before.alerts)
        best = max(rows, key=lambda one: len(mine.intersection(one.alerts)), default=None)
        if best is not None and not mine.isdisjoint(best.alerts):
            self.table.select(best.key)
        else:
            self.app.show_message(f"{before.title} is over; the cursor is on another one now")

    def _show_pending(self) -> None:
        """Mark a group as pending while an action on one of its alerts or nodes is pending."""
        alerts, nodes = self.app.session.pending_words("alert"), self.app.session.pending_words("node")
        words: dict[str, str] = {}
        for key in self.table.keys if alerts or nodes else ():
            group = self._group(key)
            found = [alerts[one] for one in group.alerts if one in alerts] if group else []
            found += [nodes[one] for one in group.nodes if one in nodes] if group else []
            if found:
                words[key] = found[0]
        self.table.pending = words
        self.silences.pending = self.app.session.pending_words("silence")

    # Heads and details.

    def _unknown_reason(self) -> str:
        """Why the alerts are unknown; "" while they are known."""
        source = self.cluster.sources.get(SOURCE)
        if source is None:
            return (
                "alerts unknown: no Alertmanager is configured; "
                f'[cluster.{self.cluster.name}] takes alertmanager = {{ url = "https://…" }}'
            )
        if source.fault is not None and not source.ok:
            return f"alerts unknown: {source.fault}"
        if "alerts" not in self.cluster.known:
            return "alerts unknown: they are just being read"
        return "alerts unknown: the last reading is old" if self.stale(SOURCE) else ""

    def _paint_heads(self) -> None:
        """Paint the heads and the texts of empty tables."""
        cluster, unknown = self.cluster, self._unknown_reason()
        rows = [group for key in self.table.keys if (group := self._group(key))]
        known = "alerts" in cluster.known and bool(rows or not unknown)
        active = sum(group.state == "active" for group in rows)
        spans: list[Span] = [(" Alerts ", "title"), (f" {len(cluster.alerts):,}" if known else " —", "text-strong")]
        if known:
            spans.append((f" in {plural(len(rows), 'group')}, {active:,} not taken", "text-dim"))
        right: list[Span] = []
        marked = len(self.table.marked)
        if marked:
            right.append((f"{marked:,} marked", "mark"))
        if unknown and rows:
            old = cluster.sources[SOURCE].age_s(self.app.clock.mono()) if SOURCE in cluster.sources else None
            right += [("   " if right else "", ""), (f"{unknown}; these are {age(old)} old", "bad")]
        self._heads[0].set_lines([PaneLine(spans, right)])
        self.table.empty_text = unknown or "no alerts: Alertmanager holds none"
        suppressed: list[Span] = [(" Silences ", "title")]
        if "silences" not in cluster.known or (unknown and not cluster.silences):
            suppressed.append((" unknown", "text-dim"))
        else:
            suppressed.append((f" {len(cluster.silences):,}" if cluster.silences else " none", "text-strong"))
            pending = sum(one.state == "pending" for one in cluster.silences.values())
            suppressed.append((f"  {pending:,} begin later" if pending else "", "text-dim"))
        self._heads[1].set_lines([PaneLine(suppressed)])

    def _paint_detail(self) -> None:
        """Paint the details of the group under the cursor."""
        group = self._group(self.table.cursor_key)
        self.detail.display = group is not None
        if group is None:
            self.detail.set_title("")
            self.detail.set_lines(())
            return
        ctx = self.ctx()
        alerts = f"{len(group.alerts):,} alert{'s' if len(group.alerts) > 1 else ''}"
        began = f"{alerts} since {when(group.since, now=ctx.now)}"
        self.detail.set_title([(group.title, "title")], [(began, "text-dim")])
        room = max(1, self.detail.size.height - 2)
        self.detail.set_lines(detail(group, ctx, room, self.app.config.links))

    def on_resize(self, event: events.Resize) -> None:
        """Show fewer lines on a small screen."""
        self.set_class(event.size.height < _LOW_ROWS, "-low")
        self.call_after_refresh(self._paint_detail)

    # Targets of actions.

    def _group(self, key: str | None) -> AlertGroup | None:
        row = self.table.row_of(key) if key is not None else None
        return row if isinstance(row, AlertGroup) else None

    def _selected_groups(self) -> list[AlertGroup]:
        """The marked groups in the order shown, else the one under the cursor."""
        return [group for key in _selected_keys(self.table) if (group := self._group(key)) is not None]

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """Nodes, alerts (unsilenced first) or silences of the selected groups; of the silence table the selected
        silences."""
        if self.focused is self.silences:
            if kind != "silence":
                return ()
            return tuple(key for key in _selected_keys(self.silences) if key in self.cluster.silences)
        chosen = self._selected_groups()
        if kind == "node":
            return tuple(dict.fromkeys(node for group in chosen for node in group.nodes if node in self.cluster.nodes))
        if kind == "silence":
            return tuple(dict.fromkeys(one for group in chosen for one in group.silences))
        if kind == "alert":
            held = self.cluster.alerts
            ids = dict.fromkeys(one for group in chosen for one in group.alerts if one in held)
            return tuple(sorted(ids, key=lambda one: held[one].state == "suppressed"))
        return ()

    def suggested_reason(self, action_id: str) -> str | None:
        """The alert's name, its location and its summary."""
        if self.focused is self.silences:
            return None
        texts = [drain_reason_text(group, _MAX_REASON) for group in self._selected_groups()]
        if len(texts) > 1:
            texts = list(dict.fromkeys(group.title for group in self._selected_groups()))
        text = ", ".join(texts)
        return (text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 1]}…") or None

    def clear_marks(self) -> None:
        """Clear the marks, so that the next action does not use them again."""
        self.table.mark(())
        self.silences.mark(())

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        other = () if self.has_class("-none") else (KeyHint("Tab", "silences"),)
        if self.focused is self.silences:
            return (KeyHint("Enter", "its alerts"), KeyHint("Space", "mark"), KeyHint("Tab", "alerts"))
        return (
            KeyHint("Enter", "nodes"),
            KeyHint("Space", "mark"),
            *other,
            KeyHint("y", "copy"),
            KeyHint("o", "sort"),
        )

    def copy_text(self) -> str | None:
        """The Alertmanager query for the row under the cursor."""
        if self.focused is self.silences and self.silences.cursor_key is not None:
            return shlex.join(["amtool", "silence", "query", f"--id={self.silences.cursor_key}"])
        group = self._group(self.table.cursor_key)
        if group is None:
            return "amtool alert query"
        return shlex.join(["amtool", "alert", "query", *_query(group, self.cluster)])

    def action_back(self) -> None:
        """Esc: clear the marks first."""
        if self.table.marked or self.silences.marked:
            self.clear_marks()
        else:
            super().action_back()

    # Navigation.

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    def _moved(self) -> None:
        self._paint_heads()
        self._paint_detail()
        self.refresh_keys()

    def on_descendant_focus(self) -> None:
        """The focus moved to another table: show its cursor and update the keys."""
        self.silences.shows_cursor = self.focused is self.silences
        self.table.shows_cursor = not self.silences.shows_cursor
        self.refresh_keys()

    @on(TableKeys.Opened, "#main")
    def _opened(self, event: TableKeys.Opened) -> None:
        group = self._group(event.key)
        if group is None:
            return
        wanted = fold(group.nodes) if len(group.nodes) <= LENGTH_CAP else ""
        racks = " | ".join(f"rack={name}" for name in group.racks)
        if not group.nodes:
            self.app.show_message(f"{group.title} is about no node that Slurm knows")
        elif len(group.nodes) == 1:
            self.app.navigation.open_row("node", group.nodes[0])
        elif wanted and len(wanted) <= LENGTH_CAP:
            self.app.navigation.go("nodes", wanted)
        elif racks and len(racks) <= LENGTH_CAP:
            self.app.navigation.go("nodes", racks)
            self.app.show_message(
                f"{plural(len(group.nodes), 'node')} are too many for a filter: these are all of their racks"
            )
        else:
            self.app.show_message(f"{plural(len(group.nodes), 'node')} are too many for a filter; :nodes shows all")

    @on(TableKeys.Opened, "#silences")
    def _silence_opened(self, event: TableKeys.Opened) -> None:
        """Move the cursor to the first group that the silence suppresses."""
        key = next((key for key in self.table.keys if (one := self._group(key)) and event.key in one.silences), None)
        if key is None:
            self.app.show_message("it keeps no alert quiet just now")
            return
        self.table.select(key)
        self.table.focus()


def _selected_keys(table: VirtualTable[Any]) -> Sequence[str]:
    """The marked rows in the order shown, else the one under the cursor."""
    marked = [key for key in table.keys if key in table.marked]
    return marked or ([table.cursor_key] if table.cursor_key is not None else [])


def _query(group: AlertGroup, cluster: Cluster) -> list[str]:
    """Matchers for the alerts of a group: the label that they share, else their names."""
    if group.place is not None:
        kind, name = group.place
        if all(alert.labels.get(kind) == name for one in group.alerts if (alert := cluster.alerts.get(one))):
            return [f"{kind}={_quoted(name)}"]
    names = [name for name, _ in group.names]
    found = [f"alertname={_quoted(names[0])}"] if len(names) == 1 else [f"alertname=~{_quoted(_either(names))}"]
    hosts = (*group.nodes, *group.unknown)
    labelled = {alert.labels.get("node") for one in group.alerts if (alert := cluster.alerts.get(one))}
    if len(hosts) == 1 and labelled == set(hosts):
        found.append(f"node={_quoted(hosts[0])}")
    return found


def _either(names: Iterable[str]) -> str:
    return "|".join(re.sub(r"([^\w -])", r"\\\1", name) for name in names)


def _quoted(value: str) -> str:
    """A label value quoted as Alertmanager parses it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
