"""Checks the terminal: its type, what it can show, tmux, screen or ssh in between, and its speed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping

from collectors import process
from collectors.clean import clean, decode
from collectors.model import SourceFault

from .finding import Finding, FindingGroup, seconds
from .parallel import ParallelChecks
from .terminal_probe import TerminalAnswer, ask_terminal

LEAST = (80, 24)
#: Round trip in seconds from which a key press feels slow.
SLOW_S = 0.15
#: Escape time in ms from which tmux delays the Esc key noticeably.
ESCAPE_MS = 50
_COLOURS = {"truecolor": "true colour", "256": "256 colours", "standard": "16 colours"}
#: In the order in which tmux prints them.
_TMUX = (
    ("version", ("display-message", "-p", "#{version}")),
    ("term", ("show-options", "-gv", "default-terminal")),
    ("escape", ("show-options", "-sv", "escape-time")),
    ("mouse", ("show-options", "-gv", "mouse")),
    ("clipboard", ("show-options", "-sv", "set-clipboard")),
    ("features", ("display-message", "-p", "features #{client_termfeatures}")),
)


def start(checks: ParallelChecks, environ: Mapping[str, str] = os.environ) -> None:
    """Start reading tmux's settings, if the terminal is one."""
    if environ.get("TMUX"):
        socket = environ["TMUX"]
        checks.start("tmux", lambda: tmux(socket))


def tmux(socket: str) -> Mapping[str, str]:
    """The settings of the surrounding tmux. Raises SourceFault."""
    program = shutil.which("tmux")
    if program is None:
        raise SourceFault("missing", "tmux is not on PATH", "")
    words = [word for _, asked in _TMUX for word in (";", *asked)][1:]
    ended = process.run([program, *words], deadline_s=2.0, cap_bytes=1 << 16, env=process.environment({"TMUX": socket}))
    lines = decode(ended.out).split("\n")
    if ended.timed_out or ended.rc != 0 or len(lines) < len(_TMUX):
        raise SourceFault("refused", f"tmux does not report its settings: {ended.err[:200]}", "")
    return {name: clean(line) for (name, _), line in zip(_TMUX, lines, strict=False)}


def findings(ended: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """All findings. Queries the terminal for at most a second. Main thread only."""
    group = FindingGroup("Terminal")
    term = environ.get("TERM", "")
    # A closed stream (`<&-`) is None.
    interactive = all(one is not None and one.isatty() for one in (sys.stdin, sys.stdout))
    if not interactive:
        group.note(
            "tty", "stdin or stdout is no terminal: the console needs both", "scripts have: wacht snapshot --json"
        )
    if term in {"", "dumb"}:
        group.warn("TERM", f"TERM={term or '(not set)'} can show no screen", "set it: export TERM=xterm-256color")
    else:
        group.ok("TERM", f"{clean(term)}, COLORTERM {clean(environ.get('COLORTERM') or 'not set')}")
    _size(group, interactive)
    _encoding(group, environ)
    _colours(group, environ)
    _between(group, ended, environ)
    if interactive and term not in {"", "dumb"}:
        _answer(group, ask_terminal())
        _line(group)
    return group.found


def _size(group: FindingGroup, interactive: bool) -> None:
    if not interactive:
        return
    try:
        columns, lines = os.get_terminal_size(1)
    except OSError:
        columns = lines = 0
    if (columns, lines) == (0, 0):
        group.warn("size", "the terminal does not report its size", "set it: stty columns 120 rows 40")
    elif columns < LEAST[0] or lines < LEAST[1]:
        mend = f"make it at least {LEAST[0]}x{LEAST[1]}, better 120x40"
        group.warn("size", f"{columns}x{lines}: columns are left out", mend, columns=columns, lines=lines)
    else:
        group.ok("size", f"{columns}x{lines}", columns=columns, lines=lines)


def _encoding(group: FindingGroup, environ: Mapping[str, str]) -> None:
    """The locale's encoding; Python itself uses UTF-8 when the locale is C."""
    name = next((key for key in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(key)), None)
    said = "no locale is set" if name is None else f"{name}={clean(environ[name])}"
    if name is not None and re.search(r"utf-?8", environ[name], re.I):
        group.ok("encoding", said)
    else:
        mend = "set one: export LC_ALL=C.UTF-8 (and start tmux with -u)"
        group.warn("encoding", f"{said}: lines and bars may come out as other signs", mend)


def _colours(group: FindingGroup, environ: Mapping[str, str]) -> None:
    from rich.console import Console

    found = Console(force_terminal=True, _environ=environ).color_system
    if "NO_COLOR" in environ:
        group.note(
            "colours", "NO_COLOR is set: states are shown by words and glyphs alone", "unset NO_COLOR to have them"
        )
    elif found == "truecolor":
        group.ok("colours", "true colour", colours=found)
    elif found is None:
        group.warn("colours", "none are known of this TERM", "set TERM=xterm-256color, where the terminal knows them")
    else:
        mend = "where the terminal knows more: export COLORTERM=truecolor"
        group.note("colours", f"{_COLOURS.get(found, found)}: heat is shown in fewer steps", mend, colours=found)


def _between(group: FindingGroup, ended: Mapping[str, object], environ: Mapping[str, str]) -> None:
    """What is between the program and the user: tmux, screen, ssh."""
    if environ.get("TMUX"):
        _tmux(group, ended.get("tmux"))
    elif environ.get("STY"):
        group.note(
            "screen", "GNU screen before 5.0 knows 256 colours, and waits 300 ms after Esc",
            "tmux knows more; or in .screenrc: maptimeout 10, and with 5.0: truecolor on",
        )  # fmt: skip
    if environ.get("SSH_CONNECTION"):
        if environ.get("TMUX") or environ.get("STY"):
            group.ok("ssh", "over ssh; what runs here outlives a lost line")
        else:
            group.note(
                "ssh", "over ssh, without tmux: a lost line ends the console", "start it within: tmux new -A -s ops"
            )


def _tmux(group: FindingGroup, found: object) -> None:
    if not isinstance(found, Mapping):
        why = found.fault.what if isinstance(found, SourceFault) else "tmux does not report its settings"
        group.note("tmux", why)
        return
    said = ", ".join(
        f"{word} {found[key]}"
        for key, word in (("escape", "escape-time"), ("term", "default-terminal"), ("mouse", "mouse"),
                          ("clipboard", "set-clipboard"))
    )  # fmt: skip
    group.ok("tmux", f"{found['version']}: {said}", **found)
    if found["escape"].isdecimal() and int(found["escape"]) > ESCAPE_MS:
        group.warn("tmux", f"each Esc is held back for {found['escape']} ms", "in .tmux.conf: set -s escape-time 10")
    if not found["term"].startswith(("tmux", "screen")):
        mend = "in .tmux.conf: set -g default-terminal tmux-256color"
        group.warn("tmux", f"default-terminal {found['term']} is none that tmux speaks", mend)
    if "RGB" not in found["features"].split(" ")[-1].split(","):
        mend = "if that one knows it: set -as terminal-features ',xterm*:RGB'"
        group.note("tmux", "tmux does not know that the terminal around it has true colour", mend)
    if found["clipboard"] != "on":
        group.note("tmux", "tmux drops what wacht copies", "in .tmux.conf: set -s set-clipboard on")


def _answer(group: FindingGroup, found: TerminalAnswer) -> None:
    if found.took_s is None:
        group.note("answers", found.why, "")
    elif found.late:
        mend = "slow line: see docs/scale.md; over ssh: Compression yes, or mosh"
        group.warn("answers", f"it took {seconds(found.took_s)} to answer (DA1)", mend, took_s=found.took_s)
    elif found.took_s > SLOW_S:
        mend = "each key will feel as late; over ssh: a nearer login node, or mosh"
        group.warn("answers", f"it answers in {seconds(found.took_s)} (DA1)", mend, took_s=found.took_s)
    else:
        group.ok("answers", f"in {seconds(found.took_s)} (DA1)", took_s=found.took_s)


def _line(group: FindingGroup) -> None:
    """The speed of a serial line; a pty's value means nothing."""
    import termios

    try:
        name, speed = os.ttyname(1), termios.tcgetattr(1)[5]
    except (OSError, termios.error):
        return
    bauds = {getattr(termios, f"B{rate}", None): rate for rate in (1200, 2400, 4800, 9600, 19200, 38400, 57600)}
    if not name.startswith("/dev/pts/") and re.search(r"tty(S|USB|AMA)", name) and speed in bauds:
        mend = "set both ends to 115200, or watch from elsewhere"
        group.warn("line", f"{clean(name)} is a serial line of {bauds[speed]} baud: screens take seconds", mend)
