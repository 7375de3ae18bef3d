"""Where wacht keeps its own files, the journals among them. Imports little: the console needs it before its first
frame.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from .settings import Config


def state_folder() -> Path:
    """The state folder: `$XDG_STATE_HOME/wacht`, by default `~/.local/state/wacht`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "wacht"


def default_journal_path(cluster: str) -> Path:
    """The default path of a cluster's journal: `journal/CLUSTER.jsonl` in the state folder."""
    return state_folder() / "journal" / f"{quote(cluster, safe='')}.jsonl"


def journal_path(cluster: str, config: Config) -> Path:
    """The path of a cluster's journal: in the configured folder, else the default."""
    return Path(config.journal).expanduser() / f"{cluster}.jsonl" if config.journal else default_journal_path(cluster)
