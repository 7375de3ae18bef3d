"""What screens may use of the app and of its controllers. `console.app.app.WachtApp` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from widgets.terminal.quiet_app import QuietApp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Event
    from textual.worker import Worker

    from collectors.clock import Clock
    from collectors.model import Cluster
    from console.actions.action import Kind
    from console.clusters.cluster_session import ClusterSession
    from console.clusters.fleet import Fleet
    from console.config.keymap import Keymap
    from console.config.saved_filters import SavedFilters
    from console.config.settings import Config
    from console.filters.completion import LineCompletions
    from console.health.xid_policy import Policy
    from widgets.cells import Span
    from widgets.key_bar import KeyHint
    from widgets.pane import PaneLine
    from widgets.prompt import History


class NavigationCalls(Protocol):
    """`console.app.navigation`."""

    def go(self, name: str, filter_text: str | None = None) -> None: ...

    def open_row(self, kind: Kind, key: str) -> None: ...

    def go_back(self) -> None: ...

    def ssh(self, name: str) -> None: ...


class UndoCalls(Protocol):
    """`console.app.undo_actions`."""

    def undo(self, key: str | None = None, only: Sequence[str] | None = None) -> None: ...

    def read_back(self, key: str) -> None: ...


class ClusterCalls(Protocol):
    """`console.app.cluster_switching`."""

    def go_to(self, name: str) -> None: ...

    def chips(self) -> list[Span]: ...

    def poll_others(self, more: frozenset[str] = frozenset()) -> None: ...


class ReplayCalls(Protocol):
    """`console.app.replay_mode`."""

    def look_back(self) -> None: ...

    def keys(self) -> Sequence[KeyHint]: ...


class JournalCalls(Protocol):
    """`console.app.journal_queries`."""

    def action_history(self, session: ClusterSession, kind: Kind, key: str) -> list[PaneLine]: ...

    def action_times(
        self, session: ClusterSession, since: float, kind: Kind | None = None, key: str | None = None
    ) -> tuple[float, ...]: ...


class ErrorCalls(Protocol):
    """`console.app.error_reporting`."""

    def worker_changed(self, event: Worker.StateChanged) -> None: ...


class InputCalls(Protocol):
    """`console.app.input_handling`."""

    keymap: Keymap
    histories: dict[str, History]
    completions: LineCompletions
    filters: SavedFilters
    views: dict[str, bool]

    def translate(self, event: Event) -> Event: ...

    def prepare_completions(self) -> None: ...

    def switch_view(self, name: str, on: bool) -> None: ...


class ConsoleApp(QuietApp[None]):
    """The app as a screen sees it."""

    if TYPE_CHECKING:
        config: Config
        policy: Policy
        fleet: Fleet
        input: InputCalls
        navigation: NavigationCalls
        undoing: UndoCalls
        clusters: ClusterCalls
        replay: ReplayCalls
        journal_queries: JournalCalls
        error_reporting: ErrorCalls

        def show_message(self, text: str, severity: str = "information") -> None: ...

    @property
    def session(self) -> ClusterSession:
        """The cluster on the screen, live or recorded."""
        return self.fleet.session

    @property
    def cluster(self) -> Cluster:
        """The facts on the screen."""
        return self.fleet.cluster

    @property
    def clock(self) -> Clock:
        """The clock of what is on the screen."""
        return self.fleet.session.clock

    async def on_event(self, event: Event) -> None:
        """Translate a key or paste when its turn has come: which screen is on top decides how."""
        await super().on_event(self.input.translate(event))
