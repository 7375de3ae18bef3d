"""Shared file systems: a row for each, as nodes and the exporters of their servers see them.

They are detected: file systems of the kinds in `fstypes` that one node in fifty has mounted, and those of the servers'
exporters. A node should have what the configuration names, or what nine of ten nodes have, or had at some hour of the
last day: so a file system that vanishes from all nodes at once is missing on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Facts, FileSystem, SourceFault
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.host_labels import HostFamilies, Hosts
from collectors.prometheus.query_table import quoted
from collectors.prometheus.site_queries import MAX_ROWS, SiteQueries
from collectors.prometheus.values import NODE_NAME, Notes

from .fabric import DAY_EVERY_S, check_age, numeric_rows
from .storage_queries import ERROR

#: Mounted on fewer nodes than this share: a private mount (an automounted home).
SHARED = 0.02
#: Mounted on this share of the nodes: all should have it.
EXPECTED = 0.9
#: Nearly full from here on, in per cent.
FULL_PCT = 95.0


class _MountState(Struct):
    """One file system while it is assembled."""

    kind: str = ""
    device: str = ""
    all: float = 0.0
    hung: float = 0.0
    readonly: float = 0.0


class StorageReader:
    """Reads the file systems; remembers those of the last day."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> None:
        self._book = book
        self._client = client
        self._mono = mono
        self.hosts = HostFamilies(book, client, mono, node_labels=("mounts", (ERROR,)))
        self._day: dict[str, float] = {}
        self._targets: dict[str, float] = {}
        self._day_at: float | None = None
        self._known: dict[str, tuple[str, str]] = {}
        """Mount point to kind and device, for one that no node has any more."""

    def read(self) -> Facts:
        """One reading; empty Facts if the site has no such series. Raises SourceFault."""
        notes = Notes()
        self.hosts.look(notes)
        seen = self._mounts(notes)
        servers = self._servers(notes)
        if self._known and not seen:
            what = "the nodes' view of the shared file systems was there and is gone"
            raise SourceFault("empty", what, "is node_exporter scraped?")
        if not seen and not servers:
            return Facts(warnings=tuple(notes.said))
        self._look_at_the_day(notes)
        # Mounts of this console's first reading count as well: a new server has no history.
        for name, one in seen.items():
            self._day[name] = max(one.all, self._day.get(name, 0.0))
        self._add_the_day(servers)
        nodes = next((count for _, count in self._ask("mount_nodes", notes)), 0.0)
        if seen:
            self._check_age()
        wanted = self._book.settings.storage.mounts
        expected = {
            name for name in {*seen, *self._day}
            if max(seen[name].all if name in seen else 0.0, self._day.get(name, 0.0)) >= EXPECTED * nodes > 0
        } | {*wanted}  # fmt: skip
        shown = {name: one for name, one in seen.items() if one.all >= SHARED * nodes or name in expected}
        for name in expected - shown.keys():
            kind, device = self._known.get(name, ("", ""))
            shown[name] = _MountState(kind=kind, device=device)
        hung = self._hung(notes) if any(one.hung for one in shown.values()) else {}
        space = self._space(notes)
        silent = {one.get("export", ""): int(count) for one, count in self._ask("nfs_silent", notes)}
        found: dict[str, FileSystem] = {}
        taken: set[str] = set()
        for name, one in sorted(shown.items()):
            missing = self._missing(name, notes) if name in expected and one.all < nodes else ()
            server = self._server_of(one, servers)
            taken.add(server)
            wrong = _wrong(servers.get(server, {}), one, space.get(name), silent.get(one.device, 0))
            size, used = _used(space.get(name))
            row = FileSystem(
                name=clean(name[:120]), kind=clean(one.kind[:20]), device=clean(one.device[:120]), used_pct=used,
                size_tb=size, mounted=int(one.all), hung=hung.get(name, ()), missing=missing, wrong=wrong,
            )  # fmt: skip
            found[row.name] = self._with_targets(row, server, servers)
        for server in sorted(servers.keys() - taken - {""}):
            kind = "weka" if "all" in servers[server] else "lustre"
            row = FileSystem(name=clean(server[:120]), kind=kind, wrong=_wrong(servers[server], _MountState(), None, 0))
            found[row.name] = self._with_targets(row, server, servers)
        return Facts(storage=found, warnings=tuple(notes.said))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, notes: Notes, **words: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each valid row; a refused query is a named gap."""
        return numeric_rows(self._client.rows(name, self._book.asking(name, **words), notes), name)

    def _mounts(self, notes: Notes) -> dict[str, _MountState]:
        seen: dict[str, _MountState] = {}
        most: dict[str, float] = {}
        for labels, count in self._ask("mounts", notes):
            name, what = labels.get("mountpoint", ""), labels.get("what", "")
            if not name or what not in {"all", "hung", "readonly"}:
                continue
            one = seen.setdefault(name, _MountState())
            setattr(one, what, getattr(one, what) + count)
            if what == "all" and count > most.get(name, 0.0):
                most[name] = count
                one.kind, one.device = labels.get("fstype", ""), labels.get("device", "")
                self._known[name] = (one.kind, one.device)
        return {name: one for name, one in seen.items() if one.all}

    def _servers(self, notes: Notes) -> dict[str, dict[str, float]]:
        """The servers' exporters by file system: up, all, risk; "" has those of no file system."""
        found: dict[str, dict[str, float]] = {}
        for labels, count in self._ask("storage_targets", notes):
            found.setdefault(labels.get("fs", ""), {})[labels.get("what", "")] = count
        return found

    def _add_the_day(self, servers: dict[str, dict[str, float]]) -> None:
        """Add the targets that a Lustre file system had within the day, and its unhealthy servers."""
        for name, told in servers.items():
            if name and "all" not in told:
                self._targets[name] = max(told.get("up", 0.0), self._targets.get(name, 0.0))
        for name, most in self._targets.items():
            told = servers.setdefault(name, {})
            told.setdefault("up", 0.0)
            told["most"] = most
        for told in servers.values():
            if "most" in told and "ill" in servers.get("", {}):
                told["ill"] = servers[""]["ill"]

    def _look_at_the_day(self, notes: Notes) -> None:
        now = self._mono()
        if self._day_at is not None and now - self._day_at < DAY_EVERY_S:
            return
        self._day_at = now
        self._day = {one.get("mountpoint", ""): count for one, count in self._ask("mounts_of_day", notes)}
        self._targets = {one.get("fs", ""): count for one, count in self._ask("storage_targets_of_day", notes)}

    def _check_age(self) -> None:
        """Raises SourceFault if the newest sample is old: it is not the current state."""
        rows = self._client.ask("mounts_sampled", self._book.asking("mounts_sampled")).rows
        at = next((value for _, value in numeric_rows(rows, "mounts_sampled")), None)
        check_age(at, self._client, self._book.settings.stale_s, "of a mount")

    def _hung(self, notes: Notes) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        rows = numeric_rows(self.hosts.rows("mounts_hung", notes), "mounts_hung")
        for labels, _ in rows:
            if NODE_NAME.fullmatch(labels.get("node", "")) is not None:
                found.setdefault(labels.get("mountpoint", ""), []).append(labels["node"])
        if len(rows) >= MAX_ROWS:
            notes.say(f"mounts hang on more than {MAX_ROWS:,} nodes: some of them are not listed")
        return {name: tuple(sorted(nodes)) for name, nodes in found.items()}

    def _missing(self, mount: str, notes: Notes) -> tuple[str, ...]:
        rows = numeric_rows(self.hosts.rows("mounts_missing", notes, expected=quoted(mount)[1:-1]), "mounts_missing")
        return tuple(sorted({one["node"] for one, _ in rows if NODE_NAME.fullmatch(one.get("node", "")) is not None}))

    def _space(self, notes: Notes) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for labels, count in self._ask("mount_space", notes):
            found.setdefault(labels.get("mountpoint", ""), {})[labels.get("what", "")] = count
        return found

    def _server_of(self, one: _MountState, servers: Mapping[str, Mapping[str, float]]) -> str:
        """The servers' file system that is mounted there; "" if unknown."""
        if one.kind == "lustre":
            # mgs@o2ib:/lustrefs, or a directory of it: mgs@o2ib:/lustrefs/project
            name = one.device.rpartition(":/")[2].partition("/")[0]
            return name if name in servers else ""
        weka = [name for name, told in servers.items() if "all" in told]
        return weka[0] if one.kind == "wekafs" and len(weka) == 1 else ""

    @staticmethod
    def _with_targets(row: FileSystem, server: str, servers: Mapping[str, Mapping[str, float]]) -> FileSystem:
        told = servers.get(server, {}) if server else {}
        every = told.get("all", told.get("most", told.get("up")))
        if every is None:
            return row
        return replace(row, targets=int(every), targets_up=int(told.get("up", 0.0)))


def _used(space: Mapping[str, float] | None) -> tuple[float | None, float | None]:
    """Size in TB (10^12 bytes) and per cent in use; None if the nodes do not report them."""
    size, free = (space or {}).get("size"), (space or {}).get("avail")
    if not size:
        return None, None
    return round(size / 1e12, 2), None if free is None else round(100 * (1 - free / size), 1)


def _wrong(
    told: Mapping[str, float], one: _MountState, space: Mapping[str, float] | None, silent: int
) -> tuple[str, ...]:
    """Its problems besides its mounts, in words."""

    def words() -> Iterator[str]:
        every = told.get("all", told.get("most"))
        up = told.get("up")
        if every is not None and up is not None and up < every:
            yield f"{every - up:.0f} of {every:.0f} targets do not answer"
        if told.get("ill"):
            yield f"{told['ill']:.0f} of Lustre's servers call themselves unhealthy"
        if told.get("risk"):
            yield "data is short of its protection"
        if silent:
            yield f"its server does not answer {silent} node{'' if silent == 1 else 's'} in time"
        if one.readonly:
            yield f"read-only on {one.readonly:.0f} node{'' if one.readonly == 1 else 's'}"
        used = _used(space)[1]
        if used is not None and used >= FULL_PCT:
            yield f"{used:.0f} % full"

    return tuple(words())


# -- one node ----------------------------------------------------------------------------------------------------------


def node_mounts(hosts: Hosts, node: str) -> Mapping[str, bool]:
    """The mounted shared file systems of a node: True if it responds. {} if unknown."""
    if NODE_NAME.fullmatch(node) is None:
        return {}
    rows = numeric_rows(hosts.rows_of("node_mounts", node), "node_mounts")
    return {clean(one.get("mountpoint", "")[:120]): not hangs for one, hangs in rows}
