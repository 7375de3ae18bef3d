"""The command `wacht report`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from .options import at_terminal, common_options, configured, plain, write_out


@click.command()
@click.option("--since", metavar="T", help="So long ago (8h), or at that moment (22:00); 12h by default.")
@click.option("--from", "begin", metavar="T", help="The same as --since, beside --to.")
@click.option("--to", "until", metavar="T", help="Up to then instead of now: 06:00, 2026-11-24T06:00.")
@click.option("--recording", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="From that recording alone; times count from its end.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("-o", "--output", "out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Into a new file (mode 0600) instead of printing it.")  # fmt: skip
@common_options
@click.pass_context
def report(
    ctx: click.Context, since: str | None, begin: str | None, until: str | None, recording: Path | None, as_json: bool,
    out: Path | None,
) -> None:  # fmt: skip
    """A shift report in Markdown: failures, actions and who took them, open problems, cost.

    Made from the journal, the recording of the consoles of this user, and one reading of every source.
    """
    from console.export.markdown import WIDTH
    from console.export.output_file import save
    from console.reports import rendering
    from console.reports.period import between
    from console.reports.reads import gather

    if since is not None and begin is not None:
        raise click.UsageError("--since and --from say the same: give one")
    sources = _sources(ctx, recording)
    try:
        span = between(sources.now, since if begin is None else begin, until)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    made = gather(sources, span)
    width = _width() if out is None else WIDTH
    text = rendering.as_json(made) if as_json else plain(rendering.as_markdown(made, width)).encode("utf-8", "replace")
    if out is None:
        write_out(text)
        return
    save(out, [text])
    click.echo(plain(f"the report of {span.text}: {out}"))


def _width() -> int:
    """The width of a line: that of the terminal if stdout is one."""
    from console.export.markdown import WIDEST, WIDTH

    return min(WIDEST, max(40, shutil.get_terminal_size((WIDTH, 24)).columns)) if at_terminal(sys.stdout) else WIDTH


def _sources(ctx: click.Context, recording: Path | None) -> Any:
    from collectors.files import exists
    from console.config.paths import journal_path
    from console.health.xid_policy import load_policy
    from console.ingest.node_naming import share_names
    from console.recording.location import recording_path
    from console.reports.reads import ReportSources, book_of, of_recording
    from console.session import cluster_sources, snapshot

    config = configured(ctx)
    policy = load_policy(config.xid_policy)
    if recording is not None:
        return of_recording(recording, policy)
    chosen, clock = cluster_sources.choose(config, ctx.obj.cluster), cluster_sources.system_clock()
    readers = [one for one in chosen.collectors() if one.name != "slurm.rights"]
    cluster = snapshot.take(chosen.name, readers, clock, chosen.demo)
    path = recording_path(chosen.name, config.recording)
    telemetry = chosen.telemetry()
    share_names(telemetry, cluster.nodes)
    return ReportSources(
        name=chosen.name, now=clock.now(), mono=clock.mono(), cluster=cluster,
        recording=path if config.recording.on and exists(path) else None,
        journal=lambda: book_of(journal_path(chosen.name, config), clock.now()), telemetry=telemetry,
        policy=policy,
    )  # fmt: skip
