"""Shared file systems, and the nodes, jobs and users affected when one hangs or is not mounted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from collectors.model import Cluster, FileSystem, Node
from collectors.nodeset import natural_key
from collectors.nodestate import in_service
from console.runtime.memo import remembered

if TYPE_CHECKING:
    from widgets.cells import Span

#: slurmctld's reason for a process of a job that cannot be killed: it hangs in the kernel, mostly on a file system.
KILL_FAILED = "kill task failed"


class StoreRow(Struct, frozen=True, kw_only=True):
    """One file system, with the nodes, jobs and users affected."""

    store: FileSystem
    missing: tuple[str, ...]
    """Nodes in service where it is not mounted."""
    jobs: tuple[str, ...] | None
    """Jobs on nodes where it hangs or is missing; None where the jobs are not known."""
    users: tuple[str, ...]
    stuck: tuple[str, ...]
    """Of the nodes on which it hangs, those where a job cannot end."""

    @property
    def bad(self) -> bool:
        """Whether it hangs on a node."""
        return bool(self.store.hung)

    @property
    def state(self) -> str:
        """hangs, missing, ill, well or unknown."""
        if self.store.hung:
            return "hangs"
        if self.missing:
            return "missing"
        if self.store.wrong:
            return "ill"
        return "unknown" if self.store.mounted is None and self.store.targets is None else "well"


class StoreNode(Struct, frozen=True, kw_only=True):
    """A node on which a file system hangs or is missing."""

    name: str
    mount: str
    how: str
    """hangs or missing."""
    node: Node | None
    jobs: tuple[str, ...]
    users: tuple[str, ...]
    stuck: str | None
    """Why a job cannot end there; None where no reason is known."""


@remembered("storage", "nodes", "jobs", "jobs_on", "known")
def store_rows(cluster: Cluster) -> Mapping[str, StoreRow]:
    """Every file system by name; those that hang come first."""
    rows = []
    for store in cluster.storage.values():
        missing = in_service(store.missing, cluster.nodes)
        hit = (*store.hung, *missing)
        jobs = tuple(dict.fromkeys(job for node in hit for job in cluster.jobs_on.get(node, ())))
        rows.append(
            StoreRow(
                store=store,
                missing=missing,
                jobs=jobs if "jobs" in cluster.known else None,
                users=_users(jobs, cluster),
                stuck=tuple(node for node in store.hung if stuck_reason(cluster.nodes.get(node)) is not None),
            )
        )
    order = ("hangs", "missing", "ill", "unknown", "well")
    rows.sort(key=lambda row: (order.index(row.state), natural_key(row.store.name)))
    return {row.store.name: row for row in rows}


def nodes_of(row: StoreRow, cluster: Cluster) -> dict[str, StoreNode]:
    """The nodes on which a file system hangs, then those where it is missing."""
    found = {}
    for how, names in (("hangs", row.store.hung), ("missing", row.missing)):
        for name in sorted(names, key=natural_key):
            node = cluster.nodes.get(name)
            jobs = cluster.jobs_on.get(name, ())
            found[name] = StoreNode(
                name=name, mount=row.store.name, how=how, node=node, jobs=jobs, users=_users(jobs, cluster),
                stuck=stuck_reason(node),
            )  # fmt: skip
    return found


def stuck_reason(node: Node | None) -> str | None:
    """Slurm's word for why a job cannot end on a node; None where it can."""
    if node is None:
        return None
    if node.reason is not None and KILL_FAILED in node.reason.lower():
        return "Kill task failed"
    return "COMPLETING" if "COMPLETING" in node.flags else None


def _users(jobs: Iterable[str], cluster: Cluster) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cluster.jobs[job].user for job in jobs if job in cluster.jobs))


#: How a state looks: glyph and role.
STATE_LOOKS: Mapping[str, tuple[str, str]] = {
    "hangs": ("✖", "bad"), "missing": ("▼", "warn"), "ill": ("▲", "warn"), "unknown": ("?", "text-dim"),
    "well": ("●", "good"),
}  # fmt: skip


def state_span(word: str) -> Span:
    """Glyph and word."""
    glyph, role = STATE_LOOKS[word]
    return (f"{glyph} {word}", role)
