"""The files of docs/shell, from the click commands: the manual page and each shell's completion.

`make man` writes them, the wheel contains them, and a test compares them with the command line. Nothing else imports
this module.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from . import completion_command
from .main import cli

_ABOUT = """\
.SH DESCRIPTION
.B wacht
polls Slurm, Prometheus, Alertmanager and NVML, shows live node health, GPU
use, queue state, power and alerts, and acts from the keyboard.
Every change passes one gate: it shows who is affected before anything is sent,
asks in proportion to what may be lost, is proven by a later reading and is
written down before and after.
The console runs as you; Slurm decides what you may do.
.PP
With Slurm's commands on
.B PATH
there is nothing to configure.
In the console
.B ?\\&
explains every key.
"""
_AFTER = """\
.SH EXIT STATUS
.TP
.B 0
All good; of
.BR act :
done and seen.
.TP
.B 1
Not all: some sources failed, some targets were not acted on, or a journal is
broken.
.TP
.B 2
Nothing was read or sent: a wrong command line or configuration, no source, a
refusal.
.TP
.B 130
You broke it off.
.SH ENVIRONMENT
.TP
.B PATH
Where Slurm's commands are.
.TP
.B WACHT_CONFIG
The configuration, instead of your own; the option wins.
.TP
.B SLURM_CONF
Slurm's configuration, as for Slurm's own commands.
.TP
.B NO_COLOR
Set: no colours.
.SH FILES
.TP
.I ~/.config/wacht/config.toml
Your configuration.
.TP
.I /etc/wacht/config.toml
The site's, read beneath yours; its
.B [lock]
and
.B [guard]
win.
.SH SEE ALSO
.BR sinfo (1),
.BR squeue (1),
.BR scontrol (1),
.BR sdiag (1)
"""


def page() -> str:
    """wacht(1) in roff."""
    root = click.Context(cli, info_name="wacht", **cli.context_settings)
    common = _options(cli, root)
    lines = [
        '.\\" Made by `make man` from the command line: change that.',
        f'.TH WACHT 1 "" "wacht {_version()}" "User Commands"',
        ".SH NAME",
        "wacht \\- " + _text("watch a GPU supercomputer and act on it safely"),
        ".SH SYNOPSIS",
    ]
    named = [(name, command) for name in cli.list_commands(root) if (command := cli.get_command(root, name))]
    lines += [*_usage("wacht", "[OPTIONS]"), ".PP", *_usage("wacht", "[OPTIONS] COMMAND [ARGS]...")]
    lines += [*_ABOUT.splitlines(), ".SH OPTIONS", "These may be given before or after the command."]
    lines += _items(common)
    lines += [".SH COMMANDS"]
    for name, command in named:
        lines += _command(command, click.Context(command, info_name=name, parent=root), {flag for flag, _ in common})
    return "\n".join([*lines, *_AFTER.splitlines()]) + "\n"


def _command(command: click.Command, ctx: click.Context, known: set[str]) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=ctx), known)
        return
    yield f".SS {_text(ctx.command_path)}"
    yield from _usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)))
    yield ".PP"
    yield from _prose(command.help or "")
    yield from _items([one for one in _options(command, ctx) if one[0] not in known])


def _options(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    """Flags and help of every visible option."""
    return [
        record
        for param in command.get_params(ctx)
        if isinstance(param, click.Option) and (record := param.get_help_record(ctx))
    ]


def _usage(path: str, rest: str) -> list[str]:
    return [f".B {_text(path)}", *_prose(rest)]


def _items(found: Sequence[tuple[str, str]]) -> Iterator[str]:
    for flags, said in found:
        yield from (".TP", f".B {_text(flags)}", *_prose(said))


def _prose(text: str) -> list[str]:
    """Lines of roff of at most 80 bytes; line ends have no meaning."""
    return [_text(line) for line in textwrap.wrap(" ".join(text.split()), 72, break_on_hyphens=False)]


def _text(text: str) -> str:
    """A line of roff that shows exactly this: dashes stay dashes, and no line is read as a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("…", "...")
    return re.sub(r"^(?=[.'])", r"\\&", text)


def _version() -> str:
    from console import __version__

    return __version__


def files() -> dict[str, str]:
    """Each file's name and content."""
    return {
        "wacht.1": page(),
        **{f"wacht.{one}": completion_command.script(one, cli) + "\n" for one in completion_command.SHELLS},
    }


if __name__ == "__main__":
    for name, text in files().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
