"""The command line. Imports as little as it can: `wacht snapshot` must cost no more than squeue and a blink."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.sim import INCIDENTS, SimSettings
from console import __version__
from console.config import Config, load
from console.errors import Told

SCREENS = ("overview", "nodes", "jobs", "gpus", "power", "inbox", "alerts", "partitions", "journal")
F = TypeVar("F", bound=Callable[..., Any])


class Common(Struct, kw_only=True):
    """The options that stand before or after the subcommand; the later one wins."""

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


def common_options(function: F) -> F:
    """Put the common options on a command; their values are collected in the context's Common."""
    for option in (
        click.option(
            "--log", metavar="FILE", expose_value=False, callback=_keep, help="Write a log there (mode 0600)."
        ),
        click.option("--theme", metavar="NAME", expose_value=False, callback=_keep, help="Colours."),
        click.option("--screen", type=click.Choice(SCREENS), expose_value=False, callback=_keep, help="Open there."),
        click.option(
            "--read-only", is_flag=True, expose_value=False, callback=_keep, help="Send no change, whatever key."
        ),
        click.option("--cluster", metavar="NAME", expose_value=False, callback=_keep, help="One of those configured."),
        click.option("--config", metavar="FILE", expose_value=False, callback=_keep, help="Instead of your own."),
    ):
        function = option(function)
    return function


def sim_options(function: F) -> F:
    """The size and the seed of the embedded machine."""
    for option in (
        click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same machine."),
        click.option("--jobs", type=click.IntRange(0, 1_000_000), default=None, help="Jobs alive; natural by default."),
        click.option(
            "--nodes", type=click.IntRange(1, 100_000), default=256, show_default=True, help="Nodes of 8 GPUs."
        ),
    ):
        function = option(function)
    return function


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wacht")
@common_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Watch a GPU supercomputer and act on it safely. Without a command: the console."""
    ctx.ensure_object(Common)
    if ctx.invoked_subcommand is None:
        from console.site import choose

        config = _config(ctx)
        _console(ctx, config, choose(config, ctx.obj.cluster))


@cli.command()
@sim_options
@click.option("--incident", type=click.Choice(sorted(INCIDENTS)), help="What goes wrong after half a minute.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Of time there.")
@common_options
@click.pass_context
def demo(ctx: click.Context, nodes: int, jobs: int | None, seed: int, incident: str | None, speed: float) -> None:
    """The console on the embedded simulated machine; needs no service."""
    from console import site

    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed, incident=incident, speed=speed)
    _console(ctx, _config(ctx), site.demo(settings))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--demo", "on_demo", is_flag=True, help="Of the embedded machine.")
@sim_options
@common_options
@click.pass_context
def snapshot(ctx: click.Context, as_json: bool, on_demo: bool, nodes: int, jobs: int | None, seed: int) -> None:
    """Read every configured source once and print. Exit 0 all good, 1 some failed, 2 none."""
    from console import site
    from console import snapshot as shot

    config = _config(ctx)
    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed)
    chosen = site.demo(settings) if on_demo else site.choose(config, ctx.obj.cluster)
    clock = site.system_clock()
    # Who asks, and what they may change, is no fact of the machine.
    sources = [one for one in chosen.collectors() if one.name != "slurm.rights"]
    cluster = shot.take(chosen.name, sources, clock, chosen.demo)
    _print(shot.as_json(cluster, clock) if as_json else (shot.as_text(cluster, clock) + "\n").encode())
    ctx.exit(shot.exit_code(cluster))


@cli.command()
@click.argument("action")
@click.argument("targets", nargs=-1)
@click.option("--reason", metavar="TEXT", help="Why, for everyone who reads it later.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, send nothing.")
@click.option("--yes", is_flag=True, help="Answer a plain question.")
@click.option("--count", type=click.IntRange(0), metavar="N", help="Answer any question: N targets will be acted on.")
@click.option("--break-glass", is_flag=True, help="Go on against the guard or a failed check; with --count.")
@click.option("--priority", metavar="N", help="priority: the job's new one.")
@click.option("--resume-after", metavar="T", help="drain: back by itself after 2h, 3d.")
@click.option("--for", "lasts", metavar="T", help="silence, take: for 30m, 4h.")
@click.option("--next", "comes_back", metavar="STATE", help="reboot: comes back as resume or down.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--demo", "on_demo", is_flag=True, help="On the embedded machine.")
@sim_options
@common_options
@click.pass_context
def act(
    ctx: click.Context,
    action: str,
    targets: tuple[str, ...],
    reason: str | None,
    dry_run: bool,
    yes: bool,
    count: int | None,
    break_glass: bool,
    priority: str | None,
    resume_after: str | None,
    lasts: str | None,
    comes_back: str | None,
    as_json: bool,
    on_demo: bool,
    nodes: int,
    jobs: int | None,
    seed: int,
) -> None:
    """Drain, undrain, resume, down, reboot, requeue, requeuehold, hold, uhold, release, cancel, priority, take, silence
    or lift TARGETS, through the same gate as the console. TARGETS are node sets (gpu[001-004]), job ids, names of
    alerts or ids of silences. Or undo [ID [TARGETS]]: an action of the journal, else your last one. Exit 0 done and
    seen, 1 not all, 2 refused.
    """
    from console import act as acting
    from console import site
    from console import snapshot as shot
    from console.journal import JournalFault
    from console.plan import Options
    from console.site_gate import journal_path, open_gate, pre_flight
    from console.words import option

    config = _config(ctx)
    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed)
    chosen = site.demo(settings) if on_demo else site.choose(config, ctx.obj.cluster)
    clock = site.system_clock()
    given = {"priority": priority, "resume-after": resume_after, "for": lasts, "next": comes_back}
    fields: dict[str, Any] = {"break_glass": break_glass}
    try:
        for word, value in given.items():
            fields |= option(word, value) if value is not None else {}
    except ValueError as error:
        raise click.ClickException(_plain(str(error))) from None
    wanted = acting.sources_of(action)
    sources = [one for one in chosen.collectors() if one.name in wanted]
    cluster = shot.take(chosen.name, sources, clock, chosen.demo)
    transport = chosen.transport()
    options = Options(**fields)
    if action == "undo":
        try:
            found, notes = acting.undoing(journal_path(chosen.name, config), targets, cluster, clock.now())
        except (ValueError, JournalFault) as error:
            raise click.ClickException(_plain(str(error))) from None
        for note in notes:
            click.echo(f"wacht: {_plain(note)}", err=True)
        action, targets, reason = found.action, found.targets, reason or found.reason
        options = msgspec.structs.replace(found.options, break_glass=break_glass)
    terminal = sys.stdin.isatty() and sys.stderr.isatty()

    def ask(question: str) -> str:
        click.echo(question, nl=False, err=True)
        return sys.stdin.readline()

    code = acting.run_act(
        open_gate(chosen, config, transport, clock), cluster, action, targets, reason=reason, dry_run=dry_run, yes=yes,
        count=count, as_json=as_json, ask=ask if terminal else None, options=options,
        look=pre_flight(chosen, config, transport, action, cluster),
    )  # fmt: skip
    ctx.exit(code)


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@common_options
@click.pass_context
def node(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Inspect one node; without NAME this host, through its own driver. On a terminal it is the console's screen."""
    from console import node as inspection
    from console import site
    from console.policy import load_policy

    config = _config(ctx)
    here = inspection.is_here(name)
    if not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        from collectors.nvml.sources import this_node

        this = this_node()
        chosen = site.here(this) if here else site.choose(config, ctx.obj.cluster)
        _console(ctx, config, chosen, this if here or name is None else name)
    text, code = inspection.report(
        name,
        as_json=as_json,
        width=shutil.get_terminal_size((120, 24)).columns,
        policy=load_policy(config.xid_policy),
        telemetry=None if here else site.choose(config, ctx.obj.cluster).telemetry(),
    )
    _print(text.encode())
    ctx.exit(code)


@cli.group()
def journal() -> None:
    """What was done to the machine, by whom, and what came of it."""


def _journal_file(ctx: click.Context) -> Any:
    from console.site import choose
    from console.site_gate import journal_path

    config = _config(ctx)
    name = ctx.obj.cluster or next(iter(config.clusters), None) or choose(config, None).name
    return journal_path(name, config)


@journal.command()
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the last N lines.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
@click.pass_context
def show(ctx: click.Context, last: int | None, as_json: bool) -> None:
    """Print the journal."""
    from console import journal as book

    text, code = book.show(_journal_file(ctx), last, as_json)
    click.echo(_plain(text), nl=False)
    ctx.exit(code)


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Check the chain; tell of gaps, of actions without a result, and of a missing syslog. Exit 0 whole, 1 broken."""
    from console import journal as book

    text, code = book.verified(_journal_file(ctx), as_json)
    click.echo(_plain(text), nl=False)
    ctx.exit(code)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@common_options
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Try each road to Slurm: its version, your rights, what a reading costs. Exit 0 when those configured work."""
    from console import doctor as examination
    from console import site

    text, code = examination.report(site.choose(_config(ctx), ctx.obj.cluster), as_json)
    _print(text.encode())
    ctx.exit(code)


@cli.command()
def keys() -> None:
    """Print the table of keys, as the documentation has it."""
    from console.actions import key_table

    click.echo(key_table(), nl=False)


def _plain(text: str) -> str:
    """Lines for a terminal: a path or a key of a configuration in them may hold anything."""
    return "\n".join(map(clean, text.split("\n")))


def _print(out: bytes) -> None:
    """Write all of it. A reader that has gone ends the program as SIGPIPE would: click would end it with 1, which is
    what a snapshot says of which some sources failed."""
    try:
        sys.stdout.buffer.write(out)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)


def _config(ctx: click.Context) -> Config:
    common: Common = ctx.obj
    config = load(common.config)
    # A lock can only be tightened from here on.
    return msgspec.structs.replace(
        config,
        read_only=config.read_only or common.read_only,
        theme=common.theme or config.theme,
        screen=common.screen or config.screen,
        log=common.log or config.log,
    )


def _console(ctx: click.Context, config: Config, chosen: Any, node_name: str | None = None) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException("the console needs a terminal; for scripts there is: wacht snapshot --json")
    if os.environ.get("TERM", "dumb") in {"", "dumb"}:
        raise click.ClickException("TERM=dumb can show no screen; for a plain answer there is: wacht snapshot")
    # Textual reads these once, at import.
    os.environ.setdefault("TEXTUAL_FPS", "30")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from console.app import run

    ctx.exit(run(chosen, config, node_name))


def main() -> None:
    """Entry point: every error that is expected becomes one plain message and exit 2."""
    try:
        # click gives the code of ctx.exit back, it does not raise it.
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except Told as error:
        click.echo(f"wacht: {_plain(str(error))}", err=True)
        sys.exit(2)
