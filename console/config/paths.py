"""Where wacht keeps what it writes for itself, the journals among it. Light: the console asks before it paints."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from .settings import Config


def state_folder() -> Path:
    """Where wacht keeps what it writes for itself: `$XDG_STATE_HOME/wacht`, by default in ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "wacht"


def default_path(cluster: str) -> Path:
    """Where a cluster's journal lies by default: `journal/CLUSTER.jsonl` in the folder of wacht's state."""
    return state_folder() / "journal" / f"{quote(cluster, safe='')}.jsonl"


def journal_path(cluster: str, config: Config) -> Path:
    """Where the journal of a cluster lies: the configured folder, else the default."""
    return Path(config.journal).expanduser() / f"{cluster}.jsonl" if config.journal else default_path(cluster)
