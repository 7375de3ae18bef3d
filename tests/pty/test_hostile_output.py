"""Every byte that the console writes while everything around it is hostile, held against a list of what may be sent."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.prometheus.plant.cooling_queries import CoolingSettings
from tests.faults import fault
from tests.hostile import site
from tests.hostile.corpus import CORPUS
from tests.hostile.output import faults
from tests.support import alertmanager_server, make, prometheus_server
from tests.support.far_terminal import ESCAPE, FarTerminal

COOLING = CoolingSettings(supply_c="supply", leak="leak")
WACHT = (sys.executable, "-c", "from console.cli.main import main; main()")


@pytest.mark.parametrize(
    "raw",
    [
        *(text.encode("utf-8", "surrogateescape") for key, text in CORPUS.items()
          if key not in {"markup", "option", "shell", "all", "formula", "format", "number", "digit", "wide", "long",
                         "flags", "empty", "noncharacter"}),
        b"\x1b]8;;http://x\x1b\\", b"\x1b]8;;https://x\x07", b"\x1b[?1h", b"\x1b[>q", b"\x1b[2J", b"\x1b[6n", b"\x1bc",
        b"a\rb", b"a\nb", b"\xff", "\u009b31m".encode(), b"\x1b[1;1", b"\x1b]52;c;eA==\x07", b"\x1b]22;x\x07",
    ],
)  # fmt: skip
def test_the_list_refuses(raw: bytes) -> None:
    assert faults(b"before" + raw + b"after")


def test_the_list_allows_what_it_should() -> None:
    assert not faults(
        b"\x1b[1;1H\x1b[0;39;48;5;16mgpu0001 \xe8\xae\xad\x1b[?2026h\x1b[?2026l\x1b7\x1b[2;9H\x1b[6n\x1b8"
    )
    assert not faults(b"\x1b]8;;https://x/a;b\x1b\\run\x1b]8;;\x1b\\", links=True)
    assert not faults(b"\x1b]9;wacht x\x1b\\\x07", notes=True)
    assert not faults(b"\x1b]52;c;" + base64.b64encode(b"scontrol show node gpu0001 -d") + b"\x07", copies=1)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of a console at the hostile site."""
    site.slurm(make.Commands(tmp_path, monkeypatch))
    settings = tmp_path / "config.toml"
    site.journal(tmp_path / "wacht" / "journal" / "lab.jsonl")
    with prometheus_server.StandIn(cooling=COOLING) as watched, alertmanager_server.StandIn() as rung:
        site.telemetry(watched)
        site.alerts(rung)
        settings.write_text(
            f'links = true\nnotify = "osc9"\n[cluster.lab]\nprometheus = {{ url = "{watched.settings.url}" }}\n'
            f'alertmanager = {{ url = "{rung.settings.url}" }}\npower = {{ rack_series = "rack_power" }}\n'
            'cooling = { supply_c = "supply", leak = "leak" }\n'
        )
        settings.chmod(0o600)
        yield {"WACHT_CONFIG": str(settings), "XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path),
               "USER": "x\x1b[2J", "LOGNAME": "y\x9b31m", "SSH_CONNECTION": "\x1b]52;c;eA==\x07", "LANG": "C.UTF-8",
               "PATH": os.environ["PATH"]}  # fmt: skip


class Hand:
    """Someone who opens everything there is."""

    def __init__(self, size: tuple[int, int], env: dict[str, str]) -> None:
        self.terminal = FarTerminal(WACHT, size, env=env)
        self.seen = ""

    def comes(self, text: str) -> None:
        """Wait for it on the screen."""
        found = self.terminal.pump(60.0, lambda: text in "\n".join(self.terminal.rows))
        shown = "\n".join(self.terminal.rows)
        assert found, f"{text!r} never came:\n{shown}"
        self.seen += shown

    def press(self, keys: str, text: str) -> None:
        """Press, and wait for what comes; what an Enter before opened late may have had the key: then once more."""
        for _ in range(2):
            self.terminal.type(keys.encode())
            if self.terminal.pump(20.0, lambda: text in "\n".join(self.terminal.rows)):
                break
            for _ in range(2):
                self.terminal.type(ESCAPE)
                self.terminal.pump(0.5)
        self.comes(text)


@fault(
    "hostile text",
    "a site whose every text is hostile, on every screen, in a terminal",
    "no escape sequence but the console's own",
    case="hostile string in every field",
)
@pytest.mark.pty
@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["small", "wide"])
def test_every_screen_sends_only_what_it_may(size: tuple[int, int], place: dict[str, str]) -> None:
    hand = Hand(size, place)
    try:
        hand.comes("Nodes ")
        for key, sign in (("2", "gpu0001"), ("3", "pending"), ("4", "GPU"), ("5", "ower"), ("6", "Alerts "),
                          ("7", "Partitions"), ("8", "Journal"), ("i", "Inconsistencies"), ("c", "wet")):  # fmt: skip
            hand.press(key, sign)
            for move in (b"\x1b[6~", b"\x1b[F", b"\r", b"y", ESCAPE, ESCAPE):
                hand.terminal.type(move)
                hand.terminal.pump(0.1)
        hand.press("3", "pending")
        for line in ("/", ":"):
            hand.press(f"{line}\x1b[200~x\x9b31m\u202e\u200b\x1b[201~", "x\\x9b31m\\u202e\\u200b")
            hand.terminal.type(b"\r")
            hand.terminal.pump(0.3)
            hand.terminal.type(ESCAPE)
            hand.terminal.pump(0.3)
        assert not hand.terminal.ended()
        hand.press("q", "")
        hand.terminal.pump(60.0, hand.terminal.ended)
        assert hand.terminal.child.returncode == 0, hand.terminal.out[-2000:]
    finally:
        hand.terminal.close()
    assert not faults(hand.terminal.out, links=True, notes=True, copies=9)
    assert "\\e[" in hand.seen
