"""Shell completion: its scripts, and the names that only this site has.

Completion reads the configuration and wacht's own tables. It never queries Slurm or a service: a Tab must not load the
machine.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from console.config.settings import load
from console.runtime.errors import UserError

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, root: click.Command) -> str:
    """The script that a shell sources to complete `wacht`."""
    made = get_completion_class(shell)
    assert made is not None
    completer = made(root, {}, "wacht", "_WACHT_COMPLETE")
    # Not `source()`: click would start bash to read its version.
    return completer.source_template % completer.source_vars()


def offered(what: str | None, ctx: click.Context, begun: str) -> list[CompletionItem]:
    """Completions of the option or argument `what`. A broken configuration offers none; the command itself will report
    it.
    """
    found: Iterable[tuple[str, str | None]] = ()
    match what:
        case "cluster":
            try:
                found = [(name, None) for name in load(getattr(ctx.obj, "config", None)).clusters]
            except (UserError, OSError):
                return []
        case "theme":
            from themes import themes

            found = [(name, None) for name in themes()]
        case "action":
            from console.actions.registry import ACTIONS

            found = [*((one.id, f"{one.kind}: {one.help}") for one in ACTIONS), ("undo", "take an action back")]
    return [CompletionItem(name, help=said) for name, said in found if name.startswith(begun)]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what completes wacht in a shell, as in: eval "$(wacht completion bash)". For fish: | source."""
    click.echo(script(shell, ctx.find_root().command))
