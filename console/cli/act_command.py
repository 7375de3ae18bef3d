"""Commands that act or show the record of actions: `wacht act` and `wacht journal`."""

from __future__ import annotations

import contextlib
import sys
import termios
from typing import Any

import click
import msgspec

from collectors.sim import SimSettings

from .options import (
    at_terminal,
    common_options,
    configured,
    offered,
    plain,
    report_left_out_plugins,
    sim_options,
    write_out,
)

_SAID = "wacht.said"


def _say(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    """Collect the settings of a reservation, each from its own option."""
    if value is not None and option.name is not None:
        ctx.meta.setdefault(_SAID, {})[option.name] = value


def asked(question: str) -> str:
    """The line typed at a terminal's question; input typed before the question is discarded."""
    with contextlib.suppress(termios.error):  # the terminal is gone: the line will be empty
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    click.echo(question, nl=False, err=True)
    return sys.stdin.readline()


def _saved(config: Any, action: str, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The targets, with saved filters in place of their names."""
    from console.actions.registry import BY_ID
    from console.config.saved_filters import filters_file, read_filters
    from console.runtime.errors import FilterError
    from console.runtime.state_files import StateFileFault

    kept = filters_file()
    try:
        lines = kept.read()
    except StateFileFault:
        lines = []
    kind = BY_ID[action].kind if action in BY_ID else ""
    try:
        return tuple(read_filters(config.filters, lines, kept.path).targets(kind, targets))
    except FilterError as error:
        raise click.UsageError(plain(str(error))) from None


@click.command()
@click.argument("action", shell_complete=offered)
@click.argument("targets", nargs=-1)
@click.option("--reason", metavar="TEXT", help="Why, for everyone who reads it later.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent, send nothing.")
@click.option("--yes", is_flag=True, help="Answer a plain question; with --failed drain those too.")
@click.option("--count", type=click.IntRange(0), metavar="N", help="Answer any question: N targets will be acted on.")
@click.option("--break-glass", is_flag=True, help="Go on against the guard or a failed check; with --count.")
@click.option("--value", metavar="V", help="What is set: a time limit, a partition, a comment; none takes some away.")
@click.option("--priority", metavar="N", help="priority: the job's new one.")
@click.option("--resume-after", metavar="T", help="drain: resume automatically after 2h, 3d.")
@click.option("--for", "lasts", metavar="T", help="silence, take, reserve: for 30m, 4h.")
@click.option("--name", metavar="N", expose_value=False, callback=_say, help="reserve, incident: what it is called.")
@click.option("--start", metavar="T", expose_value=False, callback=_say, help="reserve: now, 22:00, 2026-11-26T08:00.")
@click.option("--users", metavar="U,U", expose_value=False, callback=_say, help="reserve: for these users.")
@click.option("--accounts", metavar="A,A", expose_value=False, callback=_say, help="reserve: for these accounts.")
@click.option("--flags", metavar="F,F", expose_value=False, callback=_say, help="reserve: MAINT, IGNORE_JOBS, …")
@click.option("--next", "comes_back", metavar="STATE", help="reboot: comes back as resume or down.")
@click.option("--waves", is_flag=True, help="resume, undrain: in waves, as 100 nodes or more go anyway.")
@click.option("--canary", metavar="RACK", help="resume, undrain: the rack that comes back first.")
@click.option("--failed", metavar="WORD", help="In waves: what comes back unfit can stay, or drain (it asks).")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--demo", "on_demo", is_flag=True, help="On the simulated cluster.")
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
    value: str | None,
    priority: str | None,
    resume_after: str | None,
    lasts: str | None,
    comes_back: str | None,
    waves: bool,
    canary: str | None,
    failed: str | None,
    as_json: bool,
    on_demo: bool,
    nodes: int,
    jobs: int | None,
    seed: int,
) -> None:
    """Do ACTION to TARGETS, through the gate of the console: drain, cancel, timelimit and all that `wacht keys` lists.

    TARGETS are node sets (gpu[001-004], @rack:R07, @loop:cdu-2), job ids, a filter of nodes or of jobs as in the
    console ('rack=R07 & state=idle', 'user=alice & state=pending'), names of partitions, reservations and alerts, ids
    of silences. Or undo [ID [TARGETS]]: an action of
    the journal, else your last one. Exit 0 done and seen, 1 not all, 2 refused.
    """
    from console.actions.option_parsing import merged, parse_option
    from console.actions.options import Options
    from console.actions.registry import BY_ID
    from console.config.paths import journal_path
    from console.filters.language import filter_in_reason
    from console.journal.writer import JournalFault
    from console.session import cluster_sources
    from console.session import snapshot as shot
    from console.session.site_gate import last_resumed, open_gate, preflight_reader

    from . import act as acting
    from .rollout_text import rereader

    config = configured(ctx)
    if config.commands:
        from console.config import site_commands

        for line in site_commands.register(config.commands)[1]:
            click.echo(f"wacht: {plain(line)}", err=True)
    if action not in BY_ID and action != "undo":
        from console.config import plugins

        plugins.register(plugins.actions())
        report_left_out_plugins()
    if any(sign in word for word in targets for sign in "=<>~"):
        from console.config import plugin_fields, plugins

        plugin_fields.register(plugins.fields())  # a filter may name one
    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed)
    chosen = cluster_sources.demo(settings) if on_demo else cluster_sources.choose(config, ctx.obj.cluster)
    clock = cluster_sources.system_clock()
    given = {"value": value, "priority": priority, "resume-after": resume_after, "for": lasts, "next": comes_back,
             "waves": "" if waves else None, "canary": canary, "failed": failed,
             **ctx.meta.get(_SAID, {})}  # fmt: skip
    fields: dict[str, Any] = {"break_glass": break_glass}
    try:
        for word, text in given.items():
            fields = merged(fields, parse_option(word, text)) if text is not None else fields
    except ValueError as error:
        raise click.ClickException(plain(str(error))) from None
    if any(word.startswith("@") for word in targets):
        targets = _saved(config, action, targets)
    wanted = acting.sources_of(action, targets)
    sources = [one for one in chosen.collectors() if one.name in wanted]
    cluster = shot.take(chosen.name, sources, clock, chosen.demo)
    transport = chosen.transport()
    options = Options(**fields)
    if action == "undo":
        if reason is not None and (meant := filter_in_reason(reason)):
            click.echo(f"wacht: {plain(meant)}", err=True)
            ctx.exit(acting.REFUSED)
        try:
            found, notes = acting.undoing(journal_path(chosen.name, config), targets, cluster, clock.now())
        except (ValueError, JournalFault) as error:
            raise click.ClickException(plain(str(error))) from None
        for note in notes:
            click.echo(f"wacht: {plain(note)}", err=True)
        action, targets, reason = found.action, found.targets, reason or found.reason
        options = msgspec.structs.replace(found.options, break_glass=break_glass)
    terminal = at_terminal(sys.stdin, sys.stderr)

    gate = open_gate(chosen, config, transport, clock)
    resumed = last_resumed(chosen, config)
    gate.reread = rereader(chosen, wanted, clock, resumed)
    try:
        code = acting.run_act(
            gate, cluster, action, targets, reason=reason, dry_run=dry_run, yes=yes,
            count=count, as_json=as_json, ask=asked if terminal else None, options=options,
            look=preflight_reader(chosen, transport, action, cluster, resumed),
        )  # fmt: skip
    except KeyboardInterrupt:
        on_its_way = "it was on its way: Slurm and wacht journal show say what came of it"
        # The terminal has echoed ^C into the line of the question.
        click.echo(f"\nwacht: interrupted: {on_its_way if gate.wrote else 'nothing was sent'}", err=True)
        raise click.Abort from None
    ctx.exit(code)


@click.group()
def journal() -> None:
    """Changes made to the machine: who made them, and the outcome."""


def _journal_file(ctx: click.Context) -> Any:
    from console.config.paths import journal_path
    from console.session.cluster_sources import choose

    config = configured(ctx)
    name = ctx.obj.cluster or next(iter(config.clusters), None) or choose(config, None).name
    return journal_path(name, config)


def _print_result(ctx: click.Context, text: str, code: int) -> None:
    """Print the text; on failure to stderr, so that a program reading JSON does not get it."""
    if code == 2:
        click.echo(f"wacht: {plain(text)}", nl=False, err=True)
    else:
        write_out(plain(text).encode("utf-8", "backslashreplace"))
    ctx.exit(code)


@journal.command()
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the last N lines.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
@click.pass_context
def show(ctx: click.Context, last: int | None, as_json: bool) -> None:
    """Print the journal."""
    from console.journal import writer

    _print_result(ctx, *writer.show(_journal_file(ctx), last, as_json))


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Check the chain; report gaps, actions without a result, and a missing syslog. Exit 0 whole, 1 broken."""
    from console.journal import writer

    _print_result(ctx, *writer.verified(_journal_file(ctx), as_json))
