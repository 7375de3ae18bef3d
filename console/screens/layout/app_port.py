"""What screens and dialogs may use of the app. `console.app.app.WachtApp` implements it; nothing here runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from widgets.terminal.quiet_app import QuietApp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from textual.worker import Worker

    from collectors.clock import Clock
    from collectors.model import Cluster, Telemetry
    from console.actions.action import Kind
    from console.clusters.cluster_session import ClusterSession, FromSession
    from console.clusters.fleet import Fleet
    from console.config.keymap import Keymap
    from console.config.saved_filters import SavedFilters
    from console.config.settings import Config
    from console.config.theme_files import ThemeChoice
    from console.filters.completion import LineCompletions
    from console.gate.gate import Gate
    from console.health.xid_policy import Policy
    from console.ingest.poller import Poller
    from console.journal.leftovers import Leftovers
    from console.journal.reader import JournalReader
    from console.recording.player import Player
    from console.recording.recorder import Recorder
    from widgets.cells import Span
    from widgets.key_bar import KeyHint
    from widgets.pane import PaneLine
    from widgets.prompt import History


class ConsoleApp(QuietApp[None]):
    """The app as a screen sees it. Attributes that are `FromSession` belong to the cluster on the screen."""

    if TYPE_CHECKING:
        config: Config
        keymap: Keymap
        policy: Policy
        histories: dict[str, History]
        completions: LineCompletions
        filters: SavedFilters
        views: dict[str, bool]

        @property
        def session(self) -> ClusterSession: ...

        fleet: Fleet
        looks: ThemeChoice
        looked_at: FromSession[Any]
        clock: FromSession[Clock]
        gate: FromSession[Gate]
        poller: FromSession[Poller | Player]
        journal: FromSession[JournalReader]
        journal_path: FromSession[Path]
        telemetry: FromSession[Telemetry]
        recorder: FromSession[Recorder | None]
        gpus_every_s: FromSession[float]
        resumed: FromSession[Mapping[str, float]]
        leftovers: FromSession[Leftovers]

        @property
        def cluster(self) -> Cluster: ...

        @property
        def modes(self) -> Sequence[str]: ...

        @property
        def read_only(self) -> bool: ...

        def show_message(self, text: str, severity: str = "information") -> None: ...

        def show_message_for(self, session: ClusterSession, text: str, severity: str = "information") -> None: ...

        def refusal(self, action_id: str) -> str | None: ...

        def open_command_line(self, text: str) -> None: ...

        def set_theme(self, name: str) -> None: ...

        def action_act(self, action_id: str) -> None: ...

        def open_row(self, kind: Kind, key: str) -> None: ...

        def open_list(self, name: str, filter_text: str) -> None: ...

        def pending_words(self, kind: Kind) -> Mapping[str, str]: ...

        def set_background_polling(self, more: frozenset[str] = frozenset()) -> None: ...

        def undo(self, key: str | None, only: Sequence[str] | None = None) -> None: ...

        def read_back(self, key: str) -> None: ...

        def action_history(self, session: ClusterSession, kind: Kind, key: str) -> list[PaneLine]: ...

        def switch_view(self, name: str, on: bool) -> None: ...

        def prepare_completions(self) -> None: ...

        def ssh(self, name: str) -> None: ...

        def replay_keys(self) -> Sequence[KeyHint]: ...

        def go_to_cluster(self, name: str) -> None: ...

        def other_cluster_chips(self) -> list[Span]: ...

        def on_worker_state_changed(self, event: Worker.StateChanged) -> None: ...

        def action_go(self, name: str, filter_text: str | None = None) -> None: ...

        def action_refresh(self) -> None: ...

        def action_look_back(self) -> None: ...
