"""The table as an operator has it in hand: the cursor stays on its node, marks stay, little is painted."""

from __future__ import annotations

import gc
import weakref

import pytest
from textual.geometry import Region

from tests.support.rows import put
from tests.support.table_app import COLUMNS, Bench, Row
from widgets.cells import width
from widgets.table import VirtualTable


async def test_the_cursor_stays_on_its_node_and_its_line_when_rows_above_vanish() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("pagedown", "pagedown", "down", "down")
        key, line = app.table.cursor_key, app.line_of(app.table.cursor_key or "")
        gone = dict.fromkeys(list(app.rows)[3:13])
        put(app.table, gone)
        assert app.table.cursor_key == key and app.line_of(key or "") == line
        put(app.table, {f"aaa{i}": Row(f"aaa{i}") for i in range(30)})
        app.table.sort_by("node")  # the new ones come to stand above
        assert app.table.keys[0] == "aaa0"
        assert app.table.cursor_key == key and app.line_of(key or "") == line
        app.table.set_rows(app.rows)
        assert app.table.cursor_key == key and app.line_of(key or "") == line
        await pilot.pause()
        assert "Vanished" not in app.names


async def test_the_cursor_goes_to_the_nearest_row_when_its_own_vanishes_and_says_so() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "down", "down")
        line = app.line_of("gpu0003")
        put(app.table, {"gpu0003": None, "gpu0004": None})
        await pilot.pause()
        assert app.table.cursor_key == "gpu0005" and app.line_of("gpu0005") == line
        last = [message for message in app.told if isinstance(message, VirtualTable.Vanished)][-1]
        assert (last.gone, last.key) == ("gpu0003", "gpu0005")
        await pilot.press("end")
        put(app.table, {"gpu0099": None})
        assert app.table.cursor_key == "gpu0098"
        app.table.set_rows({})
        await pilot.pause()
        assert app.table.cursor_key is None
        assert "no node matches - Esc clears" in app.lines[1 + 23 // 2]
        await pilot.press("down", "up", "pagedown", "end", "enter", "space", "o", "n", "O")  # nothing to move on
        app.table.set_rows(app.rows)
        assert app.table.cursor_key == app.table.keys[0] == "gpu0099"


async def test_a_page_scrolled_away_from_the_cursor_stays_where_it_is() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.scroll_top(50)
        put(app.table, dict.fromkeys(list(app.rows)[10:20]))
        assert app.lines[1].split()[0] == "gpu0050"
        assert app.table.cursor_key == "gpu0000"
        await pilot.press("down")
        assert app.line_of("gpu0001") == 1  # and the cursor comes back into sight when it moves


async def test_marks_outlive_sorting_filtering_and_refreshes_but_not_their_row() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space", "down", "space")
        assert app.table.marked == {"gpu0000", "gpu0002"}
        assert app.table.cursor_key == "gpu0003"
        assert app.lines[1].startswith(" ◆gpu0000") and app.lines[4].startswith("▌ gpu0003")
        await pilot.press("o", "O")
        app.table.set_rows({"gpu0002": app.rows["gpu0002"]}, alive=app.rows)  # a filter
        assert app.table.marked == {"gpu0000", "gpu0002"}
        assert app.table.hidden_marks == {"gpu0000"}
        app.table.set_rows(app.rows)
        assert app.table.marked == {"gpu0000", "gpu0002"} and not app.table.hidden_marks
        put(app.table, {"gpu0002": None})
        assert app.table.marked == {"gpu0000"}
        await pilot.pause()
        marked = [message.keys for message in app.told if isinstance(message, VirtualTable.Marked)]
        assert marked[-1] == {"gpu0000"}
        app.table.select("gpu0000")
        await pilot.press("space")
        assert app.table.marked == set()


@pytest.mark.slow
async def test_sorting_by_keys_and_by_clicks() -> None:
    app = Bench(30)
    app.rows["gpu0007"] = Row("gpu0007", load=None)
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.table
        await pilot.press("o")
        assert app.lines[0].split() == ["sort", "by", "n", "node", "s", "state", "l", "load"]
        await pilot.press("l")
        assert (table.sort_column, table.reverse) == ("load", True)
        assert table.keys[0] == "gpu0029" and table.keys[-1] == "gpu0007"
        assert "load▼" in app.lines[0]
        await pilot.press("O")
        assert table.keys[0] == "gpu0000" and table.keys[-1] == "gpu0007"  # unknown is last either way
        assert "load▲" in app.lines[0]
        assert table.cursor_key == "gpu0000"
        await pilot.press("o", "l")
        assert (table.sort_column, table.reverse) == ("load", True), "picked again it is reversed"
        await pilot.press("o", "o")
        assert (table.sort_column, table.reverse) == ("load", False), "so does a second o"
        await pilot.press("o", "escape")
        assert (table.sort_column, table.reverse) == ("load", False) and "load▲" in app.lines[0]
        await pilot.press("o", "k")
        assert table.cursor_key == "gpu0000", "a key that picks nothing does nothing else"
        await pilot.press("o")
        await pilot.click(VirtualTable, offset=(app.lines[0].index("node"), 0))
        assert table.sort_column == "node"
        x = app.lines[0].index("state")
        await pilot.click(VirtualTable, offset=(x + 1, 0))
        assert (table.sort_column, table.reverse) == ("state", False)
        await pilot.click(VirtualTable, offset=(x + 1, 0))
        assert (table.sort_column, table.reverse) == ("state", True)
        sorts = [message for message in app.told if isinstance(message, VirtualTable.Sorted)]
        assert (sorts[-1].column, sorts[-1].reverse) == ("state", True)
        await pilot.click(VirtualTable, offset=(app.lines[0].index("note"), 0))
        assert table.sort_column == "state"  # cannot be sorted by


async def test_rows_that_change_their_place_take_their_cursor_along() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.sort_by("load")
        await pilot.press("home", "down")
        assert app.table.cursor_key == "gpu0098"
        put(app.table, {"gpu0098": Row("gpu0098", load=-5)})
        assert app.table.cursor_key == "gpu0098" == app.table.keys[-1]
        assert any("gpu0098" in line for line in app.lines)


async def test_a_step_paints_two_lines() -> None:
    app = Bench()
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.pause()
        with app.painting() as regions:
            await pilot.press("down")
        assert sorted(region.y for region in regions) == [1, 2]
        assert all(region.height == 1 for region in regions)


async def test_changed_rows_paint_only_their_changed_columns_and_equal_rows_nothing() -> None:
    app = Bench(5000)
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.pause()
        with app.painting() as regions:
            put(app.table, {name: Row(row.name, row.state, row.load) for name, row in app.rows.items()})
            app.table.set_rows({name: Row(row.name, row.state, row.load) for name, row in app.rows.items()})
        assert regions == []
        with app.painting() as regions:
            put(app.table, {"gpu0005": Row("gpu0005", load=77), "gpu4000": Row("gpu4000", load=1)})
        assert regions == [Region(26, 6, 6, 1)]
        assert "77 %" in app.lines[6]


async def test_a_tick_paints_only_volatile_columns() -> None:
    app = Bench()
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.pause()
        with app.painting() as regions:
            app.table.set_ctx(1)
        assert len(regions) == 49
        assert {(region.x, region.width) for region in regions} == {(34, 8)}
        with app.painting() as regions:
            app.table.set_ctx(int("1"))
            put(app.table, {}, ctx=1)
        assert regions == []


async def test_no_column_asks_for_the_time_that_is_not_shown() -> None:
    app = Bench()
    async with app.run_test(size=(40, 24)) as pilot:
        await pilot.pause()
        assert "clock" not in app.lines[0]
        with app.painting() as regions:
            app.table.set_ctx(1)
        assert regions == []


async def test_pending_words_stand_in_their_column_until_taken_away() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        with app.painting() as regions:
            app.table.pending = {"gpu0001": "draining…", "elsewhere": "x"}
        assert len(regions) == 1
        assert app.lines[2].split()[1] == "draining…"
        put(app.table, {"gpu0001": Row("gpu0001", "draining")})
        assert app.lines[2].split()[1] == "draining…"
        app.table.pending = {}
        assert app.lines[2].split()[1] == "draining"


async def test_stale_facts_are_dim_but_the_cursor_is_seen() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.table.dimmed = True
        await pilot.pause()
        strip = app.table.render_line(3)
        assert {segment.style for segment in strip if segment.text.strip() not in {"▕", "▐", ""}} == {
            app.table.role_styles("text-dim")
        }
        assert app.table.render_line(1)._segments[0].style != strip._segments[0].style


@pytest.mark.parametrize("columns", [200, 80, 40, 17])
async def test_hostile_and_wide_texts_are_cut_and_never_parsed(columns: int) -> None:
    app = Bench(0)
    nasty = ("[/]", "[@click=app.quit]x[/]", "東京東京東京東京東京", "🔥" * 9, "e\u0301" * 12, "a" * 500, "", "[red]")
    app.rows = {text: Row(text, text) for text in nasty}
    async with app.run_test(size=(columns, 24)) as pilot:
        await pilot.pause()
        for y, text in enumerate(nasty, 1):
            strip = app.table.render_line(y)
            assert strip.cell_length == width(strip.text) == columns
            assert all("@click" not in (segment.style.meta or {}) for segment in strip if segment.style)
            assert text[:3] in strip.text
        if columns >= 80:
            places = {width(line[: line.index("t0")]) for line in app.lines[1:9]}
            assert len(places) == 1  # the columns stand below each other


@pytest.mark.slow
async def test_any_size_will_do() -> None:
    app = Bench()
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("end", "up")
        for size in ((80, 24), (1, 1), (2, 2), (3, 1), (200, 2), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.press("up", "down", "pageup", "pagedown")
            put(app.table, {"gpu0000": Row("gpu0000", load=size[0])})
            assert all(app.table.render_line(y).cell_length == size[0] for y in range(size[1]))
        assert app.table.cursor_key and any(app.table.cursor_key in line for line in app.lines)


async def test_a_switch_of_the_theme_repaints_in_its_colours() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = app.table.render_line(3)._segments[0].style
        app.theme = "daylight"
        await pilot.pause()
        assert app.table.render_line(3)._segments[0].style != before


async def test_other_columns_can_be_shown() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.sort_by("load")
        app.table.set_columns(COLUMNS[:2])
        await pilot.pause()
        assert app.lines[0].split() == ["node", "state"]
        assert app.table.sort_column is None and app.table.keys[0] == "gpu0000"


async def test_select_and_page() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.table.select("gpu0050", line=3) and app.lines[4].startswith("▌ gpu0050")
        assert not app.table.select("nothing")
        await pilot.press("pagedown")
        assert app.lines[4].startswith("▌ gpu0072")  # a page, one line of it kept
        await pilot.press("end", "pageup", "home")
        assert app.table.cursor_key == "gpu0000" and app.table.top == 0
        assert app.table.row_of("gpu0001") == app.rows["gpu0001"] and app.table.row_of("no") is None
        with pytest.raises(TypeError):
            VirtualTable[Row](COLUMNS).set_rows([Row("a")])


class Ctx:
    """A context that is large: a whole Cluster, on a real screen."""


async def test_rows_that_scrolled_away_keep_no_old_context_alive():
    app = Bench(100)
    async with app.run_test(size=(80, 10)) as pilot:
        contexts = [Ctx() for _ in range(8)]
        old = [weakref.ref(one) for one in contexts]
        while contexts:  # each is painted on rows of its own
            app.table.set_ctx(contexts.pop())
            await pilot.press("pagedown")
        gc.collect()
        assert sum(one() is not None for one in old) == 1
