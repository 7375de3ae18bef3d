"""What is on the terminal after thousands of partial repaints is what a full one would show; and what they cost.

Textual's bytes are caught before the driver and fed to a terminal emulator, because `run_test` paints nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pyte
import pytest
from msgspec.structs import replace
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Resize
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Input

import themes
from collectors.model import Cluster, Load, Source
from console.triage.attention_list import AttentionLine
from console.triage.fault_map import map_health
from tests.support import make
from tests.support.rows import put
from widgets.bars import gauge
from widgets.key_bar import KeyBar, KeyHint
from widgets.map_health import MapHealth
from widgets.node_map import NodeMap
from widgets.pane import Pane, pane_line
from widgets.table import VirtualTable
from widgets.table_column import Column
from widgets.terminal.flow_control import LinePace
from widgets.terminal.quiet_app import QuietApp, QuietScreen
from widgets.terminal.screen_diff import TerminalScreen
from widgets.top_line import TopLine

Row = tuple[str, str, int]
COLUMNS = (
    Column("node", "node", 8, lambda row, ctx: row[0], sort=lambda row: row[0]),
    Column("state", "state", 10, lambda row, ctx: (row[1], "state-idle"), sort=lambda row: row[1]),
    Column(
        "load", "load", 12, lambda row, ctx: [*gauge(row[2] / 100, 6), (f"{row[2]:4d} %", "")], sort=lambda row: row[2]
    ),
    Column("age", "age", 6, lambda row, ctx: f"{ctx}s", align="right", volatile=True),
    Column("name", "name", 8, lambda row, ctx: ("東京[/]" * (row[2] % 3), "text-dim"), grow=1),
)


class Bench(QuietApp[None]):
    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Row] = VirtualTable(COLUMNS, pending_column="state", empty_text="nothing")
        self.map, self.pane, self.top, self.bar = NodeMap(), Pane("Attention", select=True), TopLine(), KeyBar()
        themes.register(self)

    def compose(self) -> ComposeResult:
        yield self.top
        with Horizontal():
            yield self.table
            yield self.map
            yield self.pane
        yield self.bar


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    sent: list[str] = []
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(HeadlessDriver, "is_headless", property(lambda self: False))
    monkeypatch.setattr(HeadlessDriver, "write", lambda self, data: sent.append(data))
    yield sent


def feed(screen: pyte.Screen, sent: list[str]) -> int:
    data = "".join(sent)
    sent.clear()
    stream = pyte.Stream(screen)
    stream.feed(data.replace("\x1b[?2026h", "").replace("\x1b[?2026l", ""))
    return len(data.encode())


def cells(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """What can be seen: the ink of a blank cannot."""
    return [
        [(c.data, c.bg, *(() if c.data == " " else (c.fg, c.bold))) for c in (row[x] for x in range(screen.columns))]
        for row in (screen.buffer[y] for y in range(screen.lines))
    ]


def full_repaint(app: App[None], size: tuple[int, int]) -> pyte.Screen:
    """Every widget painted anew, run by run, by nothing of ours."""
    for widget in app.query("*"):
        widget._styles_cache.clear()
        if isinstance(widget, NodeMap):
            widget._painted.clear()
    screen = pyte.Screen(*size)
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        runs = [Strip.render_style(style or Style.null(), text, ColorSystem.TRUECOLOR) for text, style, _ in strip]
        feed(screen, [f"\x1b[{y + 1};1H", *runs])
    return screen


def machine(rng: random.Random, before: Cluster | None = None) -> Cluster:
    states = ("IDLE", "ALLOCATED", "ALLOCATED", "ALLOCATED", "MIXED", "IDLE+DRAIN", "DOWN")
    numbers = range(160) if before is None else rng.sample(range(160), 5)
    nodes = dict(before.nodes) if before else {}
    loads = dict(before.loads) if before else {}
    for name, rack in ((f"gpu{i:03d}", f"R{i // 20}") for i in numbers):
        nodes[name] = make.node(name, rng.choice(states), rack=rack)
        loads[name] = Load(node=name, gpu_util_pct=rng.random() * 100, temp_c=rng.gauss(60, 9))
    source = Source(name="slurm.nodes", ok=True, tried=True, read_mono=0.0)
    return make.cluster(nodes=nodes, loads=loads, sources=[source])


def some_health(rng: random.Random, cluster: Cluster) -> MapHealth:
    """Faults of a few nodes, and a rack that is ill."""
    lines = [
        AttentionLine("!", role, "", None, "", nodes=tuple(rng.sample(list(cluster.nodes), 3)))
        for role in ("bad", "warn")
    ]
    return replace(map_health(cluster, lines, 0.0, 0.0), ill_racks=frozenset(rng.sample(list(cluster.racks), 2)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_partial_repaints_add_up_to_the_truth(wire: list[str], seed: int) -> None:
    rng, size = random.Random(seed), (110, 24)
    app = Bench()
    async with app.run_test(size=size) as pilot:
        screen = pyte.Screen(*size)
        rows: dict[str, Row] = {f"n{i:04d}": (f"n{i:04d}", "idle", rng.randint(0, 100)) for i in range(60)}
        cluster = machine(rng)
        app.table.set_rows(dict(rows), ctx=0)
        app.map.set_cluster(cluster)
        app.table.focus()
        keys = ("up", "down", "pageup", "pagedown", "home", "end", "space", "o", "O", "tab", "left", "right", "enter")
        for step in range(24):
            for act in rng.sample(range(12), 3):
                if act == 0:
                    change = {
                        key: (key, rng.choice(("idle", "down")), rng.randint(0, 100))
                        for key in rng.sample(list(rows), min(3, len(rows)))
                    }
                    rows.update(change)
                    put(app.table, change, ctx=step)
                elif act == 1:
                    gone = rng.sample(list(rows), min(len(rows), rng.randint(0, 9)))
                    rows = {key: row for key, row in rows.items() if key not in gone}
                    put(app.table, dict.fromkeys(gone))
                elif act == 2:
                    new = {f"n{i:04d}": (f"n{i:04d}", "new", i % 100) for i in rng.sample(range(2000), 4)}
                    rows.update(new)
                    put(app.table, new)
                elif act == 3:
                    app.table.set_ctx(step)
                elif act == 4:
                    cluster = machine(rng, cluster)
                    app.map.set_cluster(cluster)
                elif act == 5:
                    app.map.measure = rng.choice(("state", "util", "temp", "power"))
                elif act == 6:
                    app.pane.set_lines(
                        [
                            pane_line([(str(rng.randint(0, 3)), "warn"), (" 東 x", "")], [("r", "")], str(i))
                            for i in range(rng.randint(0, 40))
                        ]
                    )
                elif act == 7:
                    app.top.show(cluster, 1000 + step, float(step), ["DEMO"][: step % 2])
                    app.bar.set_keys([KeyHint("d", "drain", bool(step % 3)), KeyHint("?", "help")])
                elif act == 9:
                    app.map.set_health(some_health(rng, cluster))
                elif act == 10:
                    app.theme = rng.choice(["groningen", "daylight"])
                elif act == 8:
                    app.table.pending = dict.fromkeys(rng.sample(list(rows), min(2, len(rows))), "draining…")
                else:
                    rows = dict(rng.sample(list(rows.items()), rng.randint(0, len(rows)))) or rows
                    app.table.set_rows(dict(rows))
                    app.table.dimmed = app.map.dimmed = step % 5 == 0
            await pilot.press(rng.choice(keys), rng.choice(keys))
            await pilot.pause()
            table = app.table
            assert table.cursor_key == (table.keys[table._at] if table.keys else None)
            assert 0 <= table.top <= max(0, len(table.keys) - table.page)
            feed(screen, wire)
            if step % 4 == 3:
                truth = full_repaint(app, size)
                assert screen.display == truth.display
                assert cells(screen) == cells(truth)


async def test_what_the_acts_of_a_second_cost_at_200x50(wire: list[str]) -> None:
    class Wide(Bench):
        def compose(self) -> ComposeResult:
            yield self.top
            yield self.table
            yield self.bar

    app = Wide()
    async with app.run_test(size=(200, 50)) as pilot:
        rows: dict[str, Row] = {f"n{i:04d}": (f"n{i:04d}", "idle", i % 100) for i in range(5000)}
        app.table.set_rows(dict(rows), ctx=0)
        app.table.focus()
        cluster = machine(random.Random(1))
        app.top.show(cluster, 1000, 1.0)
        await pilot.pause()
        screen = pyte.Screen(200, 50)
        assert feed(screen, wire) < 60_000

        async def cost() -> int:
            await pilot.pause()
            return feed(screen, wire)

        await pilot.press("down")
        assert await cost() < 1500
        app.top.show(cluster, 1001, 2.0)
        assert await cost() < 600
        app.top.show(cluster, 1001, 2.0)
        app.table.set_rows(dict(rows))
        assert await cost() == 0
        app.table.set_ctx(1)
        assert await cost() < 4000
        put(app.table, {f"n{i:04d}": (f"n{i:04d}", "down", i) for i in range(10, 20)})
        assert await cost() < 1500
        await pilot.press("pagedown")
        assert await cost() < 16_000


async def test_the_cursor_of_an_input_does_not_blink(wire: list[str]) -> None:
    class Typed(Bench):
        def compose(self) -> ComposeResult:
            yield Input(id="typed")

    app = Typed()
    async with app.run_test(size=(100, 30)) as pilot:
        field = app.query_one("#typed", Input)
        field.focus()
        await pilot.pause()
        assert field.has_focus and not field.cursor_blink
        await pilot.press("a")
        assert field._blink_timer is not None and not field._blink_timer._active.is_set()


async def test_the_top_line_says_that_the_line_is_slow_and_its_clock_goes_in_steps(wire: list[str]) -> None:
    app = Bench()
    async with app.run_test(size=(100, 30)) as pilot:
        cluster = machine(random.Random(1))
        app.top.show(cluster, 1_003, 3.0)
        assert "SLOW LINE" not in app.top.render_line(0).text and ":43 " in app.top.render_line(0).text
        app._pace = LinePace(slow=True)
        app.top.show(cluster, 1_003, 3.0, ["DEMO"])
        shown = app.top.render_line(0).text
        assert "DEMO" in shown and "SLOW LINE" in shown and ":40 " in shown
        await pilot.pause()
        wire.clear()
        app.top.show(cluster, 1_004, 4.0, ["DEMO"])
        await pilot.pause()
        assert wire == []
        app.top.show(cluster, 1_005, 5.0, ["DEMO"])
        await pilot.pause()
        assert 0 < sum(map(len, wire)) < 100


async def test_nothing_is_sent_for_a_frame_in_which_nothing_changed(wire: list[str]) -> None:
    app = Bench()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        wire.clear()
        app.screen.refresh()
        await pilot.pause()
        assert wire == []


async def test_everything_is_sent_again_when_others_may_have_written(wire: list[str]) -> None:
    app = Bench()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        screen = pyte.Screen(100, 30)
        feed(screen, wire)
        app.screen.refresh()
        await pilot.pause()
        assert feed(screen, wire) < 10
        await app.run_action("redraw")
        await pilot.pause()
        assert feed(screen, wire) > 3000
        app.app_resume_signal.publish(app)  # as after Ctrl+Z
        app.refresh()
        await pilot.pause()
        assert feed(screen, wire) > 3000
        screen.reset()
        await pilot.resize_terminal(90, 30)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        feed(screen, wire)
        assert screen.display == full_repaint(app, (100, 30)).display


async def test_a_terminal_that_is_resized_there_and_back_at_once_is_painted_again(wire: list[str]) -> None:
    app = Bench()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        wire.clear()
        for width in (90, 100):
            app.post_message(Resize(Size(width, 30), Size(width, 30)))
        await pilot.pause(0.05)
        assert app.size.width == 100
        screen = pyte.Screen(100, 30)
        feed(screen, wire)
        assert screen.display == full_repaint(app, (100, 30)).display


async def test_nor_is_what_was_painted_in_between_taken_for_the_whole(
    wire: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Bench()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        wire.clear()
        check, painted = app._check_resize, list[int]()

        def late() -> None:
            app.top.refresh()
            app.screen._compositor.update_widgets({app.top})
            app.screen._compositor_refresh()
            painted.append(len(wire))
            check()

        monkeypatch.setattr(app, "_check_resize", late)
        for width in (90, 100):
            app.post_message(Resize(Size(width, 30), Size(width, 30)))
        await pilot.pause(0.05)
        assert painted and painted[0] > 0
        screen = pyte.Screen(100, 30)
        feed(screen, wire)
        assert screen.display == full_repaint(app, (100, 30)).display


async def test_what_waits_for_a_painting_is_called_although_the_screen_on_top_goes(wire: list[str]) -> None:
    """A terminal that is resized as help goes: the screen beneath asks to be told once it is laid out."""
    app, called = Bench(), []

    class Going(QuietScreen[None]):
        async def _message_loop_exit(self) -> None:
            self._callbacks += [(lambda: called.append("beneath"), app.table), (lambda: called.append("its own"), self)]
            await super()._message_loop_exit()

    async with app.run_test(size=(100, 30)) as pilot:
        await app.push_screen(Going())
        await pilot.pause()
        await app.pop_screen()
        await pilot.pause()
        assert called == ["beneath"]
    assert called == ["beneath"]


@pytest.mark.slow
async def test_a_map_of_12000_nodes_sends_only_what_changed(wire: list[str]) -> None:
    class Mapped(Bench):
        def compose(self) -> ComposeResult:
            yield self.map

    rng = random.Random(3)
    nodes = [make.node(f"gpu{i:05d}", "ALLOCATED", rack=f"R{i // 64:03d}") for i in range(12_000)]
    names = [one.name for one in nodes]
    first = make.cluster(nodes=nodes, loads=[Load(node=name, gpu_util_pct=rng.random() * 100) for name in names])
    app = Mapped()
    async with app.run_test(size=(200, 50)) as pilot:
        app.map.measure = "util"
        app.map.set_health(map_health(first, (), 0.0, 0.0))
        app.map.set_cluster(first)
        await pilot.pause()
        screen = pyte.Screen(200, 50)
        feed(screen, wire)
        changed = {name: Load(node=name, gpu_util_pct=rng.random() * 100) for name in rng.sample(names, 120)}
        second = replace(first, loads={**first.loads, **changed})
        app.map.set_health(map_health(second, [AttentionLine("!", "bad", "", None, "", nodes=("gpu00700",))], 0.0, 0.0))
        app.map.set_cluster(second)
        await pilot.pause()
        assert 0 < feed(screen, wire) < 6000
        app.map.set_cluster(replace(second, nodes=dict(first.nodes), racks=dict(first.racks)))
        await pilot.pause()
        assert feed(screen, wire) == 0
        app.map.focus()
        await pilot.press("right")
        await pilot.pause()
        feed(screen, wire)
        for key in ("right", "down", "left", "up"):
            await pilot.press(key)
            await pilot.pause()
            assert 0 < feed(screen, wire) < 500, key


def test_what_was_made_for_a_wider_terminal_is_cut_to_this_one():
    glass = TerminalScreen()
    strip = Strip([Segment("abcdef")])
    assert glass.send([(0, 4, strip)], 3, ColorSystem.TRUECOLOR) == ""
    assert "ab" in glass.send([(0, 1, strip)], 3, ColorSystem.TRUECOLOR)
