"""Commands that inspect: `wacht node`, `wacht doctor`, `wacht keys`."""

from __future__ import annotations

import os
import shutil
import sys

import click

from .options import at_terminal, common_options, configured, open_console, report_left_out_plugins, write_out


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@common_options
@click.pass_context
def node(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Inspect one node; without NAME this host, through its own driver. On a terminal it is the console's screen."""
    from console.health.xid_policy import load_policy
    from console.session import cluster_sources

    from . import node as inspection

    config = configured(ctx)
    here = inspection.is_here(name)
    if not as_json and at_terminal(sys.stdin, sys.stdout):
        from collectors.nvml.sources import this_node

        this = this_node()
        chosen = cluster_sources.this_node(this) if here else cluster_sources.choose(config, ctx.obj.cluster)
        open_console(ctx, config, chosen, this if here or name is None else name)
    text, code = inspection.describe(
        name,
        as_json=as_json,
        width=shutil.get_terminal_size((120, 24)).columns,
        policy=load_policy(config.xid_policy),
        telemetry=None if here else cluster_sources.choose(config, ctx.obj.cluster).telemetry(),
    )
    write_out(text.encode())
    ctx.exit(code)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@common_options
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Test each source, the rights, the clock and the terminal; say how to fix each problem.

    Exit 0 if everything configured works, 1 if a part does not, 2 if nothing does.
    """
    from console.config import plugins
    from console.doctor import run as examination
    from console.runtime.errors import UserError
    from console.session import cluster_sources

    config = chosen = None
    wrong = []
    try:
        config = configured(ctx)
        chosen = cluster_sources.choose(config, ctx.obj.cluster)
    except UserError as error:
        wrong = [examination.no_site(error)]
    plugins.collectors(), plugins.actions(), plugins.fields()
    report_left_out_plugins()
    report = examination.examine(chosen, config, wrong)
    if as_json:
        write_out(examination.as_json(report))
    else:
        tty = at_terminal(sys.stdout)
        width = shutil.get_terminal_size((80, 24)).columns if tty else 80
        text = examination.as_text(report, width, colour=tty and "NO_COLOR" not in os.environ)
        write_out(text.encode())
    ctx.exit(report.status)


@click.command()
@common_options
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Print the table of the keys in force."""
    from console.actions.registry import aligned, key_table
    from console.config.keymap import read_keys

    keymap = read_keys(configured(ctx).keys)
    for message in keymap.messages:
        click.echo(f"wacht: {message}", err=True)
    table = key_table(keymap.every())
    # Markdown is for documentation; a person at a terminal gets columns.
    write_out((aligned(table) if sys.stdout.isatty() else table).encode())
