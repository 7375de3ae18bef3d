"""What every screen has: the top line, a body, the prompt, the key bar; and how it takes a Cluster in."""

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
from console.actions.action import Kind, rows_of
from console.actions.registry import BY_ID, NAVIGATION, keys_for
from console.gate import rights
from console.health.unknown_reasons import unknown_reason, why_unknown
from console.runtime.memo import Sum
from console.tables.table_columns import Ctx
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

#: Cells in a row change with the clock only so often: a table of running jobs must not repaint every second.
CTX_STEP_S = 5
_WIDE_COLUMNS = 120
#: So many rows are looked at before a key is grey: a dozen actions take 0.1 s over them.
_MAX_ROWS_CHECKED = 20_000


def stepped(now: float) -> float:
    """The last step of the clock that cells follow."""
    return now - now % CTX_STEP_S


def answer_or_fault(call: Callable[[], Any]) -> Any:
    """What is answered, or the Fault that came instead. What breaks off the event loop would break in silence: it is
    shown where the answer would stand."""
    try:
        return call()
    except SourceFault as error:
        return error.fault
    except Exception as error:
        return Fault("internal", clean(f"{type(error).__name__}: {error}")[:300], "please report it to wacht")


class WachtScreen(QuietScreen[None]):
    """A screen of the console. Subclasses say `body`, `show` and what their targets are."""

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
    crumb: ClassVar[str] = ""
    """The word for it in the crumbs and in `--screen`."""
    acts_on: ClassVar[Kind | tuple[Kind, ...] | None] = None
    """The kinds whose keys the bar shows, in this order."""

    needed_kinds: ClassVar[frozenset[str]] = frozenset()
    """Kinds of facts that it shows, of those that are read seldom while nobody looks (`poller.SELDOM`)."""

    sums: ClassVar[tuple[Sum, ...]] = ()
    """The sums over the whole machine that it shows: made off the event loop before a Cluster comes here."""

    shows_all_clusters: ClassVar[bool] = False
    """Whether it tells of the other clusters too."""

    tick_s: ClassVar[float] = CTX_STEP_S
    """Seconds between two calls of `tick`."""

    app: ConsoleApp

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(name="")
        self._shown: ref[Cluster] | None = None
        self._at: ClusterSession | None = None
        # Held, not looked for: a message may arrive while the screen is being made or taken down.
        self.top = TopLine(id="top")
        self.bar = KeyBar(id="keys")
        self.prompt = Prompt(id="prompt")

    def compose(self) -> ComposeResult:
        """Top line, body, prompt, key bar."""
        yield self.top
        yield from self.body()
        yield self.bar
        yield self.prompt

    # What a subclass says.

    @property
    def breadcrumb(self) -> str:
        """Its step in the crumbs."""
        return self.crumb

    def body(self) -> Iterable[Widget]:
        """The widgets between the top line and the key bar; the one that takes the focus has the id `main`."""
        return ()

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Paint a newer Cluster; `diff` None means that anything may have changed."""

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Make what `show` will need of this Cluster of `at`: called by the thread that made it, before it comes here.
        `shown` is false for a screen that nobody looks at. It may not be mounted: what is the app's is handed in."""
        for make in self.sums:
            make(cluster)

    def tick(self, ctx: Ctx) -> None:
        """Some seconds have passed: ages have moved."""

    def discard_fetched(self) -> None:
        """Another time is shown from now on: what was asked for on demand is of the one before."""

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """What an action on this kind would take: the marked rows, else the one under the cursor."""
        return ()

    def selected_job(self) -> str | None:
        """The job that `:log` is about where none is named."""
        names = self.targets("job")
        return names[0] if len(names) == 1 else None

    def shown_jobs(self) -> frozenset[str]:
        """The jobs on the screen now: their facts should be the newest."""
        return frozenset(self.targets("job"))

    def suggested_reason(self, action_id: str) -> str | None:
        """What the reason of a dialog begins with, where the screen knows why somebody would do this."""
        return None

    def clear_marks(self) -> None:
        """What was marked is spent."""

    def copy_text(self) -> str | None:
        """The command or query behind what is shown, for `y`."""
        return None

    def keys(self) -> Sequence[KeyHint]:
        """The keys of the bar between the actions and the help."""
        return ()

    def action_back(self) -> None:
        """Esc: back to what was open before, if anything was; at last back from the past."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        elif self.app.in_replay_mode:
            self.app.action_look_back()

    def action_filter(self) -> None:
        """Only lists have rows to filter."""
        keys = self.app.keymap
        self.app.show_message(
            f"only the lists have rows to filter: nodes ({keys.first('nodes')}), jobs ({keys.first('jobs')})"
        )

    def action_measure(self) -> None:
        """Only the map has measures."""
        keys = self.app.keymap
        self.app.show_message(f"this changes what the map shows; the map is on the overview ({keys.first('overview')})")

    def action_zoom(self) -> None:
        """Only the map of GPUs can be zoomed into."""
        self.app.show_message(f"this zooms into a rack of the GPU map ({self.app.keymap.first('gpus')})")

    def action_ssh(self) -> None:
        """A shell on the one node under the cursor, and back."""
        names = self.targets("node")
        if len(names) == 1 and names[0] in self.cluster.nodes:
            self.app.ssh(names[0])
        else:
            self.app.show_message("this opens a shell on one node: put the cursor on it")

    def action_charts(self) -> None:
        """Only nodes have charts."""
        self.app.show_message("this shows the charts of a node: open one with Enter")

    def action_beside(self) -> None:
        """Only lists have something beside them."""
        self.app.show_message("this shows beside a list what the cursor is on")

    def views_changed(self) -> None:
        """A view was switched on or off."""

    # What is the same everywhere.

    @property
    def at(self) -> ClusterSession:
        """The cluster that this screen is of: what it asks for off the event loop is asked there, whichever is shown by
        then."""
        return self._at or self.app.session

    def fetch(self, call: Callable[[], Any], then: Callable[[Any], None], group: str = "ask") -> None:
        """Ask a source off the event loop; what comes back, a fault too, is handed over on it. The latest counts."""

        # Textual's workers are freed late, for they refer to themselves: they must hold no Cluster meanwhile.
        asked = [(call, then)]
        del call, then

        def work() -> None:
            call, then = asked.pop()
            self.app.call_from_thread(self._hand_over, answer_or_fault(call), then)

        self.run_worker(work, thread=True, group=group, exclusive=True, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker of this screen that broke is reported as one of the app's own is."""
        self.app.on_worker_state_changed(event)

    def _hand_over(self, answer: Any, then: Callable[[Any], None]) -> None:
        if self.is_mounted:
            then(answer)

    def ctx(self) -> Ctx:
        """The cluster and the time, in steps."""
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
        """A newer Cluster of this screen's came, and nobody looks: hold that one, and paint nothing. Each screen would
        keep another alive, the one it showed last: after ten minutes on a live Slurm of 12,000 nodes and 100,000 jobs a
        console had 195 MB without this, and 182 with it."""
        self.cluster, self._shown = cluster, None
        ctx = self.ctx()
        self.top.update_hidden(cluster)
        for one in self.walk_children(Scrolled):
            one.update_hidden(cluster, ctx)

    def on_mount(self) -> None:
        """Show what is known already."""
        self._at = self.app.session
        self.prompt.histories = self.app.histories
        self.update_cluster(self.app.cluster, None)

    def on_screen_resume(self) -> None:
        """Catch up with what came while another screen was on top, and have read what this one shows."""
        self.app.poller.need(self.needed_kinds)
        self.app.looked_at = self
        if self._shown is None or self._shown() is not self.app.cluster:
            self.update_cluster(self.app.cluster, None)
        self.refresh_keys()

    def refresh_top(self) -> None:
        """The top line: time, modes, chips."""
        clock = self.app.clock
        stack = self.app.screen_stack
        below = stack[: stack.index(self) + 1] if self in stack else []
        trail = [one.breadcrumb for one in below if isinstance(one, WachtScreen)]
        self.top.show(self.cluster, clock.now(), clock.mono(), self.app.modes, self.app.other_cluster_chips(), trail)

    def refresh_keys(self) -> None:
        """The key bar: the actions that are possible here and now first, then the ways around."""
        keymap = self.app.keymap
        named = [*self._action_keys(), *self.keys(), KeyHint("?", "help")]
        self.bar.set_keys([structs.replace(one, key=key) for one in named if (key := keymap.instead(one.key))])

    def _action_keys(self) -> Sequence[KeyHint]:
        if self.app.replaying:
            return self.app.replay_keys()
        kinds = (self.acts_on,) if isinstance(self.acts_on, str) else self.acts_on or ()
        every = [
            KeyHint(action.binding, action.label, enabled=(why := self.refusal(action.id)) is None, refusal=why or "")
            for kind in kinds
            for action in keys_for(kind)
            if self.app.keymap.keys.get(action.id)
        ]
        # On a narrow screen a refused key would push out one that works; `?` tells of it all the same.
        return every if self.size.width >= _WIDE_COLUMNS else [key for key in every if key.enabled]

    def refusal(self, action_id: str) -> str | None:
        """Why an action is refused on what is under the cursor, None when it would act on one of them at least."""
        if locked := self.app.session.locked:
            return locked
        action = BY_ID[action_id]
        why = rights.refused(action, self.cluster.rights)
        if why is not None:
            return why
        if action.kind == "user":
            return None  # who is meant is typed, and read by name
        names = self.targets(action.kind)
        rows = rows_of(action, self.cluster)
        found = [rows[name] for name in names if name in rows]
        if not found:
            return f"no {action.kind} is under the cursor"
        for row in found[:_MAX_ROWS_CHECKED]:
            why = action.refuse(self.cluster, row) or rights.refused(action, self.cluster.rights, row)
            if why is None:
                return None
        # Of still more rows the gate says it: a grey key must never be wrong.
        return why if len(found) <= _MAX_ROWS_CHECKED else None

    def stale(self, *sources: str) -> bool:
        """True when one of these sources failed or is old: what comes from it is painted dim."""
        mono = self.app.clock.mono()
        return any(
            (one := self.cluster.sources.get(name)) is not None and one.tried and (not one.ok or is_stale(one, mono))
            for name in sources
        )

    def stale_mark(self, *sources: str) -> Sequence[Span]:
        """`old` for the right end of a title, where one of these sources gave facts and fails now."""
        found = (one for name in sources if (one := self.cluster.sources.get(name)) is not None)
        return [("old", "warn")] if any(one.read_mono is not None and self.stale(one.name) for one in found) else ()

    def missing_text(self, kind: str, source: str, none: str) -> str:
        """What an empty table says: why the facts are missing, or that there is truly none."""
        return unknown_reason(self.cluster, kind, source, self.app.clock.mono()) or none

    def why_unknown(self, *kinds: str) -> str:
        """Why one of these kinds is not known now; "" where all are."""
        return why_unknown(self.cluster, *kinds, mono=self.app.clock.mono())


class Inspection(WachtScreen):
    """One thing, `key`, in full."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.facts = Pane(key, scroll=True, wrap=True, id="facts")

    @property
    def breadcrumb(self) -> str:
        """What is inspected."""
        return self.key

    def keys(self) -> Sequence[KeyHint]:
        """Ways around."""
        return (KeyHint("Enter", "open"), KeyHint("Tab", "next pane"), KeyHint("y", "copy"), KeyHint("Esc", "back"))
