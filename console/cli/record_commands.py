"""Commands of the flight recorder: record without a screen, replay, and cut out an incident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from collectors.sim import INCIDENTS, SimSettings

from .options import common_options, configured, open_console, plain, sim_options


class _Checked(click.ParamType):  # type: ignore[type-arg]
    """A parameter that a function of `console.recording.moments` parses."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from console.recording import moments

        try:
            return moments.parse_length(value) if self.name == "T" else moments.parse_moment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_LASTING, _MOMENT = _Checked("T"), _Checked("MOMENT")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--for", "lasting", type=_LASTING, metavar="T", help="End after so long (10s, 5m, 24h, 7d).")
@click.option("--keep", type=_LASTING, metavar="T", help="Keep so much; by default as long as --for, or 24h.")
@click.option("--max-mb", type=click.IntRange(8), metavar="N", help="The file is never larger; 512 by default.")
@click.option("--publish", type=click.Path(readable=False, path_type=Path), metavar="FOLDER",
              help="Leave each reading of Slurm there for the consoles of other users (`published`).")  # fmt: skip
@click.option("--group", metavar="NAME", help="Whose members can read what is published.")
@click.option("--demo", "on_demo", is_flag=True, help="Of the simulated cluster.")
@click.option("--incident", type=click.Choice(sorted(INCIDENTS)), help="With --demo: what goes wrong there.")
@sim_options
@common_options
@click.pass_context
def record(
    ctx: click.Context, file: Path, lasting: int | None, keep: int | None, max_mb: int | None, publish: Path | None,
    group: str | None, on_demo: bool, incident: str | None, nodes: int, jobs: int | None, seed: int,
) -> None:  # fmt: skip
    """Record what a console would read into FILE, without a screen, until it is interrupted."""
    from console.recording import headless
    from console.recording.location import Bounds
    from console.session import cluster_sources

    config = configured(ctx)
    settings = SimSettings(nodes=nodes, jobs=jobs, seed=seed, incident=incident)
    chosen = cluster_sources.demo(settings) if on_demo else cluster_sources.choose(config, ctx.obj.cluster)
    bounds = Bounds(
        keep_s=keep or lasting or config.recording.hours * 3600, size=(max_mb or config.recording.max_mb) << 20
    )
    ctx.exit(
        headless.run(
            chosen, config, file, bounds, lasting, publish=publish, group=group,
            say=lambda line: click.echo(f"wacht: {plain(line)}", err=True),
        )
    )  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--at", type=_MOMENT, metavar="T", help="Begin there: 2026-11-24T03:12:07+01:00, 03:12, or -15m.")
@click.option("--cut", "out", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT",
              help="Write a part of it to OUT, and show nothing.")  # fmt: skip
@click.option("--from", "since", type=_MOMENT, metavar="T", help="Of the part: where it begins.")
@click.option("--to", "until", type=_MOMENT, metavar="T", help="Of the part: where it ends.")
@click.option("--mask-users", is_flag=True, help="Of the part: other names for users, accounts and jobs.")
@common_options
@click.pass_context
def replay(ctx: click.Context, file: Path, at: Any, out: Path | None, since: Any, until: Any, mask_users: bool) -> None:
    """Play a recording on the same screens, at any moment of it; nothing can be changed from there."""
    if out is not None:
        from console.recording.cut import cut

        click.echo(plain(cut(file, out, since, until, mask=mask_users)))
        return
    if since is not None or until is not None or mask_users:
        raise click.UsageError("--from, --to and --mask-users say what --cut OUT takes")
    from console.recording.replay_site import replay_site

    config = configured(ctx)
    begin = None if at is None else lambda recording: at(recording, None)
    open_console(ctx, config, replay_site(file, begin))
