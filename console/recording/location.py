"""Where recordings lie and how much they keep. Light: the console asks before it paints anything."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from console.config.paths import state_folder
from console.config.settings import RecordingSettings
from console.session.site import Site


class Bounds(Struct, frozen=True, kw_only=True):
    """How much is kept, whichever is less."""

    keep_s: float
    size: int
    """Bytes of the file."""


def bounds_of(chosen: RecordingSettings) -> Bounds:
    """What the configuration says."""
    return Bounds(keep_s=chosen.hours * 3600, size=chosen.max_mb << 20)


def default_path(cluster: str, chosen: RecordingSettings) -> Path:
    """The recording that the consoles of this user write: `$XDG_STATE_HOME/wacht/recordings/CLUSTER.wacht`, by default
    in ~/.local/state, or in the folder that is configured."""
    folder = Path(chosen.path).expanduser() if chosen.path else state_folder() / "recordings"
    return folder / f"{quote(cluster, safe='')}.wacht"


def recording_target(site: Site, chosen: RecordingSettings) -> tuple[Path, Bounds] | None:
    """What a console of this site records into; None where it does not: it is switched off, or shows a recording, or
    one node with its driver alone, of which a minute is no incident."""
    if not chosen.on or site.recorded or "nvml" in site.others:
        return None
    return default_path(site.name, chosen), bounds_of(chosen)
