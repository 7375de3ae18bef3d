"""Opens the gate of a cluster, for the screen and for `wacht act`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from collectors.clock import Clock
from collectors.model import Cluster, SourceFault, Transport, Writer
from collectors.site_command import Template
from console.actions.registry import BY_ID
from console.config.paths import journal_path
from console.config.settings import Config
from console.gate import preflight_reads
from console.gate.gate import Gate, open_writer
from console.health.xid_policy import load_policy
from console.ingest import node_naming
from console.journal import past_actions
from console.journal.writer import Journal, JournalFault, read
from console.preflight.checks import PreflightReads

from .cluster_sources import ClusterSources


def open_gate(sources: ClusterSources, config: Config, transport: Transport, clock: Clock) -> Gate:
    """The gate of this cluster; a closed one for a recording. Opens no writer or journal until something is sent."""
    if sources.recorded:
        return closed_gate(sources)

    def writer(kind: str) -> Writer:
        if (own := BY_ID.get(kind)) is not None and own.argv:
            if sources.demo:
                raise SourceFault(
                    "refused", f"{own.label} is a command of this site's", "the simulated cluster does not run it"
                )
            template = Template(kind=own.kind, argv=own.argv, deadline_s=own.deadline_s)
            return open_writer("template", sources.name, template)
        if sources.demo:
            return open_writer("sim", sources.name, sources.slurm)
        if kind in {"node", "job", "partition", "reservation", "user"}:
            return open_writer("slurm", sources.name, sources.slurm)
        if "alertmanager" not in sources.others:
            raise SourceFault(
                "missing", "no Alertmanager is configured", "add alertmanager = { url = … } to the cluster"
            )
        return open_writer("alertmanager", sources.name, sources.others["alertmanager"])

    return Gate(
        sources.name,
        writer,
        transport,
        lambda: Journal(journal_path(sources.name, config), sources.name, clock),
        clock,
        read_only=config.read_only,
        guard=config.guard,
        policy=load_policy(config.xid_policy),
        desk=sources.alert_reader(),
    )


def last_resumed(sources: ClusterSources, config: Config) -> Callable[[], Mapping[str, float]]:
    """When each node was last returned to service, from the journal at the first call; excludes later actions."""

    @cache
    def resumed() -> Mapping[str, float]:
        with contextlib.suppress(OSError, JournalFault):
            return past_actions.resumed(read(journal_path(sources.name, config)))
        return {}

    return resumed


def preflight_reader(
    sources: ClusterSources,
    transport: Transport,
    action_id: str,
    cluster: Cluster,
    resumed: Callable[[], Mapping[str, float]],
) -> Callable[[Sequence[str]], PreflightReads] | None:
    """The function that reads the facts needed by this action's pre-flight checks, for `wacht act`; None when it needs
    none.
    """
    action = BY_ID.get(action_id)
    if action is None or not preflight_reads.needs_reads(action):
        return None

    def look(targets: Sequence[str]) -> PreflightReads:
        telemetry = sources.telemetry()
        node_naming.share_names(telemetry, cluster.nodes)
        return preflight_reads.read_for(action, targets, cluster, transport, telemetry, resumed())

    return look


#: Why the gate of a recording refuses.
LOCKED = "REPLAY: nothing can be changed"


def closed_gate(sources: ClusterSources) -> Gate:
    """A gate without a writer and without a journal."""

    def no_writer(kind: str) -> Writer:
        raise SourceFault("refused", LOCKED)

    def no_journal() -> Any:
        raise JournalFault(LOCKED)

    gate = Gate(sources.name, no_writer, None, no_journal, sources.clock_of(), read_only=True)
    gate.read_only_reason = LOCKED
    return gate
