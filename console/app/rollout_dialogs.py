"""Roll-outs: the progress dialog, the messages about it, and the pre-flight reads between waves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from collectors.model import Cluster
from collectors.nodeset import fold
from console.actions.options import Options
from console.actions.plan import Plan
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.commands import CommandError
from console.preflight.checks import PreflightReads

from .notifications import Notifications
from .ports import Screens

if TYPE_CHECKING:
    from console.gate.outcome import Progress
    from console.gate.rollout import Reread


class RolloutDialogs:
    """Shows what is sent in batches or waves."""

    def __init__(self, fleet: Fleet, notifications: Notifications, screens: Screens, ask: Callable[..., Any]) -> None:
        """`ask` plans an action and shows its preview (`Acting.ask`)."""
        self._fleet, self._notify, self._screens, self._ask = fleet, notifications, screens, ask
        self.newest: tuple[Plan, Progress] | None = None
        """The newest action that opened a progress dialog."""

    def open(self, plan: Plan, progress: Progress) -> None:
        """Open the progress dialog."""
        from .progress_dialog import ProgressDialog

        self.newest = (plan, progress)
        self._screens.push_screen(ProgressDialog(plan, progress, self._drain_again))

    def open_again(self) -> None:
        """`:progress`. Raises CommandError."""
        plan, progress = self.newest or (None, None)
        if plan is None or progress is None or (progress.ended and not progress.unfit):
            raise CommandError("nothing is being sent in batches or waves")
        self.open(plan, progress)

    def report_paused(self, session: ClusterSession, plan: Plan, progress: Progress) -> None:
        """Report a send that paused by itself. As a message: a dialog would take keys meant for the screen."""
        why = progress.hold_reason
        self._notify.show_for(session, f"{plan.action.label} is paused: {why}; :progress, then p goes on", "error")

    def report_unfit(self, session: ClusterSession, plan: Plan, progress: Progress) -> None:
        """Report nodes that came back unfit, where the plan asks before draining them again."""
        which = fold(progress.unfit)
        self._notify.show_for(
            session, f"{plan.action.label}: {which} came back unfit: :progress, then d drains them again", "error"
        )

    def _drain_again(self, plan: Plan, progress: Progress) -> None:
        """Ask, as for any drain, whether nodes that came back unfit are drained again."""
        if plan.cluster.name != self._fleet.session.name:
            self._notify.show(f"they are nodes of {plan.cluster.name}: go there first", "warning")
            return
        reasons = {name: f"came back unfit: {why}" for name, why in progress.unfit.items()}
        self._ask(plan.action.inverse or "", tuple(reasons), "came back unfit", Options(reasons=reasons))


def return_preflight_reader(session: ClusterSession) -> Reread:
    """A function that reads the pre-flight facts of returning nodes: a fresh poll, and their GPUs."""
    from console.gate import preflight_reads

    def look(names: Sequence[str]) -> tuple[Cluster, PreflightReads]:
        session.poller.refresh_now(preflight_reads.RETURN_SOURCES)
        cluster = session.newest
        return cluster, preflight_reads.read_returned(names, cluster, session.telemetry, session.resumed)

    return look
