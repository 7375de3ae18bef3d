"""Exports: what is copied, what is refused, and that a file is written off the event loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.app import export_commands
from console.app.export_commands import ExportCommands, ExportJob
from console.config.commands import CommandError, parse
from tests.support.fake_app import Desk


@pytest.fixture
def exports(desk: Desk) -> ExportCommands:
    return ExportCommands(desk.fleet, desk.notifications, desk.app)


def job(text: str = "a\n") -> ExportJob:
    return ExportJob("nodes", "csv", lambda: ([text.encode()], "1 row of nodes"))


def test_names_are_copied_in_shell_syntax(desk: Desk, exports: ExportCommands) -> None:
    desk.show("n1", "n2")
    exports.copy_rows()
    desk.show("101", "102", kind="job")
    assert desk.app.clipboard == "n[1-2]"
    exports.copy_rows()
    assert desk.app.clipboard == "101,102" and desk.notes[-1] == "copied: 101,102  (2)"


def test_more_than_a_terminal_takes_is_not_copied(desk: Desk, exports: ExportCommands, monkeypatch) -> None:
    monkeypatch.setattr(export_commands, "CLIPBOARD_MOST", 3)
    desk.show("n1", "n2")
    exports.copy_rows()
    exports.begin(job("abcdef"), "clipboard", False)
    desk.app.work()
    assert desk.app.clipboard == "" and all("a terminal's clipboard takes 3 B" in note for note in desk.notes)


def test_a_file_is_written_in_a_thread_and_named(desk: Desk, exports: ExportCommands, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    exports.begin(job(), str(file), False)
    assert not file.exists()
    desk.app.work()
    assert file.read_text() == "a\n" and desk.notes == [f"1 row of nodes: {file} (2 B)"]
    exports.begin(job(), str(file), False)
    desk.app.work()
    assert desk.notes[-1].startswith("not written: ") and desk.app.severities[-1] == "error"


@pytest.mark.parametrize(("text", "why"), [("export pdf", "export csv"), ("report 3h!", "")])
def test_words_that_mean_nothing_are_refused(exports: ExportCommands, text: str, why: str) -> None:
    if why:
        with pytest.raises(CommandError, match=why):
            exports.carry_out(parse(text, ()))


def test_only_a_named_file_is_written_over_and_a_ticket_is_of_one_node(desk: Desk, exports: ExportCommands) -> None:
    with pytest.raises(CommandError, match="name it"):
        exports.begin(job(), "", True)
    desk.show("n1", "n2")
    with pytest.raises(CommandError, match="of one node"):
        exports.vendor()
