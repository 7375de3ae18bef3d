"""The base of all screens: top line, body, prompt, key bar, and updates with a new Cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from msgspec import structs
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.worker import Worker

from collectors.clean import clean
from collectors.model import Cluster, Diff, Fault, SourceFault
from console.actions.action import Action, Kind
from console.actions.refusals import key_refusal
from console.actions.registry import BY_ID, NAVIGATION, keys_for
from console.fields.common_cells import Ctx
from console.health.unknown_reasons import unknown_reason, why_unknown
from console.runtime.memo import Sum
from widgets.cells import Span
from widgets.chips import is_stale
from widgets.key_bar import KeyBar, KeyHint
from widgets.pane import Pane
from widgets.prompt import Prompt
from widgets.scroll import Scrolled
from widgets.terminal.quiet_app import QuietScreen
from widgets.top_line import TopLine

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy

    from .app_port import ConsoleApp

#: Step (seconds) of the clock for cells, so that a table of running jobs is not repainted every second.
CTX_STEP_S = 5
_WIDE_COLUMNS = 120
_FIRST_ACTIONS = ((_WIDE_COLUMNS, 2), (160, 3))
"""On a screen narrower than that, so many actions precede the other keys."""


def stepped(now: float) -> float:
    """The time rounded down to the step used for cells."""
    return now - now % CTX_STEP_S


def answer_or_fault(call: Callable[[], Any]) -> Any:
    """The answer of a call, or its Fault. A bug becomes a Fault too: off the event loop it would go unnoticed."""
    try:
        return call()
    except SourceFault as error:
        return error.fault
    except Exception as error:
        return Fault("internal", clean(f"{type(error).__name__}: {error}")[:300], "please report it to wacht")


class WachtScreen(QuietScreen[None]):
    """A screen of the console. Subclasses define `body`, `show` and their targets."""

    DEFAULT_CSS = """
    WachtScreen { layout: vertical; background: $background; overflow: hidden; }
    WachtScreen > #body { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(key.keys), key.id, key.help, show=False)
        for key in NAVIGATION
        if key.id in {"filter", "back", "measure", "zoom", "charts", "ssh", "beside"}
    ]
    AUTO_FOCUS = "#main"
    crumb: str = ""
    """The name in the crumbs and in `--screen`."""
    acts_on: Kind | tuple[Kind, ...] | None = None
    """Kinds of targets whose action keys the bar shows, in this order."""

    needed_kinds: frozenset[str] = frozenset()
    """Kinds of facts it needs that are polled rarely while no screen shows them (`poller.SELDOM`)."""

    sums: tuple[Sum, ...] = ()
    """Sums over the whole machine that it shows; computed off the event loop before the Cluster is shown."""

    takes_keys: ClassVar[frozenset[str] | None] = None
    """Ids of the keys of the app that work while it is open; None for all, those of actions too."""

    shows_all_clusters: ClassVar[bool] = False
    """Whether it also shows other clusters."""

    tick_s: ClassVar[float] = CTX_STEP_S
    """Seconds between two calls of `tick`."""

    app: ConsoleApp

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(name="")
        self._shown: ref[Cluster] | None = None
        self._at: ClusterSession | None = None
        # Kept as attributes: a message may arrive while the screen is being mounted or removed.
        self.top = TopLine(id="top")
        self.bar = KeyBar(id="keys")
        self.prompt = Prompt(id="prompt")

    def compose(self) -> ComposeResult:
        """Top line, body, prompt, key bar."""
        yield self.top
        yield from self.body()
        yield self.bar
        yield self.prompt

    # For subclasses.

    @property
    def breadcrumb(self) -> str:
        """The name of this screen in the crumbs."""
        return self.crumb

    def body(self) -> Iterable[Widget]:
        """The widgets between the top line and the key bar; the one that takes the focus has the id `main`."""
        return ()

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Paint a newer Cluster; `diff` None means that anything may have changed."""

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Compute what `show` needs of this Cluster, in the thread that made it. `shown` is False for a screen that is
        not visible. The screen may not be mounted, so everything of the app's is passed in."""
        for make in self.sums:
            make(cluster)

    def tick(self, ctx: Ctx) -> None:
        """Update ages; called every `tick_s` seconds."""

    def show_session(self, session: ClusterSession) -> None:
        """Read from the recording of its cluster from now on, or from the live session again."""
        self._at = session
        self.discard_fetched()

    def discard_fetched(self) -> None:
        """Drop what was read on demand, since another time is shown from now on."""

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The targets of an action on this kind: the marked rows, else the one under the cursor."""
        return ()

    def sample_targets(self, kind: Kind) -> Sequence[str]:
        """Targets whose refusals stand for those of all `targets`. Called for every key: must not grow with them."""
        return self.targets(kind)

    def selected_job(self) -> str | None:
        """The job for `:log` without an id; None for none."""
        names = self.targets("job")
        return names[0] if len(names) == 1 else None

    def shown_jobs(self) -> frozenset[str]:
        """The visible jobs, whose facts are refreshed first."""
        return frozenset(self.targets("job"))

    def suggested_reason(self, action_id: str) -> str | None:
        """The suggested reason for an action, if the screen knows one."""
        return None

    def clear_marks(self) -> None:
        """Clear the marks after they were used."""

    def copy_text(self) -> str | None:
        """The command or query behind what is shown, for `y`."""
        return None

    def keys(self) -> Sequence[KeyHint]:
        """The keys of the bar between the actions and the help."""
        return ()

    def action_back(self) -> None:
        """Esc: return to what was open before, finally from replay to live."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        elif self.app.fleet.in_replay_mode:
            self.app.replay.look_back()

    def action_filter(self) -> None:
        """Show a message: only lists can be filtered."""
        keys = self.app.input.keymap
        self.app.show_message(
            f"only the lists have rows to filter: nodes ({keys.first('nodes')}), jobs ({keys.first('jobs')})"
        )

    def action_measure(self) -> None:
        """Show a message: only maps have measures."""
        keys = self.app.input.keymap
        self.app.show_message(f"this changes what the map shows; the map is on the overview ({keys.first('overview')})")

    def action_zoom(self) -> None:
        """Show a message: only maps can be zoomed."""
        self.app.show_message(f"this zooms into a rack of the GPU map ({self.app.input.keymap.first('gpus')})")

    def action_ssh(self) -> None:
        """Open a shell on the node under the cursor."""
        names = self.targets("node")
        if len(names) == 1 and names[0] in self.cluster.nodes:
            self.app.navigation.ssh(names[0])
        else:
            self.app.show_message("this opens a shell on one node: put the cursor on it")

    def action_charts(self) -> None:
        """Show a message: only nodes have charts."""
        self.app.show_message("this shows the charts of a node: open one with Enter")

    def action_beside(self) -> None:
        """Show a message: only lists have a side pane."""
        self.app.show_message("this shows beside a list what the cursor is on")

    def views_changed(self) -> None:
        """A view was switched on or off."""

    # Common to all screens.

    @property
    def kinds_acted_on(self) -> tuple[Kind, ...]:
        """`acts_on` as a tuple."""
        return (self.acts_on,) if isinstance(self.acts_on, str) else self.acts_on or ()

    @property
    def at(self) -> ClusterSession:
        """The cluster of this screen, which answers its on-demand reads whichever cluster is on the screen by then."""
        return self._at or self.app.session

    def fetch(self, call: Callable[[], Any], then: Callable[[Any], None], group: str = "ask") -> None:
        """Call `call` in a thread, then `then` with the answer or Fault on the event loop. A newer call of `group`
        replaces it."""

        # Textual frees workers late, since they refer to themselves: they must not hold a Cluster until then.
        asked = [(call, then)]
        del call, then

        def work() -> None:
            call, then = asked.pop()
            self.app.call_from_thread(self._hand_over, answer_or_fault(call), then)

        self.run_worker(work, thread=True, group=group, exclusive=True, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Report a failed worker of this screen in the same way as a worker of the app."""
        self.app.error_reporting.worker_changed(event)

    def _hand_over(self, answer: Any, then: Callable[[Any], None]) -> None:
        if self.is_mounted:
            then(answer)

    def ctx(self) -> Ctx:
        """The cluster, and the time in steps, for cells."""
        return Ctx(self.cluster, stepped(self.app.clock.now()))

    def update_cluster(self, cluster: Cluster, diff: Diff | None) -> None:
        """Show a Cluster on this screen, with the top line."""
        self.cluster = cluster
        if not self.is_mounted:
            return
        with self.app.batch_update():
            self.show(cluster, diff if self._shown is not None else None)
            self._shown = ref(cluster)
            self.refresh_top()
            self.refresh_keys()

    def update_hidden(self, cluster: Cluster) -> None:
        """Keep a newer Cluster without painting, while the screen is hidden. Otherwise each screen would keep the
        Cluster it last showed alive: after ten minutes on a live Slurm of 12,000 nodes and 100,000 jobs a console used
        195 MB without this, and 182 MB with it."""
        self.cluster, self._shown = cluster, None
        ctx = self.ctx()
        self.top.update_hidden(cluster)
        for one in self.walk_children(Scrolled):
            one.update_hidden(cluster, ctx)

    def on_mount(self) -> None:
        """Show what is already known."""
        self._at = self.app.session
        self.prompt.histories = self.app.input.histories
        self.update_cluster(self.app.cluster, None)

    def on_screen_resume(self) -> None:
        """Catch up with changes made while it was hidden, and have its kinds of facts polled."""
        self.app.session.poller.need(self.needed_kinds)
        self.app.session.looked_at = self
        if self._shown is None or self._shown() is not self.app.cluster:
            self.update_cluster(self.app.cluster, None)
        self.refresh_keys()

    def refresh_top(self) -> None:
        """Update the top line: time, modes, chips."""
        clock = self.app.clock
        stack = self.app.screen_stack
        below = stack[: stack.index(self) + 1] if self in stack else []
        trail = [one.breadcrumb for one in below if isinstance(one, WachtScreen)]
        self.top.show(self.cluster, clock.now(), clock.mono(), self.app.session.modes, self.app.clusters.chips(), trail)

    def refresh_keys(self) -> None:
        """Update the key bar: possible actions first, then the keys of the screen, then those that are always there."""
        keymap = self.app.input.keymap
        own = {one.key: one for one in self.keys()}
        always = [structs.replace(own.get(one.key, one), pinned=True) for one in self._pinned_keys()]
        held = {one.key for one in always}
        acts = self._action_keys()
        # Where not all fit, the keys of the screen come before the last actions: `?` lists all.
        narrow = () if self.app.fleet.replaying else _FIRST_ACTIONS
        first = next((count for width, count in narrow if self.size.width < width), len(acts))
        named = [*(one for one in (*acts[:first], *own.values(), *acts[first:]) if one.key not in held), *always]
        self.bar.set_keys([structs.replace(one, key=key) for one in named if (key := keymap.instead(one.key))])

    @property
    def _is_wide(self) -> bool:
        return self.size.width >= _WIDE_COLUMNS

    def _pinned_keys(self) -> Sequence[KeyHint]:
        """The keys that the bar shows at every width, the most important last."""
        locked = self.app.session.locked
        every = (
            KeyHint("Z", "undo", enabled=not locked, refusal=locked or "", pinned=True),
            KeyHint("i", "inbox", pinned=True),
            KeyHint(":", "command" if self._is_wide else "cmd", pinned=True),
            KeyHint("q", "quit", pinned=True),
            KeyHint("?", "help", pinned=True),
        )
        takes, ids = self.takes_keys, {key.shown: key.id for key in NAVIGATION}
        return [one for one in every if takes is None or ids[one.key] in takes]

    def _action_keys(self) -> Sequence[KeyHint]:
        if self.app.fleet.replaying:
            return self.app.replay.keys()
        every = [
            KeyHint(
                action.binding, action.label, enabled=(why := self._refusal(action, names)) is None, refusal=why or ""
            )
            for kind in self.kinds_acted_on
            for names in (self._targets_of_keys(kind),)
            for action in keys_for(kind)
            if self.app.input.keymap.keys.get(action.id)
        ]
        # On a narrow screen a refused key would push out a possible one; `?` lists all keys.
        return every if self._is_wide else [key for key in every if key.enabled]

    def refusal(self, action_id: str) -> str | None:
        """Why an action is refused on the selected targets; None when it applies to at least one of them."""
        action = BY_ID[action_id]
        return self._refusal(action, self._targets_of_keys(action.kind))

    def _targets_of_keys(self, kind: Kind) -> Sequence[str]:
        """The targets that decide whether the keys of a kind are refused."""
        return () if kind == "user" or self.app.session.locked else self.sample_targets(kind)

    def _refusal(self, action: Action, names: Sequence[str]) -> str | None:
        return self.app.session.locked or key_refusal(action, self.cluster, names)

    def stale(self, *sources: str) -> bool:
        """True when one of these sources failed or is old; facts from it are painted dim."""
        mono = self.app.clock.mono()
        return any(
            (one := self.cluster.sources.get(name)) is not None
            and (one.recalled or (one.tried and (not one.ok or is_stale(one, mono))))
            for name in sources
        )

    def stale_mark(self, *sources: str) -> Sequence[Span]:
        """`old` for the right end of a title, where one of these sources gave facts earlier and fails now."""
        found = (one for name in sources if (one := self.cluster.sources.get(name)) is not None)
        return [("old", "warn")] if any(one.read_mono is not None and self.stale(one.name) for one in found) else ()

    def source_spans(self, *sources: str, warnings: bool = True) -> Sequence[Span]:
        """The first fault of these sources for a head, else, with `warnings`, the first warning."""
        states = [one for name in sources if (one := self.cluster.sources.get(name)) is not None]
        if fault := next((one.fault for one in states if one.fault is not None), None):
            return ((str(fault), "bad"),)
        words = [word for one in states for word in one.warnings] if warnings else ()
        return ((words[0], "warn"),) if words else ()

    def missing_text(self, kind: str, source: str, none: str) -> str:
        """The text of an empty table: why the facts are missing, or `none` if there are none."""
        return unknown_reason(self.cluster, kind, source, self.app.clock.mono()) or none

    def why_unknown(self, *kinds: str) -> str:
        """Why one of these kinds is unknown now; "" where all are known."""
        return why_unknown(self.cluster, *kinds, mono=self.app.clock.mono())


class Inspection(WachtScreen):
    """The inspection of one object, named `key`."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.facts = Pane(key, scroll=True, wrap=True, id="facts")

    @property
    def breadcrumb(self) -> str:
        """The name of the inspected object."""
        return self.key

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "open"), KeyHint("Tab", "next pane"), KeyHint("y", "copy"), KeyHint("Esc", "back"))
