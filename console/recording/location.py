"""Where recordings are stored, and how much they keep. Imports little: the console needs it before its first frame."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from console.config.paths import state_folder
from console.config.settings import RecordingSettings
from console.session.cluster_sources import ClusterSources


class Bounds(Struct, frozen=True, kw_only=True):
    """The limits of a recording; the lower one applies."""

    keep_s: float
    size: int
    """Largest size of the file in bytes."""


def bounds_of(chosen: RecordingSettings) -> Bounds:
    """The limits from the configuration."""
    return Bounds(keep_s=chosen.hours * 3600, size=chosen.max_mb << 20)


def recording_path(cluster: str, chosen: RecordingSettings) -> Path:
    """The recording written by this user's consoles: `CLUSTER.wacht` in the configured folder, by default
    `$XDG_STATE_HOME/wacht/recordings`.
    """
    folder = Path(chosen.path).expanduser() if chosen.path else state_folder() / "recordings"
    return folder / f"{quote(cluster, safe='')}.wacht"


def recording_target(sources: ClusterSources, chosen: RecordingSettings) -> tuple[Path, Bounds] | None:
    """The file and limits for a console of this site. None when it does not record: recording is off, the site is a
    recording, or a single node with only its driver.
    """
    if not chosen.on or sources.recorded or "nvml" in sources.others:
        return None
    return recording_path(sources.name, chosen), bounds_of(chosen)
