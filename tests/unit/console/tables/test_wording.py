"""What texts name: keys under any set of keys, options as typed, numbers with their nouns; and what else they are."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import console as package
from console.actions.option_parsing import OPTION_OF, OPTIONS
from console.actions.registry import ACTIONS, NAVIGATION, aligned, key_table
from console.cli import main
from console.config.keymap import KeyLine, read_keys
from console.config.settings import Config
from console.export.svg import blanks_kept
from console.triage import attention_fabric_storage
from tests.support.operator import console
from widgets.key_bar import KeyBar
from widgets.units import plural, times

KEYS = {one.key for one in ACTIONS if len(one.key) == 1} | {
    key.shown for key in NAVIGATION if len(key.shown) == 1 and key.shown.isalnum()
}
LETTERS = "".join(sorted(KEYS))
#: `(6)` behind a screen's name, `K cancels`, `press g`: a key of the code's own, which another set moves.
WRITTEN = re.compile(
    rf"[a-z] \(([{LETTERS}])\)$|[a-z] \(([{LETTERS}])\)[ ,;.]"
    rf"|(?:^|[;,.:] |that |with )(?![aAI0-9] )([{LETTERS}]) [a-z]{{2,}}s\b"
    rf"|\bpress ([{LETTERS}])\b|\bwith ([{LETTERS}])$"
)

OTHERS = {"act_command.py", "shell_files.py", "rollout_dialog.py", "progress.py"}
"""An N that stands for a number; sections of manual pages; the keys of the progress dialog, which no set moves."""


def test_no_text_has_a_key_written_in() -> None:
    found = []
    for path in sorted(Path(package.__path__[0]).rglob("*.py")):
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            said = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
            if isinstance(said, str) and path.name not in OTHERS and WRITTEN.search(said):
                found.append(f"{path.name}:{node.lineno}: {said}")
    assert not found


def test_the_search_finds_what_was_written_in() -> None:
    for text in (
        "go to the alert first (6)",
        "H holds it, K cancels it",
        "came of it; v reads it back",
        "journal (8), x",
    ):
        assert WRITTEN.search(text), text


@pytest.mark.slow
async def test_what_looks_chosen_on_the_overview_is_chosen() -> None:
    async with console() as op:
        first = op.app.screen.map.cursor_key
        under = op.app.screen.cursor_line
        assert first is not None and op.app.screen.targets("node") == ()
        assert not any(first in text for line in under.lines for text, _ in line.spans)
        await op.press("enter")
        assert op.app.screen.targets("node") == (first,) and op.app.screen.map.chosen_key == first
        assert any(first in text for line in under.lines for text, _ in line.spans)
        await op.press("tab")
        assert op.app.screen.map.chosen_key is None
        assert not any(first in text for line in under.lines for text, _ in line.spans)


def test_every_option_has_its_name() -> None:
    assert set(OPTION_OF) == set(OPTIONS.values()) - {"settings"}
    assert (OPTION_OF["seconds"], OPTION_OF["next_state"], OPTION_OF["redrain"]) == ("for", "next", "failed")


@pytest.mark.parametrize(("number", "said"), [(0, "0 ports"), (1, "1 port"), (1200, "1,200 ports"), (None, "— ports")])
def test_a_noun_agrees_with_its_number(number: int | None, said: str) -> None:
    assert plural(number, "port") == said


def test_one_port_is_one_port() -> None:
    assert [
        attention_fabric_storage._ports(1, "down", named=True),
        attention_fabric_storage._ports(1, "errors", named=False),
    ] == [
        "1 port down",
        "1 with errors",
    ]
    assert [times(0), times(1), times(2)] == ["never", "once", "2 times"]


def test_blanks_of_a_picture_are_kept() -> None:
    assert blanks_kept('<svg class="a"><text>a  b</text></svg>').startswith('<svg xml:space="preserve" class="a">')
    for picture in Path("docs/tour").glob("*.svg"):
        assert 'xml:space="preserve"' in picture.read_text()[:300], picture


def test_the_key_table_at_a_terminal_is_in_columns_and_loses_nothing() -> None:
    text = aligned(key_table())
    assert "|" not in text.replace(" | ", " ").replace("||", "") or "`" not in text
    assert "---" not in text and text.splitlines()[0].startswith("key ")
    for action in ACTIONS:
        assert any(line.split()[:1] == [action.key or "—"] and action.help in line for line in text.splitlines())
    for key in NAVIGATION:
        assert any(line.endswith(key.help) for line in text.splitlines()), key.id


def test_each_run_of_the_demo_has_a_past_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Config] = []

    def opened(ctx: object, config: Config, site: object, **more: object) -> None:
        assert Path(config.journal or "").is_dir() and config.recording.path == config.journal
        seen.append(config)

    monkeypatch.setattr(main, "open_console", opened)
    for _ in range(2):
        assert CliRunner().invoke(main.cli, ["demo", "--nodes", "8"], obj=None).exit_code == 0
    first, second = seen
    assert first.journal != second.journal and not Path(first.journal or "").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_keys_are_markdown_only_where_they_are_piped(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "argv", ["wacht", "keys"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    with pytest.raises(SystemExit):
        main.main()
    said = capfdbinary.readouterr().out.decode()
    assert said == (aligned(key_table(read_keys().every())) if terminal else key_table(read_keys().every()))


@pytest.mark.slow
@pytest.mark.parametrize("base", ["vim", "k9s"])
async def test_the_bar_of_every_screen_names_the_keys_in_force(base: str) -> None:
    async with console((200, 50), keys=[KeyLine("t:1", "base", base)]) as op:
        for view in ("overview", "nodes", "jobs", "alerts", "partitions", "power", "journal"):
            await op.command(view)
            bar = op.app.screen.query_one(KeyBar)
            for action in ACTIONS:
                for key in bar.keys:
                    if key.label == action.label:
                        assert key.key == op.app.input.keymap.first(action.id), (view, action.id)
            words = {key.label: key.key for key in bar.keys}
            if view == "nodes":
                assert words["drain"] == op.app.input.keymap.first("drain") == ("c" if base == "k9s" else "d")
