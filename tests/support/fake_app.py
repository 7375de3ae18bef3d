"""The ports of `console.app.ports` without a terminal, with clusters and screens for the controllers of the app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from collectors.clock import ManualClock
from collectors.model import Cluster
from collectors.sim import SimSettings
from console.app.acting import Acting
from console.app.input_handling import InputHandling
from console.app.journal_queries import JournalQueries
from console.app.notifications import Notifications
from console.clusters.cluster_session import ClusterSession
from console.clusters.fleet import Fleet
from console.config.settings import Config
from console.config.theme_files import read_themes
from console.health.xid_policy import load_policy
from console.runtime.state_files import BackgroundWriter
from console.screens.layout.screen import WachtScreen
from console.session.cluster_sources import ClusterSources
from tests.support import make

A, B = "groningen", "leeuwarden"


class FakePoller:
    """Polls nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, cluster.name
        self.asked: list[object] = []
        self.stopped = False

    def refresh_now(self, sources: object = None) -> None:
        self.asked.append(sources)

    def need(self, kinds: object) -> None: ...

    def show(self, ids: object) -> None: ...

    def start(self) -> None: ...

    def stop(self, *, alone: bool = False) -> None:
        self.stopped = True


class FakeScreen(WachtScreen):
    """A screen that is on top, with chosen targets."""

    crumb = "nodes"

    def __init__(self, fleet: Fleet, targets: Sequence[str] = (), kind: str = "node") -> None:
        super().__init__()
        self._at = fleet.session
        self._chosen, self._kind = tuple(targets), kind
        self.marked, self.shown_clusters, self.discarded = True, [], 0
        self.prompt = SimpleNamespace(is_open=False, opened=[])  # type: ignore[assignment]
        self.prompt.open = lambda *given: self.prompt.opened.append(given[:2])  # type: ignore[method-assign]

    is_mounted = True  # type: ignore[assignment]

    def targets(self, kind: str) -> tuple[str, ...]:
        return self._chosen if kind == self._kind else ()

    def refusal(self, action_id: str) -> str | None:
        return "refused here" if action_id == "resume" else None

    def clear_marks(self) -> None:
        self.marked = False

    def update_cluster(self, cluster: Cluster, diff: object) -> None:
        self.shown_clusters.append(cluster)

    def update_hidden(self, cluster: Cluster) -> None:
        self.shown_clusters.append(cluster)

    def discard_fetched(self) -> None:
        self.discarded += 1

    def refresh_keys(self) -> None: ...

    def refresh_top(self) -> None: ...


class FakeApp:
    """An app whose threads run when `work` is called, and whose messages are in `notes`."""

    theme, idle_s, slow_line, is_running = "groningen", 0.0, False, True

    def __init__(self) -> None:
        self.policy = load_policy(None)
        self.screen_stack: list[Any] = [SimpleNamespace()]
        self.callbacks: list[Callable[..., Any]] = []
        self.threads: list[tuple[str, Callable[[], object]]] = []
        self.notes: list[str] = []
        self.severities: list[str] = []
        self.posted: list[Any] = []
        self.bound: list[tuple[str, str]] = []
        self.timers: list[tuple[float, Callable[[], Any]]] = []
        self.written = self.clipboard = ""
        self.ended: list[Exception] = []

    def work(self) -> None:
        """Run what was handed to threads."""
        while self.threads:
            self.threads.pop(0)[1]()

    @property
    def screen(self) -> Any:
        return self.screen_stack[-1]

    def run_in_thread(self, work: Callable[[], object], group: str, *, exclusive: bool = False) -> None:
        self.threads.append((group, work))

    def call_from_thread(self, callback: Callable[..., Any], *args: Any) -> Any:
        return callback(*args)

    def call_later(self, callback: Callable[..., Any], *args: Any) -> bool:
        callback(*args)
        return True

    call_next = call_after_refresh = call_from_thread

    def get_screen(self, screen: str) -> Any:
        return screen

    def push_screen(self, screen: Any, callback: Any = None) -> None:
        self.screen_stack.append(screen)
        self.callbacks.append(callback)

    def pop_screen(self) -> None:
        self.screen_stack.pop()

    def switch_screen(self, screen: str) -> None:
        self.screen_stack[-1] = screen

    def notify(self, text: str, *, severity: str, **_: object) -> None:
        self.notes.append(text)
        self.severities.append(severity)

    def set_timer(self, delay: float, callback: Callable[[], Any]) -> Any:
        self.timers.append((delay, callback))
        return SimpleNamespace(stop=lambda: None)

    def post_message(self, message: Any) -> bool:
        self.posted.append(message)
        return True

    def bind(self, keys: str, action: str, **_: object) -> None:
        self.bound.append((keys, action))

    async def run_action(self, action: str) -> None:
        self.posted.append(action)

    def copy_to_clipboard(self, text: str) -> None:
        self.clipboard = text

    def suspend(self) -> Any:
        return nullcontext()

    def write_to_terminal(self, text: str) -> None:
        self.written += text

    def fail(self, error: Exception) -> None:
        self.ended.append(error)


def site(name: str = A) -> ClusterSources:
    """A simulated cluster; nothing reads it."""
    return ClusterSources(name=name, demo=True, slurm=SimSettings(nodes=4), others={})


def session(cluster: Cluster | None = None, name: str = A, **config: Any) -> ClusterSession:
    """An open cluster that shows these facts."""
    made = ClusterSession(site(name), Config(**config), ManualClock())
    made.attach(FakePoller(cluster or make.cluster(name, nodes=[make.node("n1"), make.node("n2")])))  # type: ignore[arg-type]
    return made


def fleet(first: ClusterSession | None = None, *others: str) -> Fleet:
    """The clusters of a console: one is open, `others` are configured."""
    one = first or session()
    return Fleet(one, [one.site, *map(site, others)])


class Writer(BackgroundWriter):
    """Writes at once."""

    def do(self, work):
        work()


class Desk:
    """What every controller is given."""

    def __init__(self, first: ClusterSession | None = None, *others: str, **config: object) -> None:
        self.app = FakeApp()
        self.config = Config(**config)
        self.fleet = fleet(first, *others)
        self.notifications = Notifications(self.fleet, self.app)
        self.journal = JournalQueries(self.app)
        self.looks = read_themes(None, {}, "truecolor")
        self.input = InputHandling(self.fleet, self.notifications, self.config, self.looks, Writer(), self.app)
        self.acting = Acting(
            self.fleet, self.notifications, self.journal, self.app, self.input.expand_targets, self.input.undo_key
        )

    @property
    def session(self) -> ClusterSession:
        return self.fleet.session

    @property
    def notes(self) -> list[str]:
        """The messages so far."""
        return self.app.notes

    def show(self, *targets: str, kind: str = "node") -> FakeScreen:
        """A screen with these targets comes on top."""
        screen = FakeScreen(self.fleet, targets, kind)
        self.app.push_screen(screen)
        return screen
