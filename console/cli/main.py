"""The entry point of the command line. Imports as little as possible: `wacht snapshot` must start about as fast as
squeue.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec

from collectors.sim import INCIDENTS, SimSettings
from console import __version__
from console.runtime import log
from console.runtime.errors import UserError

from .options import (
    Common,
    common_options,
    configured,
    discard_stdout,
    flush,
    open_console,
    plain,
    report_left_out_plugins,
    sim_options,
    write_out,
)


class Lazy(click.Group):
    """Imports a command only when it is called, so that the console does not wait for commands that it does not run."""

    _ELSEWHERE = ("act", "journal", "node", "doctor", "keys", "completion", "record", "replay", "report")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands by name."""
        return sorted([*self.commands, *self._ELSEWHERE])

    def invoke(self, ctx: click.Context) -> Any:
        """A closed pipe ends any command as SIGPIPE would. click would exit with 1, which already means failed sources
        for a snapshot and a broken chain for the journal.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_stdout()
            sys.exit(141)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; None when there is none."""
        match cmd_name:
            case "act" | "journal":
                from . import act_command

                return act_command.act if cmd_name == "act" else act_command.journal
            case "node" | "doctor" | "keys":
                from . import look_commands

                return {"node": look_commands.node, "doctor": look_commands.doctor, "keys": look_commands.keys}[
                    cmd_name
                ]
            case "record" | "replay":
                from . import record_commands

                return record_commands.record if cmd_name == "record" else record_commands.replay
            case "report":
                from . import report_command

                return report_command.report
            case "completion":
                from . import completion_command

                return completion_command.completion
        return super().get_command(ctx, cmd_name)


@click.group(cls=Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wacht")
@common_options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Watch a GPU supercomputer and act on it safely. Without a command: the console."""
    ctx.ensure_object(Common)
    if ctx.invoked_subcommand is None:
        from console.session.cluster_sources import choose, other_clusters

        config = configured(ctx)
        chosen = choose(config, ctx.obj.cluster)
        open_console(ctx, config, chosen, others=other_clusters(config, chosen))


@cli.command()
@sim_options
@click.option("--incident", type=click.Choice(sorted(INCIDENTS)), help="What goes wrong after half a minute.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Of time there.")
@click.option("--nvl72", is_flag=True, help="Racks of 18 trays with 4 GPUs, each an NVLink domain.")
@click.option("--clusters", type=click.IntRange(1, 9), default=1, show_default=True, help="So many, to go between.")
@common_options
@click.pass_context
def demo(
    ctx: click.Context, nodes: int, jobs: int | None, seed: int, incident: str | None, speed: float, nvl72: bool,
    clusters: int,
) -> None:  # fmt: skip
    """The console on the simulated cluster; needs no service."""
    from console.session import cluster_sources

    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed, incident=incident, speed=speed, nvl72=nvl72)
    others = [cluster_sources.demo(settings, at) for at in range(1, clusters)]
    # Runs are independent: journal and recording are deleted at the end.
    with TemporaryDirectory(prefix="wacht-demo-", ignore_cleanup_errors=True) as own:
        config = configured(ctx)
        kept = msgspec.structs.replace(config.recording, path=own)
        config = msgspec.structs.replace(config, journal=own, recording=kept)
        open_console(ctx, config, cluster_sources.demo(settings), others=others)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--demo", "on_demo", is_flag=True, help="Of the simulated cluster.")
@sim_options
@common_options
@click.pass_context
def snapshot(ctx: click.Context, as_json: bool, on_demo: bool, nodes: int, jobs: int | None, seed: int) -> None:
    """Read every configured source once and print. Exit 0 all good, 1 some failed, 2 none."""
    from console.session import cluster_sources
    from console.session import snapshot as shot

    config = configured(ctx)
    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed)
    chosen = cluster_sources.demo(settings) if on_demo else cluster_sources.choose(config, ctx.obj.cluster)
    clock = cluster_sources.system_clock()
    # Rights are no facts of the machine.
    sources = [one for one in chosen.collectors() if one.name != "slurm.rights"]
    cluster = shot.take(chosen.name, sources, clock, chosen.demo)
    report_left_out_plugins()
    write_out(shot.as_json(cluster, clock) if as_json else (shot.as_text(cluster, clock) + "\n").encode())
    ctx.exit(shot.exit_code(cluster))


def main() -> None:
    """Entry point: an expected error becomes one plain message and exit 2."""
    if (printed := getattr(sys.stdout, "reconfigure", None)) is not None:
        # In a locale without UTF-8, unsupported characters are escaped: they must not end the command.
        printed(errors="backslashreplace")
    try:
        Path.home()
    except RuntimeError:
        # Without HOME and without an account entry (a container with an arbitrary uid): nothing is read from a home,
        # and writes there are refused with the path named.
        os.environ["HOME"] = "/nonexistent"
    try:
        # click returns the code of ctx.exit, it does not raise it.
        code = cli(prog_name="wacht", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except UserError as error:
        click.echo(f"wacht: {plain(str(error))}", err=True)
        sys.exit(2)
    except Exception as error:
        from console.session import crash

        click.echo(crash.crash_message([error], "the command"), nl=False, err=True)
        sys.exit(1)
    finally:
        flush()
        log.info("wacht", "ends")
        log.end()
        if why := log.unreported_fault():
            click.echo(f"wacht: {plain(why)}", err=True)
