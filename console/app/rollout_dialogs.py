"""Roll-outs in the app: the progress dialog, the messages about it, and the pre-flight reads between waves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collectors.model import Cluster
from collectors.nodeset import fold
from console.actions.plan import Options, Plan, PreflightReads
from console.clusters.cluster_session import ClusterSession
from console.config.commands import CommandError

if TYPE_CHECKING:
    from textual.app import App

    from console.gate.outcome import Progress
    from console.gate.rollout import Reread

    _Base = App[None]
else:
    _Base = object


class RolloutDialogs(_Base):
    """The part of the app that shows what is sent in batches or waves."""

    _on_its_way: tuple[Plan, Progress] | None = None
    """The newest action that opened a progress dialog."""

    def show_message_for(self, session: ClusterSession, text: str, severity: str = "information") -> None:
        """Show a message about this cluster."""
        raise NotImplementedError

    def request_action(
        self, action_id: str, targets: Sequence[str], reason: str | None = None, options: Options | None = None
    ) -> None:
        """Plan an action and show its preview."""
        raise NotImplementedError

    def show_progress(self, plan: Plan, progress: Progress) -> None:
        """Open the progress dialog."""
        from .progress_dialog import ProgressDialog

        self._on_its_way = (plan, progress)
        self.push_screen(ProgressDialog(plan, progress))

    def show_progress_again(self) -> None:
        """`:progress`. Raises CommandError."""
        plan, progress = self._on_its_way or (None, None)
        if plan is None or progress is None or (progress.ended and not progress.unfit):
            raise CommandError("nothing is being sent in batches or waves")
        self.show_progress(plan, progress)

    def report_paused(self, session: ClusterSession, plan: Plan, progress: Progress) -> None:
        """Report a send that paused by itself. As a message: a dialog would take keys meant for the screen."""
        why = progress.hold_reason
        self.show_message_for(session, f"{plan.action.label} is paused: {why}; :progress, then p goes on", "error")

    def report_unfit(self, session: ClusterSession, plan: Plan, progress: Progress) -> None:
        """Report nodes that came back unfit, where the plan asks before draining them again."""
        which = fold(progress.unfit)
        self.show_message_for(
            session, f"{plan.action.label}: {which} came back unfit: :progress, then d drains them again", "error"
        )

    def drain_again(self, plan: Plan, progress: Progress) -> None:
        """Ask, as for any drain, whether nodes that came back unfit are drained again."""
        if plan.cluster.name != self.session.name:
            self.show_message_for(self.session, f"they are nodes of {plan.cluster.name}: go there first", "warning")
            return
        reasons = {name: f"came back unfit: {why}" for name, why in progress.unfit.items()}
        self.request_action("drain", tuple(reasons), "came back unfit", Options(reasons=reasons))


def return_preflight_reader(session: ClusterSession) -> Reread:
    """A function that reads the pre-flight facts of returning nodes: a fresh poll, and their GPUs."""
    from console.gate import preflight_reads

    def look(names: Sequence[str]) -> tuple[Cluster, PreflightReads]:
        session.poller.refresh_now(preflight_reads.RETURN_SOURCES)
        cluster = session.newest
        return cluster, preflight_reads.read_returned(names, cluster, session.telemetry, session.resumed)

    return look
