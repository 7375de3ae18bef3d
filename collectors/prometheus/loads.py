"""The overview's telemetry in one reading: a row for each node, and the XIDs. Ten small answers, never one for each
GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Facts, Load, SourceFault, Xid

from .client import SKEW_S, PrometheusClient, QueryRefused
from .dcgm_names import TEMP, XID
from .host_labels import HostFamilies
from .query_table import BY_NAME, quoted
from .site_queries import SiteQueries
from .values import NODE_NAME, Notes, by_label, number, part_of_total, points
from .xids import DAY, Gpu, XidMemory, last_of_node, step_of

#: A clock difference that is reported, in seconds.
_TELL_SKEW_S = 60.0
#: History queries for GPUs with a new XID in one reading.
_LOOKS = 2

Values = Mapping[str, float]


class LoadReader:
    """Reads loads and XIDs; remembers the XIDs between readings."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, clock: Clock) -> None:
        self._book = book
        self._client = client
        self._clock = clock
        self.hosts = families(book, client, clock.mono)
        self._memory = XidMemory()
        self._nodes: Mapping[str, str] = {}
        """UUID of a GPU with an XID to its node, as of the last reading."""
        self._shift = 0
        self._shown: dict[Gpu, int] = {}
        self._lacks: Values = {}

    def read(self) -> Facts:
        """One reading. Raises SourceFault; for a single failed query only if nothing else is known."""
        notes = Notes()
        util = self._values("util", notes)
        over = self._values("util_gpus", notes)
        memory = self._values("memory", notes)
        hottest = self._values("temperature", notes)
        watts = self._values("gpu_power", notes)
        seen = self._values("gpus", notes)
        idle = self._values("idle", notes)
        sampled = self._values("sampled", notes)
        # Not nodes with only a sample's time: VictoriaMetrics reports that for minutes after a series has ended.
        nodes = util.keys() | seen.keys() | hottest.keys() | watts.keys() | memory.keys()
        if not nodes:
            raise self._unmapped() or self._nothing(notes)
        if not util:
            notes.say(f"no series {BY_NAME['util'].series[0]}: utilisation is unknown")
        elif not over:
            notes.say("over how many GPUs a mean utilisation goes is unknown: rules from an older wacht are loaded")
        else:
            some = [node for node, count in seen.items() if over.get(node, 0) < count]
            notes.some("node", "with a GPU whose utilisation is not exported, or is NaN: no mean counts it", some)
        power = self._values("node_power", notes) if self._book.power.node_series else {}
        now = self._server_now(notes)
        xids = self._xids(notes)
        shown = last_of_node(xids.values(), self._shown) if xids is not None else {}
        stale_s, shift = self._book.settings.stale_s, self._shift
        loads: dict[str, Load] = {}
        stale: list[str] = []
        odd: list[str] = []
        for node in nodes | power.keys():
            if NODE_NAME.fullmatch(node) is None:
                if node:
                    odd.append(node)
                continue
            at = sampled.get(node)
            drawn = power.get(node)
            if at is not None and now - at > stale_s:
                stale.append(f"{node}: {now - at:.0f} s")
                loads[node] = Load(node=node, sampled_at=int(at) + shift, power_w=drawn)
                continue
            loads[node] = Load(
                node=node,
                sampled_at=None if at is None else int(at) + shift,
                gpu_util_pct=_rounded(util.get(node)),
                util_gpus=_whole(over.get(node)),
                gpu_memory_pct=_rounded(memory.get(node)),
                temp_c=hottest.get(node),
                power_w=_rounded(drawn),
                gpu_power_w=_rounded(watts.get(node)),
                gpus_seen=_whole(seen.get(node)),
                gpus_idle=_whole(idle.get(node)),
                xid=shown.get(node),
            )
        notes.some("node", f"with samples older than {stale_s:g} s, which are left out", stale)
        notes.some("host label", "that is no node's name", odd)
        if self._book.power.node_series:
            without = [node for node in loads if node in nodes and node not in power]
            notes.some("node", f"without {self._book.needs('node_power')[0]}", without)
        self._lacking(notes)
        return Facts(loads=loads, xids=xids, warnings=tuple(notes.said))

    def matchers(self, node: str) -> tuple[str, ...]:
        """The matchers for all possible dcgm-exporter series of a node."""
        spelled = quoted(self.hosts.of("gpus").spelled(node))
        return tuple(f"{label}=~{spelled}" for label in self._book.labels["host_labels"])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _values(self, name: str, notes: Notes) -> Values:
        """Node to value; a refused query is a named gap."""
        return by_label(self.hosts.rows(name, notes), name, "node", notes)

    def _unmapped(self) -> SourceFault | None:
        """The fault if there are hosts and none of them is a node."""
        for one in self.hosts.host_mappings():
            if one.unlabelled and not one.hosts:
                what = f"the series of {one.what} have no label {' or '.join(one.labels)}"
                return SourceFault("empty", what, "see host_labels in docs/configuration.md")
            if one.hosts and not one.known:
                hosts = (*one.unknown, *one.ambiguous)
                return SourceFault(
                    "empty", f"none of {one.hosts} hosts of {one.what} is a node of Slurm ({', '.join(hosts[:3])})",
                    "see wacht doctor; host_labels and node in docs/configuration.md",
                )  # fmt: skip
        return None

    def _nothing(self, notes: Notes) -> SourceFault:
        """The fault without any GPU series: never "no GPUs", and it says where to look."""
        if notes.said:
            return SourceFault("empty", notes.said[0], f"and {len(notes.said) - 1} more" if notes.said[1:] else "")
        needs = self._book.needs("util")[0]
        if self._book.settings.recorded:
            return SourceFault("empty", f"no series {needs}", "has the server loaded wacht-rules.yml? see its /rules")
        jobs: dict[str, dict[str, float]] = {}
        try:
            for row in self._client.ask("targets", self._book.whole("targets")).rows:
                if row.value is not None:
                    job = jobs.setdefault(clean(row.metric.get("job", "")[:40]), {})
                    job[row.metric.get("what", "")] = number(row.value[1], "targets") or 0.0
        except SourceFault:
            pass
        found = ", ".join(part_of_total(counts, job) for job, counts in sorted(jobs.items())[:6]) or "nothing"
        matchers = f" with {self._book.settings.matchers}" if self._book.settings.matchers else ""
        return SourceFault(
            "empty", f"no series {needs}{matchers}", f"is dcgm-exporter scraped? the server scrapes: {found}"
        )

    def _server_now(self, notes: Notes) -> float:
        """The server's time; and the shift from its clock to ours, which changes only when it has to."""
        ahead = self._client.ahead_s or 0.0
        shift = -round(ahead) if abs(ahead) > SKEW_S else 0
        if abs(shift - self._shift) > 2 or not shift:
            self._shift = shift
        if abs(ahead) > _TELL_SKEW_S:
            notes.say(f"the clock of Prometheus is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this one")
        return self._clock.now() + ahead

    def _lacking(self, notes: Notes) -> None:
        """Report series that cannot be counted because a label is missing."""
        lacks = self._lacks
        labels = self._book.labels["host_labels"]
        if lacks.get("host"):
            names = " or ".join(labels)
            notes.say(f"{lacks['host']:.0f} GPU series have no label {names} and count for no node; see host_labels")
        if lacks.get("UUID"):
            notes.say(f"{lacks['UUID']:.0f} GPU series have no label UUID: the GPUs of a node cannot be distinguished")

    def _xids(self, notes: Notes) -> Mapping[str, Xid] | None:
        """The XIDs; None, with a warning, if they are unknown."""
        self._shown = {}
        lacking = self._client.rows("lacking", self._book.whole("lacking"), notes)
        self._lacks = by_label(lacking, "lacking", "lacks", notes)
        if "xids" in self._lacks:
            notes.say(f"no series {BY_NAME['xids'].series[0]}: XIDs are unknown")
            return None
        try:
            gauges = self._client.ask("xids", self._book.whole("xids"))
            counts = self._client.ask("xid_counts", self._book.whole("xid_counts"))
        except QueryRefused as error:
            notes.say(str(error.fault))
            return None
        notes.say(*gauges.warnings, *counts.warnings)
        at = self._client.server_now()
        for row in self.hosts.of("xids").named(gauges.rows, "xids"):
            gpu, code = _gpu(row.metric), number(row.value[1], "xids") if row.value is not None else None
            if gpu is not None and code is not None:
                self._shown[gpu] = int(code)
        counted: dict[tuple[Gpu, int], float] = {}
        for row in self.hosts.of("xid_counts").named(counts.rows, "xid_counts"):
            gpu, word = _gpu(row.metric), row.metric.get("xid", "")
            times = number(row.value[1], "xid_counts") if row.value is not None else None
            if gpu is not None and times is not None and word.isascii() and word.isdecimal() and 0 < len(word) < 7:
                counted[gpu, int(word)] = times
        nodes = {uuid: node for node, _, uuid in self._shown}
        if any(nodes.get(uuid, node) != node for uuid, node in self._nodes.items()):
            # The mapping of nodes changed: a renamed node's old XIDs are not new.
            self._memory = XidMemory()
        self._nodes = nodes
        self._memory.see(self._shown, at)
        self._memory.count(counted, at)
        self._look_back(at, notes)
        shift = self._shift
        rows = self._memory.rows(at)
        return {key: _moved(row, shift) for key, row in rows.items()} if shift else rows

    def _look_back(self, at: float, notes: Notes) -> None:
        """Read the history of GPUs with a new XID, a few at a time: a storm must not make one huge query."""
        for _ in range(_LOOKS):
            gpus, span = self._memory.wanted()
            if not gpus:
                return
            step = step_of(span, len(gpus))
            end = int(at) // step * step
            start = end - span
            by_uuid = {gpu[2]: gpu for gpu in gpus}
            try:
                answer = self._client.ask_range(
                    "xid_past", self._book.past_of(tuple(by_uuid)), start, end, step
                )  # fmt: skip
            except QueryRefused as error:
                notes.say(str(error.fault))
                return
            notes.say(*answer.warnings)
            past = {row.metric.get("UUID", ""): points([row], "xid_past", start, end, step) for row in answer.rows}
            follows = tuple(gpu[2] for gpu in gpus if self._memory.follows(gpu)) if span == DAY else ()
            hidden = self._hidden(follows, start, end + step, step, notes) if follows else {}
            for uuid, gpu in by_uuid.items():
                self._memory.learn(gpu, past.get(uuid, ()), span, at, hidden.get(uuid, ()))

    def _hidden(
        self, uuids: tuple[str, ...], start: int, end: int, step: int, notes: Notes
    ) -> dict[str, list[tuple[int | None, int]]]:
        """UUID to times and codes between two steps, or that the exporter counted.

        `end` is the first step after now: it covers what came since the last one.
        """
        now = int(self._client.server_now())
        try:
            answer = self._client.ask_range("xid_hidden", self._book.hidden_of(uuids, step), start, end, step)
        except QueryRefused as error:
            notes.say(str(error.fault))
            return {}
        notes.say(*answer.warnings)
        found: dict[str, list[tuple[int | None, int]]] = {}
        for row in answer.rows:
            word = row.metric.get("xid", "")
            counted = int(word) if word.isascii() and word.isdecimal() and 0 < len(word) < 7 else None
            before: float | None = None
            for at, value in points([row], "xid_hidden", start, end, step):
                new = before is None if counted is not None else value != before
                if value is not None and new:
                    code = int(value) if counted is None else counted
                    found.setdefault(row.metric.get("UUID", ""), []).append(
                        (None if at <= start else min(at, now), code)
                    )
                before = value
        return found


def families(book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> HostFamilies:
    """The host families of all GPU series."""
    measured = book.power.node_series
    recorded = [BY_NAME[name].record or "" for name in ("gpus", "xids", *(("node_power",) if measured else ()))]
    return HostFamilies(
        book, client, mono,
        host_labels=("GPUs and XIDs", (*TEMP.series, *XID.series)),
        power=("node power", (measured,) if measured else ()),
        recorded=("recorded series", recorded if book.settings.recorded else ()),
    )  # fmt: skip


def _gpu(labels: Mapping[str, str]) -> Gpu | None:
    """The GPU of a row; None without a node that Slurm could know."""
    node, index = labels.get("node", ""), labels.get("gpu", "")
    if NODE_NAME.fullmatch(node) is None:
        return None
    known = index.isascii() and index.isdecimal() and len(index) < 5
    return node, int(index) if known else None, clean(labels.get("UUID", "")[:80])


def _moved(row: Xid, shift: int) -> Xid:
    """The row with its times moved to our clock."""
    from msgspec.structs import replace

    return replace(
        row,
        first_at=None if row.first_at is None else row.first_at + shift,
        last_at=None if row.last_at is None else row.last_at + shift,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
