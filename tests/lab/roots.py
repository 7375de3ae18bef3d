"""Find or make the root file system of one Slurm version: a Debian release with its own Slurm, munge and Prometheus.

A root is made once per machine (about 20 s, 480 MB) under `$XDG_CACHE_HOME/wacht/lab/SUITE` and shared by all labs of
that suite; everything that a lab writes lies in its own `/lab/NAME` inside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITES = {"trixie": "24.11", "forky": "26.05"}
"""Debian suite to the Slurm version that it carries."""

PACKAGES = (
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurmrestd",
    "slurm-wlm-jwt-plugin",
    "slurmdbd",
    "mariadb-server-core",  # the server alone; its scripts and clients are not needed
    "munge",
    "prometheus",
    "prometheus-alertmanager",
)
USERS = {"root": 0, "alice": 2001, "bob": 2002, "carol": 2003}
"""Who can submit: root and three unprivileged users, each with a group of the same number. In a lab with accounting
bob is an Operator and carol an Administrator."""

LAYOUT = 2
"""Raise it when `_finish` changes what lies in a root: an older root is then rebuilt."""

_STAMP = "etc/wacht-root.json"
_HOST_TOOLS = ("chroot", "unshare", "nsenter", "mount")


class LabError(RuntimeError):
    """The lab cannot be made or started; the message says why in plain words."""


def cache_dir() -> Path:
    """Where roots, locks and the command wrappers lie."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "wacht" / "lab"


def lab_unsupported() -> str | None:
    """Why this machine cannot have a lab, in plain words, or None when it can."""
    if os.uname().sysname != "Linux":
        return "a lab needs Linux"
    if os.geteuid() != 0:
        return "a lab needs root (for chroot, device files and namespaces)"
    missing = [tool for tool in _HOST_TOOLS if shutil.which(tool) is None]
    if missing:
        return f"a lab needs {', '.join(missing)} (coreutils and util-linux)"
    if shutil.which("mmdebstrap") is None and shutil.which("apt-get") is None:
        return "a lab needs Debian's apt, to make the root file system that holds Slurm"
    tried = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--uts", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        return f"this machine allows no new namespaces ({tried.stderr.strip()})"
    return _devices_unsupported()


def _devices_unsupported() -> str | None:
    """A GRES needs character devices that can be opened: try one where the roots will lie."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".try-", dir=cache_dir()) as folder:
        device = Path(folder, "null")
        try:
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            device.write_bytes(b"")
        except OSError as error:
            return f"this machine allows no device files under {cache_dir()} ({error.strerror})"
    return None


def root_of(suite: str) -> Path:
    """The ready root of a suite, made now if it is missing or of another layout. Raises LabError."""
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite!r}: there is {', '.join(SUITES)}")
    root = cache_dir() / suite
    if _is_ready(root):
        return root
    with locked(f"{suite}.lock"):
        if _is_ready(root):  # another builder was faster
            return root
        if _adoptable(root):
            _finish(root)
        else:
            _spare_the_living(suite)
            _build(suite, root)
    return root


def add_to(suite: str, package: str, *programs: str) -> Path:
    """The ready root of a suite with these programs of a package that not every lab needs, fetched now if missing.

    Copied, not installed: no script of the package runs, nothing is rebuilt, and labs that live in the root notice
    nothing. Raises LabError, also where a program does not run on what the root holds.
    """
    root = root_of(suite)
    wanted = [root / "usr/bin" / program for program in programs]
    if all(path.exists() for path in wanted):
        return root
    with locked(f"{suite}.lock"), tempfile.TemporaryDirectory(prefix=f".{package}-", dir=cache_dir()) as folder:
        unpacked = fetch(root, Path(folder), package)
        for path in wanted:
            fresh = path.with_name(f"{path.name}.new")
            shutil.copy2(unpacked / "usr/bin" / path.name, fresh)
            tried = ["chroot", str(root), f"/usr/bin/{fresh.name}", "--version"]
            ran = subprocess.run(tried, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                fresh.unlink()
                raise LabError(f"{path.name} does not run in {suite}: {_tail(ran.stderr)}")
            fresh.rename(path)
    return root


def fetch(root: Path, folder: Path, *packages: str) -> Path:
    """Fetch packages with this machine's apt from the root's own sources; returns where they lie unpacked."""
    for child in ("lists/partial", "archives/partial"):
        (folder / child).mkdir(parents=True)
    (folder / "status").touch()
    settings = {
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc::sourcelist": root / "etc/apt/sources.list",
        "Dir::Etc::sourceparts": root / "etc/apt/sources.list.d",
        "Dir::Etc::trustedparts": root / "etc/apt/trusted.gpg.d",
        "APT::Sandbox::User": "root",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(f"--option={key}={value}" for key, value in settings.items())]
    for words in (["update"], ["download", *packages]):
        done = subprocess.run([*apt, *words], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"apt-get {' '.join(words)} failed: {_tail(done.stderr)}")
    unpacked = folder / "unpacked"
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, unpacked], check=True)
    return unpacked


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock file of the cache: one builder, one allotment of ports at a time, freed when the holder dies."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _wanted() -> dict[str, object]:
    return {"layout": LAYOUT, "packages": list(PACKAGES), "users": USERS}


def _is_ready(root: Path) -> bool:
    try:
        return bool(json.loads((root / _STAMP).read_text()) == _wanted())
    except (OSError, ValueError):
        return False


def _adoptable(root: Path) -> bool:
    """A root without a stamp that has all packages was made by hand with the same command: keep it."""
    if (root / _STAMP).exists() or not os.path.lexists(root / "usr/sbin/slurmctld"):
        return False
    asked = subprocess.run(
        ["chroot", str(root), "dpkg-query", "-W", "-f", "${Status}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = asked.stdout.count("install ok installed")
    return asked.returncode == 0 and installed == len(PACKAGES)


def _spare_the_living(suite: str) -> None:
    """A root is not thrown away under labs that run in it."""
    from .place import all_labs

    names = [lab.name for lab in all_labs() if lab.suite == suite and lab.alive()]
    if names:
        raise LabError(f"the root of {suite} has to be made anew, but labs run in it: end {', '.join(names)} first")


def _build(suite: str, root: Path) -> None:
    """Make the root beside its place and move it there whole, so that a killed build leaves nothing half made."""
    _install_mmdebstrap()
    for leftover in root.parent.glob(f".{suite}-*"):  # of a builder that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=f".{suite}-", dir=root.parent))
    making.chmod(0o755)
    command = ["mmdebstrap", "--variant=apt", f"--include={','.join(PACKAGES)}"]
    if suite == "forky":  # a rolling suite: a mirror a few days behind is still good
        command.append('--aptopt=Acquire::Check-Valid-Until "false"')
    made = subprocess.run([*command, suite, str(making)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise LabError(f"mmdebstrap could not make {suite}: {_tail(made.stderr)}")
    _finish(making)
    if root.exists():
        old = making.with_name(making.name + ".old")
        root.rename(old)
        making.rename(root)
        shutil.rmtree(old, ignore_errors=True)
    else:
        making.rename(root)


def _finish(root: Path) -> None:
    """Add what a lab expects in every root (users, hosts, directories), the stamp last."""
    passwd, group = root / "etc/passwd", root / "etc/group"
    for name, uid in USERS.items():
        if f"\n{name}:" not in "\n" + passwd.read_text():
            with passwd.open("a") as users, group.open("a") as groups:
                users.write(f"{name}:x:{uid}:{uid}:{name}:/home/{name}:/bin/bash\n")
                groups.write(f"{name}:x:{uid}:\n")
        if uid:
            home = root / "home" / name
            home.mkdir(parents=True, exist_ok=True)
            os.chown(home, uid, uid)
    # labctl is the name that each lab's own UTS namespace gives to the "machine" that all its daemons run on.
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost labctl {os.uname().nodename}\n")
    (root / "lab").mkdir(mode=0o755, exist_ok=True)
    stamp = root / _STAMP
    fresh = stamp.with_suffix(".new")
    fresh.write_text(json.dumps(_wanted()))
    fresh.rename(stamp)


def _install_mmdebstrap() -> None:
    if shutil.which("mmdebstrap"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "mmdebstrap"]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            raise LabError(f"{' '.join(command)} failed: {_tail(done.stderr)}")


def _tail(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:])
