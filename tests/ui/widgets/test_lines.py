"""The line above, the line below, and the line to type in."""

from __future__ import annotations

import re
from datetime import timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from collectors.model import Cluster, Fault, Source
from tests.support import make
from tests.support.widget_app import Bench
from widgets.cells import spans_width
from widgets.chips import chips, is_stale, top_spans
from widgets.key_bar import KeyBar, KeyHint
from widgets.prompt import History, Prompt
from widgets.top_line import TopLine


def source(name: str, read: float | None, **more: object) -> Source:
    return Source(name=name, ok=read is not None, tried=True, read_mono=read, took_s=0.5, **more)  # type: ignore[arg-type]


def test_a_chip_is_all_sources_of_its_name_and_as_old_as_the_oldest() -> None:
    mono = 100.0
    fault = Fault("timeout", "squeue took 10 s")
    assert [(c.text, c.role) for c in chips([source("slurm.nodes", 97), source("slurm.jobs", 96)], mono)] == [
        ("slurm 4s", "chip-ok")
    ]
    assert chips([source("slurm.nodes", 97), source("slurm.jobs", 25)], mono)[0].text == "slurm stale 75s"
    assert chips([source("prom", 70, due_s=30.0)], mono)[0].text == "prom 30s"
    tried = Source(name="slurm.jobs", tried=True, read_mono=20.0, fault=fault, failures=3)
    assert [(c.text, c.role) for c in chips([source("slurm.nodes", 97), tried], mono)] == [
        ("slurm timeout 80s", "chip-fault")
    ]
    fresh = Source(name="slurm.jobs", tried=True, read_mono=95.0, fault=fault, failures=1)
    assert [(c.text, c.role) for c in chips([fresh], mono)] == [("slurm timeout 5s", "chip-stale")]
    never = Source(name="prom", tried=True, fault=Fault("refused", "connection refused"))
    assert [(c.text, c.role) for c in chips([never], mono)] == [("prom refused", "chip-fault")]
    assert chips([Source(name="prom")], mono)[0].text == "prom …"
    assert is_stale(source("x", 79), mono) and not is_stale(source("x", 80), mono)


def busy() -> Cluster:
    alerts = [make.alert(id=str(i), severity="critical" if i < 2 else "warning") for i in range(7)]
    alerts.append(make.alert(id="gone", state="suppressed"))
    return make.cluster("groningen", [source(name, 96) for name in ("slurm.nodes", "prom", "alerts")], alerts=alerts)


def top(cells: int, *modes: str, cluster: Cluster | None = None) -> str:
    zone = timezone(timedelta(hours=1))
    return "".join(text for text, _ in top_spans(cluster or busy(), 1_795_486_327, 100.0, modes, cells, zone))


def test_the_top_line_gives_way_politely() -> None:
    wide = top(120)
    assert wide.startswith(" wacht  groningen  2026-11-24 03:12:07 +01:00   ")
    assert wide.endswith("   slurm 4s  prom 4s  alerts 4s   2 critical  5 warning ")
    narrow = top(80, "DEMO", "READ-ONLY")
    assert narrow.startswith(" groningen 03:12") and narrow.endswith("slurm 4s prom 4s alerts 4s ✖2 ▲5 ")
    assert " DEMO " in narrow and " READ-ONLY " in narrow
    assert " READ-ONLY " in top(40, "READ-ONLY")


@given(st.integers(0, 200), st.lists(st.sampled_from(["DEMO", "READ-ONLY", "REPLAY"]), max_size=3, unique=True))
def test_the_top_line_is_exact_at_any_width(cells: int, modes: list[str]) -> None:
    assert spans_width(top_spans(busy(), 0, 100.0, modes, cells)) == cells


def test_nothing_in_the_top_line_comes_and_goes_while_the_sources_grow_older() -> None:
    for cells in range(60, 130):
        seen = set()
        for now in range(96, 112):  # all three are read at 96 s
            spans = top_spans(busy(), 1_795_486_327, now, ["DEMO"], cells, None, (), ("alerts",))
            assert spans_width(spans) == cells
            seen.add(tuple(re.sub(r" \d+s$", "", text) for text, _ in spans if text.strip()))
        assert len(seen) == 1, f"at {cells} cells: {seen}"


def test_a_source_that_is_read_seldom_on_purpose_does_not_make_the_chip_old() -> None:
    nodes = Source(name="slurm.nodes", ok=True, tried=True, read_mono=96.0, due_s=10.0)
    rights = Source(name="slurm.rights", ok=True, tried=True, read_mono=10.0, due_s=300.0)
    assert [chip.text for chip in chips([nodes, rights], 100.0)] == ["slurm 4s"]
    # But one that is late is told of, however seldom it is read.
    assert [chip.text for chip in chips([nodes, rights], 700.0)] == ["slurm stale 11m"]


def test_ill_chips_stay_when_there_is_no_room_for_the_well() -> None:
    cluster = busy()
    ill = {**cluster.sources, "prom": source("prom", 10)}
    text = top(66, "DEMO", "READ-ONLY", cluster=replace(cluster, sources=ill))
    assert "prom stale 90s" in text and "slurm" not in text


async def test_the_top_line_repaints_when_its_text_changes() -> None:
    app = Bench(TopLine())
    async with app.run_test(size=(100, 3)) as pilot:
        line_ = app.widget
        assert isinstance(line_, TopLine)
        line_.show(busy(), 1000.0, 100.0, ["DEMO"])
        await pilot.pause()
        regions = app.watch_refreshes()
        line_.show(busy(), 1000.2, 100.2, ["DEMO"])
        assert regions == []
        line_.show(busy(), 1001.0, 101.0, ["DEMO"])
        assert len(regions) == 1
        await pilot.pause()
        assert " DEMO " in app.lines[0]


async def test_the_key_bar_keeps_the_last_and_can_be_clicked() -> None:
    keys = [
        KeyHint("d", "drain"),
        KeyHint("r", "resume", False, "read-only"),
        KeyHint("Space", "mark"),
        KeyHint("?", "help"),
    ]
    app = Bench(KeyBar(keys))
    async with app.run_test(size=(60, 3)) as pilot:
        assert app.lines[0].rstrip() == " d drain  r resume  Space mark  ? help"
        await pilot.click(KeyBar, offset=(12, 0))
        pressed = app.last(KeyBar.Pressed)
        assert isinstance(pressed, KeyBar.Pressed) and pressed.key.refusal == "read-only"
        await pilot.resize_terminal(20, 3)
        assert app.lines[0].rstrip() == " d drain  ? help"
        assert isinstance(app.widget, KeyBar)
        app.widget.set_keys([KeyHint("x", "[/]")])
        await pilot.pause()
        assert app.lines[0].rstrip() == " x [/]"


async def test_the_prompt_filters_completes_remembers_and_lets_go() -> None:
    app = Bench(Prompt())
    async with app.run_test(size=(60, 6)) as pilot:
        prompt = app.widget
        assert isinstance(prompt, Prompt)
        assert not prompt.is_open
        prompt.open("/")
        await pilot.press("a", "b")
        edited = app.last(Prompt.Edited)
        assert isinstance(edited, Prompt.Edited) and (edited.kind, edited.value) == ("/", "ab")
        await pilot.press("enter")
        submitted = app.last(Prompt.Submitted)
        assert isinstance(submitted, Prompt.Submitted) and submitted.value == "ab"
        prompt.show_message("no such field [/]")
        await pilot.pause()
        assert prompt.size.height == 2
        prompt.close()
        prompt.open(
            ":", complete=lambda text: [word for word in ("drain", "resume", "requeue") if word[:1] == text[:1]]
        )
        await pilot.press("up")  # another history
        assert prompt.value == ""
        await pilot.press("r", "tab")
        assert prompt.value == "resume"
        await pilot.press("tab")
        assert prompt.value == "requeue"
        await pilot.press("escape")
        assert not prompt.is_open and isinstance(app.last(Prompt.Cancelled), Prompt.Cancelled)
        prompt.open("/", value="x")
        await pilot.press("up")
        assert prompt.value == "ab"
        await pilot.press("down")
        assert prompt.value == "x"


def test_history_has_no_entry_twice() -> None:
    history = History()
    for text in ("a", "b", "a", ""):
        history.add(text)
    assert history.entries == ["b", "a"]
    assert [history.older("new"), history.older("x"), history.older("x")] == ["a", "b", None]
    assert [history.newer(), history.newer(), history.newer()] == ["a", "new", None]
