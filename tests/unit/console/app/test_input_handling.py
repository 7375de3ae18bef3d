"""Input: keys through the keymap, what is kept of what is typed, saved filters."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from console.app.input_handling import PALETTE_HISTORY
from console.config.commands import CommandError
from tests.support import make
from tests.support.fake_app import Desk


def key(name: str) -> events.Key:
    return events.Key(name, name if len(name) == 1 else None)


def test_a_key_is_turned_on_a_screen_and_left_alone_in_a_dialog(state) -> None:
    desk = Desk(keys=tuple(make.key_lines(drain="f5")))
    pressed = key("f5")
    desk.app.push_screen(object())
    assert desk.input.translate(pressed) is pressed
    desk.show()
    turned = desk.input.translate(pressed)
    assert (turned.key, turned.time) == ("d", pressed.time)


def test_a_paste_is_cleaned(desk: Desk) -> None:
    pasted = desk.input.translate(events.Paste("drain\x1b[2J n1\nq"))
    assert pasted.text == "drain\\e[2J n1\nq"


def test_a_plugins_key_is_taken_only_if_it_is_free(desk: Desk) -> None:
    assert desk.input.add_key("burn-in", "f9") and not desk.input.add_key("burn-out", "d")
    assert desk.input.keymap.keys["burn-in"] == ("f9",)


def test_what_is_typed_and_chosen_is_there_the_next_time(desk: Desk, state: Path) -> None:
    desk.input.save_line(":", " nodes ")
    desk.input.save_line(":", "  ")
    desk.input.save_choice("Show jobs")
    desk.input.switch_view("beside", False)
    after = Desk().input
    after.read_state()
    assert after.histories[":"].entries == ["nodes"] and after.histories[PALETTE_HISTORY].entries == ["Show jobs"]
    assert after.views == {"beside": False}


def test_what_cannot_be_kept_is_said_once(desk: Desk, state: Path) -> None:
    (state / "wacht").write_text("no folder")
    desk.input.save_line(":", "nodes")
    desk.input.save_line(":", "jobs")
    assert len(desk.notes) == 1 and "what is typed is not kept" in desk.notes[0]


def test_only_a_list_has_a_filter_to_save_and_only_ones_own_is_forgotten(state) -> None:
    desk = Desk(filters=tuple(make.key_lines(mine="state=idle")))
    desk.show()
    with pytest.raises(CommandError, match="have a filter to save"):
        desk.input.save_filter("busy")
    with pytest.raises(CommandError, match="no filter is saved as busy"):
        desk.input.forget_filter("@busy")


def test_messages_about_the_configured_keys_are_few(state) -> None:
    wrong = {f"nonsense{number}": "f9" for number in range(5)}
    desk = Desk(keys=tuple(make.key_lines(**wrong)))
    desk.input.read_state()
    assert len(desk.notes) == 1 and "(and 3 more: wacht keys)" in desk.notes[0]


def test_the_prompt_opens_on_a_screen_only(desk: Desk) -> None:
    desk.app.push_screen(object())
    desk.input.open_command_line("at ")
    screen = desk.show()
    desk.input.open_command_line("at ")
    assert screen.prompt.opened == [(":", "at ")] and desk.input.completions.screen == "nodes"
