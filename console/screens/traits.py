"""The common-traits screen: what the marked nodes have in common and most other nodes lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textual.widget import Widget

from collectors.model import Cluster, Diff, SourceFault
from collectors.nodeset import fold
from console.actions.action import Kind
from console.clusters.cluster_session import ClusterSession
from console.health.common_traits import Trait, traits
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine, pane_line

from .layout.screen import WachtScreen

#: Most nodes whose last jobs are read from the accounting, one call for each.
MAX_NODES_ASKED = 12
LOOKBACK_S = 2 * 86_400
MAX_JOBS = 20


class CommonScreen(WachtScreen):
    """The traits in one pane; actions on the nodes are possible as in a list."""

    crumb = "common"
    acts_on = "node"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.text = Pane("In common", scroll=True, id="main")
        self._last_jobs_of: Mapping[str, Sequence[str]] | None = None
        self._jobs_note = "asking the accounts for their last jobs …"

    def body(self) -> Iterable[Widget]:
        """The pane."""
        yield self.text

    def on_mount(self) -> None:
        """Read the accounting once."""
        super().on_mount()
        at, names = self.at, self.names[:MAX_NODES_ASKED]
        now = self.app.clock.now()
        self.fetch(lambda: _last_jobs(at, names, now), self._jobs_fetched)

    def _jobs_fetched(self, answer: Any) -> None:
        if isinstance(answer, Mapping):
            self._last_jobs_of = answer
            more = len(self.names) - MAX_NODES_ASKED
            self._jobs_note = f"last jobs: of {MAX_NODES_ASKED} of them" if more > 0 else ""
        else:
            self._jobs_note = f"last jobs are not known: {answer}"
        self.show(self.cluster, None)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Count again with every reading."""
        found = traits(self.names, cluster, self._last_jobs_of)
        self.text.set_title([("In common ", "title"), (f" {len(self.names):,} nodes  {fold(self.names)}", "text-dim")])
        lines = [_trait_line(one) for one in found] or [
            pane_line(("nothing that most other nodes have not as well", "text-dim"))
        ]
        self.text.set_lines(
            [*lines, *([PaneLine(()), pane_line((self._jobs_note, "text-dim"))] if self._jobs_note else [])]
        )

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The compared nodes."""
        return tuple(name for name in self.names if name in self.cluster.nodes) if kind == "node" else ()

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Esc", "back"),)


def _trait_line(one: Trait) -> PaneLine:
    role = "" if one.named_count < one.named_total else "warn" if one.other_count else "bad"
    spans = [
        (f"{one.kind:<16} ", "text-dim"),
        (f"{one.value}  ", "text-strong"),
        (f"{one.named_count:,} of {one.named_total:,}", role),
    ]
    others = f"  and {one.other_count:,} of the {one.other_total:,} others" if one.other_count else "  and no other"
    return pane_line([*spans, (others, "text-dim")])


def _last_jobs(session: ClusterSession, names: Sequence[str], now: float) -> Mapping[str, Sequence[str]]:
    """Node to the jobs that recently ended there. Raises SourceFault where none can be read."""
    found: dict[str, Sequence[str]] = {}
    fault: SourceFault | None = None
    for name in names:
        try:
            found[name] = [one.id for one in session.ledger.jobs_of_node(name, int(now - LOOKBACK_S), MAX_JOBS)]
        except SourceFault as error:
            fault = error
            break
    if fault is not None and not found:
        raise fault
    return found
