"""Records without a screen, for a site, and optionally publishes the readings in a folder."""

from __future__ import annotations

import grp
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from collectors.clock import SystemClock
from collectors.model import Cluster, Collector, Diff
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import SharedSlurmSource
from console.config.paths import journal_path
from console.config.settings import Config
from console.ingest.poller import Poller
from console.runtime.errors import UserError
from console.session.cluster_sources import ClusterSources

from .location import Bounds
from .recorder import Recorder

#: Seconds between two checks of the recorder.
_LOOK_S = 1.0


class CannotPublish(UserError):
    """Readings cannot be published; the message says why and what to do."""


def run(
    sources: ClusterSources, config: Config, path: Path, bounds: Bounds, lasting: float | None, *, publish: Path | None,
    group: str | None, say: Callable[[str], None],
) -> int:  # fmt: skip
    """Record for `lasting` seconds (None: until stopped), or until SIGINT or SIGTERM.

    Returns the exit status: 0 when everything read was recorded, 1 when it could not be for a while. Raises
    RecordingFault and CannotPublish before it starts.
    """
    clock = SystemClock()
    collectors = sources.collectors()
    if group is not None and publish is None:
        raise CannotPublish("--group is for --publish FOLDER")
    if publish is not None:
        publish_to(publish, group, sources, collectors)
    recorder = Recorder(path, bounds, clock, journal_path(sources.name, config))
    recorder.open()
    recorder.start()
    failed: set[str] = set()

    def published(cluster: Cluster, diff: Diff) -> None:
        recorder.offer(cluster, diff)
        for name, source in cluster.sources.items():
            if source.fault is not None and name not in failed:
                say(f"{name}: {source.fault}")
            (failed.add if source.fault is not None else failed.discard)(name)

    poller = Poller(sources.name, collectors, clock, published, sources.demo)
    ended = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: ended.set())
    say(f"recording {sources.name} into {path}" + (f", published in {publish}" if publish is not None else ""))
    poller.start()
    until, reported, code = None if lasting is None else clock.mono() + lasting, "", 0
    while not ended.wait(_LOOK_S if until is None else max(0.0, min(_LOOK_S, until - clock.mono()))):
        if recorder.trouble != reported:
            reported = recorder.trouble
            say(f"not recorded: {reported}" if reported else "recorded again")
            code = 1
        if until is not None and clock.mono() >= until:
            break
    poller.stop()
    recorder.stop(timeout_s=30.0)
    return 1 if recorder.trouble else code


def publish_to(folder: Path, group: str | None, sources: ClusterSources, collectors: Sequence[Collector]) -> None:
    """Make these sources publish every reading in a folder that a group can read. Raises CannotPublish."""
    lent = [one for one in collectors if isinstance(one, SharedSlurmSource)]
    if not lent or not isinstance(sources.slurm, SlurmSettings):
        raise CannotPublish('only what Slurm\'s commands print can be published: slurm = { transport = "cli" }')
    try:
        gid = grp.getgrnam(group).gr_gid if group is not None else None
    except KeyError:
        raise CannotPublish(f"this host knows no group {group}") from None
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700)
            if gid is not None:
                os.chown(folder, -1, gid)
            # setgid: new files get the folder's group, whatever group the recorder has.
            folder.chmod(0o2750)
        status = folder.stat()
    except OSError as error:
        raise CannotPublish(f"{folder}: {error.strerror}") from None
    wrong = ""
    if not folder.is_dir() or folder.is_symlink() or status.st_uid not in (os.geteuid(), 0):
        wrong = "it is no folder of this account's or root's"
    elif status.st_mode & 0o022:
        wrong = "others can write there, so no console will trust it"
    elif gid is not None and (status.st_gid != gid or not status.st_mode & 0o2000):
        wrong = f"what is put there does not belong to the group {group}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        wrong = "this account cannot write there"
    if wrong:
        name = group or "GROUP"
        raise CannotPublish(f"{folder}: {wrong}; make it with: install -d -o ACCOUNT -g {name} -m 2750 {folder}")
    for one in lent:
        one.shared_cache.publish(folder)
