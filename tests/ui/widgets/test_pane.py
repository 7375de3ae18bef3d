"""Panes: titles and lines, lists to choose from, long texts."""

from __future__ import annotations

from tests.support.widget_app import Bench
from widgets.pane import Pane, pane_line


async def test_a_pane_has_its_title_in_the_border_and_its_right_parts_at_the_right() -> None:
    app = Bench(Pane("Needs [/] you"))
    async with app.run_test(size=(30, 5)) as pilot:
        pane = app.widget
        assert isinstance(pane, Pane)
        pane.set_title("Needs [/] you", right=[("3 of 9", "")])
        pane.set_lines(
            [pane_line([("✖ ", "state-down"), ("東京 lost power", "")], [("2m", "text-dim")]), pane_line("x" * 99)]
        )
        await pilot.pause()
        assert app.lines == [
            "╭─ Needs [/] you ─── 3 of 9 ─╮",
            "│ ✖ 東京 lost power       2m │",
            "│ xxxxxxxxxxxxxxxxxxxxxxxxx… │",
            "│                            │",
            "╰────────────────────────────╯",
        ]


async def test_a_pane_paints_only_the_lines_that_differ() -> None:
    app = Bench(Pane("x"))
    async with app.run_test(size=(40, 12)) as pilot:
        pane = app.widget
        assert isinstance(pane, Pane)
        pane.set_lines([pane_line(str(i)) for i in range(9)])
        await pilot.pause()
        regions = app.watch_refreshes()
        pane.set_lines([pane_line("new" if i == 4 else str(i)) for i in range(9)])
        assert [region.y for region in regions] == [5]
        pane.set_lines([pane_line("new" if i == 4 else str(i)) for i in range(8)])
        assert [region.y for region in regions] == [5, 9]
        pane.set_lines(list(pane.lines))
        pane.set_title("x")
        assert len(regions) == 2


async def test_a_list_keeps_its_cursor_on_its_key_and_opens_it() -> None:
    app = Bench(Pane("Attention", select=True))
    async with app.run_test(size=(40, 8)) as pilot:
        pane = app.widget
        assert isinstance(pane, Pane)
        pane.set_lines([pane_line("heading"), *(pane_line(f"line {key}", key=key) for key in "abcdefghij")])
        pane.focus()
        await pilot.press("down", "down")
        assert pane.cursor_key == "c"
        pane.set_lines([pane_line(f"line {key}", key=key) for key in "xyzabcdefghij"])
        assert pane.cursor_key == "c"
        await pilot.press("enter")
        opened = app.last(Pane.Opened)
        assert isinstance(opened, Pane.Opened) and opened.key == "c" and opened.control is pane
        pane.set_lines([pane_line(f"line {key}", key=key) for key in "xyzabdefghij"])
        assert pane.cursor_key == "d"
        await pilot.press("end")
        assert pane.cursor_key == "j" and any("▌line j" in text for text in app.lines)
        await pilot.press("home", "pagedown", "pageup")
        assert pane.cursor_key == "x"
        await pilot.click(Pane, offset=(5, 3), times=2)
        opened = app.last(Pane.Opened)
        assert isinstance(opened, Pane.Opened) and opened.key == "z"
        assert pane.select_key("a") and not pane.select_key("nothing")
        pane.set_lines([])
        assert pane.cursor_key is None
        await pilot.press("down", "enter", "end", "pageup")


async def test_a_long_text_scrolls() -> None:
    app = Bench(Pane("Text", scroll=True, border=False))
    async with app.run_test(size=(20, 5)) as pilot:
        pane = app.widget
        assert isinstance(pane, Pane)
        pane.set_lines([pane_line(f"line {i}") for i in range(20)])
        pane.focus()
        await pilot.press("down", "j")
        assert app.lines[0].startswith("line 2") and app.lines[1][-1] in "▐▕"
        await pilot.press("end")
        assert app.lines[-1].startswith("line 19")
        await pilot.press("pageup", "home", "k")
        assert app.lines[0].startswith("line 0")
        pane.set_lines([pane_line("only")])
        assert app.lines[0].startswith("only") and pane.top == 0


async def test_an_empty_pane_says_what_it_was_told_to() -> None:
    app = Bench(Pane("Attention", empty_text="nothing needs attention"))
    async with app.run_test(size=(30, 6)):
        assert "nothing needs attention" in app.lines[1]


async def test_a_line_to_choose_is_folded_at_words_on_two_lines_at_most_and_is_one_to_the_cursor() -> None:
    app = Bench(Pane("Attention", select=True, wrap=True))
    async with app.run_test(size=(34, 6)) as pilot:
        pane = app.widget
        assert isinstance(pane, Pane)
        long = "R07 pdu-b lost power and eight of its nodes went down with all their jobs"
        pane.set_lines([
            pane_line([("! ", "bad"), ("R07 pdu-b: 8 nodes lost power", "")], [("2m", "text-dim")], key="a"),
            pane_line([("! ", "bad"), (long, "")], [("11m", "text-dim")], key="b"),
            pane_line([("! ", "bad"), ("short", "")], key="c"),
        ])  # fmt: skip
        pane.focus()
        await pilot.pause()
        assert [text[:-1] for text in app.lines[1:-1]] == [
            "│▌! R07 pdu-b: 8 nodes lost   2m ",
            "│▌  power                        ",
            "│ ! R07 pdu-b lost power and 11m ",
            "│   eight of its nodes went …    ",
        ]
        await pilot.press("down")
        assert pane.cursor_key == "b"
        assert [text[1] for text in app.lines[1:-1]] == [" ", " ", "▌", "▌"]
        await pilot.press("down")
        assert pane.cursor_key == "c" and app.lines[4].startswith("│▌! short")
        await pilot.press("up", "up")
        assert pane.cursor_key == "a" and app.lines[1].startswith("│▌! R07")
        await pilot.click(Pane, offset=(5, 4))
        assert pane.cursor_key == "b", "its second line is it too"
        await pilot.resize_terminal(120, 6)
        await pilot.pause()
        assert app.lines[2].startswith(f"│▌! {long}")
