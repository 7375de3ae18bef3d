"""Screen classes by name, each imported when it is first needed: the first frame shows one of them."""

from __future__ import annotations

from console.actions.action import Kind
from console.screens.layout.screen import Inspection, WachtScreen


def view(name: str) -> type[WachtScreen]:
    """The class of the screen that `:NAME` and `--screen NAME` show (console.config.commands.SCREENS). Raises
    KeyError."""
    match name:
        case "overview":
            from console.screens.overview import OverviewScreen

            return OverviewScreen
        case "nodes":
            from console.screens.nodes import NodesScreen

            return NodesScreen
        case "jobs":
            from console.screens.jobs import JobsScreen

            return JobsScreen
        case "gpus":
            from console.screens.gpus import GpusScreen

            return GpusScreen
        case "power":
            from console.screens.power import PowerScreen

            return PowerScreen
        case "inbox":
            from console.screens.inbox import InboxScreen

            return InboxScreen
        case "alerts":
            from console.screens.alerts import AlertsScreen

            return AlertsScreen
        case "partitions":
            from console.screens.partitions import PartitionsScreen

            return PartitionsScreen
        case "accounts":
            from console.screens.accounts import AccountsScreen

            return AccountsScreen
        case "journal":
            from console.screens.journal import JournalScreen

            return JournalScreen
        case "control":
            from console.screens.control import ControlScreen

            return ControlScreen
        case "domains":
            from console.screens.domains import DomainsScreen

            return DomainsScreen
        case "cooling":
            from console.screens.cooling import CoolingScreen

            return CoolingScreen
        case "fabric":
            from console.screens.fabric import FabricScreen

            return FabricScreen
        case "storage":
            from console.screens.storage import StorageScreen

            return StorageScreen
        case "clusters":
            from console.screens.clusters import ClustersScreen

            return ClustersScreen
        case "handover":
            from console.screens.handover import HandoverScreen

            return HandoverScreen
    raise KeyError(name)


def make(name: str) -> WachtScreen:
    """A new screen by its name."""
    return view(name)()


def inspection(kind: Kind, key: str) -> Inspection:
    """The inspection screen of a node or a job."""
    if kind == "node":
        from console.screens.node import NodeScreen

        return NodeScreen(key)
    from console.screens.job import JobScreen

    return JobScreen(key)


def rest() -> None:
    """Import in a thread, after the start, what keys need later, so that no key waits for an import."""
    from console.actions import option_parsing, targets  # noqa: F401
    from console.journal import undo  # noqa: F401
    from console.screens import help, job, node  # noqa: F401
    from console.session import site_gate  # noqa: F401

    from . import confirm_dialog, palette_screen  # noqa: F401


def help_screen(about: WachtScreen, refused: dict[str, str | None]) -> WachtScreen:
    """The help for the screen `about`; `refused` maps an action to why it is refused now."""
    from console.screens.help import HelpScreen

    return HelpScreen(about, refused)
