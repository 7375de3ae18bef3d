"""Checks the files that wacht reads and writes: their permissions, and the file systems they are on."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import console
from collectors import files as trust
from collectors import shared_readings
from collectors.bearer_token import read_token
from collectors.clean import clean
from collectors.model import SourceFault
from console.config.paths import journal_path
from console.config.settings import Config
from console.session.cluster_sources import ClusterSources

from .finding import Finding, FindingGroup
from .rights_check import more

#: File systems on which a hanging server blocks every write; the journal should be on a local disk.
_FAR = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "afs", "fuse.sshfs", "9p", "wekafs")
#: Least free bytes for the journal, whose lines are below 1 KB.
_FREE = 64 << 20


def findings(sources: ClusterSources | None, config: Config | None) -> list[Finding]:
    """Findings about every relevant file. Blocks as long as a file system hangs."""
    group = FindingGroup("Files")
    if config is not None:
        _configuration(group, config)
    _tokens(group, sources)
    if sources is not None and not sources.demo:
        _journal(group, journal_path(sources.name, config or Config()))
    shelf = shared_readings.own_folder()
    if shelf is not None and trust.exists(shelf):
        _own(group, "shelf", shelf)
    _program(group)
    return group.found


def _configuration(group: FindingGroup, config: Config) -> None:
    files = [Path(name) for name in config.files]
    files += [Path(config.xid_policy).expanduser()] if config.xid_policy else []
    if not files:
        group.note("configuration", "there is none: the Slurm on PATH alone is watched", "see the README for one")
    for file in files:
        wide = [path for path in (file, file.parent) if _others_write(path)]
        for path in wide:
            more(group, "writable", f"others can write {_path_text(path)}", path=str(path))
        if not wide:
            group.ok("configuration", f"{_path_text(file)}: others cannot write it")


def _tokens(group: FindingGroup, sources: ClusterSources | None) -> None:
    """Token files, by the rules that reading them applies. Slurm's own token is checked with the rights."""
    for key, chosen in (sources.others if sources is not None else {}).items():
        file = getattr(chosen, "token_file", None)
        if file is None:
            continue
        try:
            read_token(file)
        except SourceFault as error:
            group.bad("token", f"{key}: {error.fault.what}", error.fault.mend)
        else:
            group.ok("token", f"{key}: {_path_text(Path(file).expanduser())} is for its owner alone")


def _journal(group: FindingGroup, path: Path) -> None:
    folder = next(one for one in path.parents if trust.exists(one))
    figures = {"path": str(path.parent)}
    if not os.access(folder, os.W_OK | os.X_OK):
        group.warn("journal", f"{_path_text(folder)} cannot be written: only syslog's audit copy records actions",
                   "name another place, on a local disk: journal = \"…\" in the configuration", **figures)  # fmt: skip
        return
    kind = kind_of(folder, _mounts())
    if kind in _FAR:
        group.warn("journal",
                   f"{_path_text(folder)} lies on {kind}: when that hangs, so does each action for some seconds",
                   "name a place on a local disk: journal = \"…\" in the configuration", **figures)  # fmt: skip
    space = os.statvfs(folder)
    if (free := space.f_bavail * space.f_frsize) < _FREE:
        group.warn("journal", f"{_path_text(folder)} has {free >> 20} MB free", "make room", **figures)
    if path.parent == folder:
        _own(group, "journal", folder)
    else:
        group.ok("journal", f"there is none yet; it begins in {_path_text(path.parent)}", **figures)
    if not any(Path(one).exists() for one in ("/dev/log", "/run/systemd/journal/socket")):
        group.note("syslog", "there is no /dev/log: the journal is the only record of actions", "start a syslog daemon")


def _own(group: FindingGroup, name: str, path: Path) -> None:
    """A file or folder that only this user may read and write."""
    try:
        status = path.stat()
    except OSError as error:
        group.warn(name, f"{_path_text(path)}: {error.strerror}", "after su or sudo? name another place")
        return
    if status.st_mode & trust.TRUSTED:
        more(group, "writable", f"others can write {_path_text(path)}", path=str(path))
    elif status.st_mode & trust.SECRET:
        more(group, "readable", f"others can look into {_path_text(path)}", path=str(path))
    elif status.st_uid != os.geteuid():
        group.warn(name, f"{_path_text(path)} belongs to uid {status.st_uid}", "after su or sudo? name another place")
    else:
        group.ok(name, f"{_path_text(path)}: yours alone")


def _program(group: FindingGroup) -> None:
    """wacht itself: any account that can write it can act as its user; a setuid bit lets others act as another user."""
    started = Path(sys.argv[0])
    package = Path(console.__file__).parent
    good = True
    for path in {package, package.parent, started} if started.exists() else {package, package.parent}:
        if _others_write(path):
            good = False
            more(group, "writable", f"others can write {_path_text(path)}, of the program itself", path=str(path))
    for path in (started, Path(sys.executable)):
        if path.exists() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) and path.is_file():
            good = False
            more(group, "setuid", f"{_path_text(path)} has the bit", path=str(path))
    if good:
        group.ok("program", f"{_path_text(package.parent)}: others cannot write it")


def _others_write(path: Path) -> bool:
    """Whether other users (except root) can write or replace it."""
    try:
        if path.is_dir():
            trust.check_folder(path)
        else:
            trust.check(path, path.stat(), trust.TRUSTED)
    except trust.UntrustedFile:
        return True
    except OSError:
        return False
    return False


def kind_of(path: Path, mounts: list[tuple[str, str]]) -> str:
    """The type of the file system of a path, by the longest mount point above it."""
    above = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(above, key=lambda one: len(one[0]), default=("", "unknown"))[1]


def _mounts() -> list[tuple[str, str]]:
    try:
        return list(_parsed(Path("/proc/self/mounts").read_text("utf-8", "replace")))
    except OSError:
        return []


def _parsed(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) > 2:
            yield words[1].replace("\\040", " "), words[2]


def _path_text(path: Path) -> str:
    return clean(str(path))
