"""`:vendor`: a vendor's ticket of one node, put together by a thread, for a file or the clipboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from collectors.model import SourceFault
from console.config.commands import CommandError
from console.export.vendor_ticket import Case, as_markdown
from console.journal import past_actions
from console.journal.chain import JournalFault
from console.screens.layout.screen import WachtScreen

from .export_dialog import CLIPBOARD, Chunks, ExportJob, begin

if TYPE_CHECKING:
    from console.screens.layout.app_port import ConsoleApp

DAYS_S = 90 * 86_400
_JOBS = 20


def vendor(app: ConsoleApp, file: str = CLIPBOARD, *, over: bool = False) -> None:
    """Of the one node under the cursor. Raises CommandError."""
    screen = app.screen
    names = screen.targets("node") if isinstance(screen, WachtScreen) else ()
    if len(names) != 1:
        raise CommandError("a vendor's ticket is of one node: put the cursor on it")
    begin(app, ExportJob(f"vendor-{names[0]}", "md", _made(app, names[0])), file, over)


def _made(app: ConsoleApp, node: str) -> Callable[[], tuple[Chunks, str]]:
    at, cluster, policy, now, journal = app.session, app.cluster, app.policy, app.clock.now(), app.journal

    def make() -> tuple[Chunks, str]:
        lacks: list[str] = []

        def had(what: str, read: Callable[[], Any], none: Any) -> Any:
            try:
                return read()
            except (SourceFault, JournalFault) as error:
                lacks.append(f"{what}: {error.fault if isinstance(error, SourceFault) else error}")
                return none

        since = int(now - DAYS_S)
        case = Case(
            node=node, cluster=cluster, now=now, policy=policy,
            gpus=tuple(had("GPUs", lambda: at.telemetry.gpus([node]).get(node, ()), ())),
            acts=tuple(
                had("what was done from here", lambda: past_actions.on_target(node, journal.lines(), "node"), ())
            ),
            events=tuple(had("events", lambda: at.ledger.events_of_node(node, since), ())),
            jobs=tuple(had("last jobs", lambda: at.ledger.jobs_of_node(node, since, _JOBS), ())),
            lacks=tuple(lacks),
        )  # fmt: skip
        return [as_markdown(case).encode("utf-8", "replace")], f"the ticket of {node}"

    return make
