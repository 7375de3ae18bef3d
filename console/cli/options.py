"""Shared parts of the commands: common options, the configuration, and output."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeVar

import click
import msgspec
from msgspec import Struct

from collectors.clean import clean
from console import __version__
from console.actions.screen_rows import SCREEN_ROWS
from console.config.settings import Config, load
from console.health import automation
from console.runtime import log
from console.runtime.errors import UserError

SCREENS = tuple(row.id for row in SCREEN_ROWS)


F = TypeVar("F", bound=Callable[..., Any])


class Common(Struct, kw_only=True):
    """The options allowed before and after the subcommand; the later one wins."""

    config: str | None = None
    cluster: str | None = None
    read_only: bool = False
    screen: str | None = None
    theme: str | None = None
    log: str | None = None


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    common = ctx.ensure_object(Common)
    if value not in (None, False) and param.name is not None:
        setattr(common, param.name, value)
    return value


def offered(ctx: click.Context, param: click.Parameter, begun: str) -> list[Any]:
    """The shell completions of this parameter."""
    from . import completion_command

    return completion_command.offered(param.name, ctx, begun)


def common_options(function: F) -> F:
    """Add the common options to a command; their values are collected in the context's Common."""
    for option in (
        click.option(
            "--log", metavar="FILE", type=click.Path(), expose_value=False, callback=_keep,
            help="Write a log there (mode 0600).",
        ),
        click.option(
            "--theme", metavar="NAME", expose_value=False, callback=_keep, shell_complete=offered, help="Colours."
        ),
        click.option("--screen", type=click.Choice(SCREENS), expose_value=False, callback=_keep, help="Open there."),
        click.option(
            "--read-only", is_flag=True, expose_value=False, callback=_keep, help="Send no change, whatever key."
        ),
        click.option(
            "--cluster", metavar="NAME", expose_value=False, callback=_keep, shell_complete=offered,
            help="One of those configured.",
        ),
        click.option(
            "--config", metavar="FILE", type=click.Path(), expose_value=False, callback=_keep,
            help="Instead of your own.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def sim_options(function: F) -> F:
    """Options for the size and seed of the simulated cluster."""
    for option in (
        click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same machine."),
        click.option("--jobs", type=click.IntRange(0, 1_000_000), default=None, help="Jobs alive; natural by default."),
        click.option(
            "--nodes", type=click.IntRange(1, 100_000), default=256, show_default=True, help="Nodes of 8 GPUs."
        ),
    ):
        function = option(function)
    return function


def report_left_out_plugins() -> None:
    """Report the plugins that were left out, if any were loaded."""
    if (plugins := sys.modules.get("console.config.plugins")) is not None:
        for line in plugins.messages():
            click.echo(f"wacht: {plain(line)}", err=True)


def plain(text: str) -> str:
    """Lines that are safe to print: a path or a configuration key in them may hold control characters."""
    return "\n".join(map(clean, text.split("\n")))


def at_terminal(*streams: TextIO | None) -> bool:
    """Whether all of these are terminals; a closed stream (`<&-`) is None and is none."""
    return all(one is not None and one.isatty() for one in streams)


def write_out(out: bytes) -> None:
    """Write all of it to stdout. Raises BrokenPipeError when the reader is gone, UserError when the disk is full or
    stdout is closed.
    """
    if sys.stdout is None:
        raise UserError("there is no standard output to write to: it is closed")
    try:
        sys.stdout.buffer.write(out)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise UserError(f"the standard output cannot be written: {error.strerror}") from None


def discard_stdout() -> None:
    """Discard pending output, which the interpreter would otherwise try to write, and complain about, at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def flush() -> None:
    """Flush the output. If that fails, the command's exit status stays: what it did counts more than what it could
    print.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        click.echo(f"wacht: the standard output cannot be written: {error.strerror}", err=True)


def configured(ctx: click.Context) -> Config:
    common: Common = ctx.obj
    config = load(common.config)
    # A lock can only be tightened after this.
    config = msgspec.structs.replace(
        config,
        read_only=config.read_only or common.read_only,
        theme=common.theme or config.theme,
        screen=common.screen or config.screen,
        log=common.log or config.log,
    )
    automation.configure(config.automation)
    if config.log:
        log.begin(config.log)
        log.info("wacht", f"{__version__} begins: {ctx.command_path}; read: {', '.join(config.files) or 'no file'}")
    return config


def open_console(
    ctx: click.Context, config: Config, chosen: Any, node_name: str | None = None, others: Sequence[Any] = ()
) -> None:
    from console.runtime.browser_mode import in_browser

    if in_browser():
        if not config.read_only:
            raise click.ClickException("in a browser the user is unknown: start it with --read-only (docs/browser.md)")
    elif not at_terminal(sys.stdin, sys.stdout):
        raise click.ClickException("the console needs a terminal; for scripts there is: wacht snapshot --json")
    elif os.environ.get("TERM", "dumb") in {"", "dumb"}:
        raise click.ClickException("TERM=dumb can show no screen; for a plain answer there is: wacht snapshot")
    # Textual reads these once, at import.
    os.environ.setdefault("TEXTUAL_FPS", "30")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # Objects created at the start are no garbage, and collecting would cost a twentieth of the start. The app enables
    # it again.
    gc.disable()
    from console.app.start import run

    ctx.exit(run(chosen, config, node_name, others))
