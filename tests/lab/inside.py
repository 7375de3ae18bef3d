"""wacht inside a lab's root, as one of its users: the paths, accounts and commands are those that the jobs have.

The root is laid under a layer of one process's own (overlayfs in a mount namespace): what a test adds there (sudo, its
rules, passwords, mounts that hang) nobody else sees, and it is gone with the process. This Python, with its libraries
and the four packages of wacht, is bound in; the lab's own directory lies where its daemons have it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

from .roots import USERS, LabError, cache_dir, fetch, locked, root_of
from .slurm import Lab

#: Where wacht lies inside, and the libraries of this machine that the root has not.
WACHT, LIBRARIES = "/opt/wacht", "/opt/lib"
#: Modules of the standard library that are linked to libraries of the machine's.
_LINKED = ("_ctypes", "_ssl", "_sqlite3", "_bz2", "_lzma", "zlib")


def layer(suite: str, name: str, *packages: str) -> Path:
    """Packages that not every lab needs, unpacked in a folder of their own, once a machine. Raises LabError."""
    root, made = root_of(suite), cache_dir() / f"{suite}+{name}"
    if not made.is_dir():
        with locked(f"{suite}.lock"), tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache_dir()) as folder:
            if not made.is_dir():
                fetch(root, Path(folder), *packages).rename(made)
    return made


class Inside:
    """The root of a living lab with layers over it: `run` starts anything there, `wacht` and `python` this program."""

    def __init__(self, lab: Lab, *layers: Path) -> None:
        self._lab, self._layers = lab, layers
        self._holder: subprocess.Popen[str] | None = None
        self._at = ""

    def start(self) -> Inside:
        """Raises LabError."""
        self._at = tempfile.mkdtemp(prefix="wacht-inside-")
        script = "\n".join(["set -e", *self._mounts(), "echo ready", "exec cat"])
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            said = self._holder.stderr.read().strip()
            self.stop()
            raise LabError(f"no layer over {self._lab.root}: {said}")
        return self

    def stop(self) -> None:
        """End it; the mounts go with it."""
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.communicate()
        with contextlib.suppress(OSError):
            Path(self._at).rmdir()

    def __enter__(self) -> Inside:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _mounts(self) -> Iterator[str]:
        at, root = self._at, f"{self._at}/root"
        lower = ":".join(map(str, (*self._layers, self._lab.root)))
        yield f"mount -t tmpfs -o mode=0755 tmpfs {at}"
        yield f"mkdir {at}/up {at}/work {root}"
        yield f"mount -t overlay overlay -o lowerdir={lower},upperdir={at}/up,workdir={at}/work {root}"
        yield f"mount -t proc proc {root}/proc"
        yield f"chmod 755 {root}/root"  # this Python may lie in the home of root
        # Package by package: the checkout itself may lie in a folder that nobody else can look into.
        binds = {str(ROOT / name): f"{WACHT}/{name}" for name in ("collectors", "console", "themes", "widgets")}
        base = Path(sys.base_prefix)
        own = [Path(sysconfig.get_path("stdlib")), Path(sys.executable).resolve()] if base == Path("/usr") else [base]
        binds |= {str(path): str(path) for path in (*own, sys.prefix)}
        binds[str(self._lab.folder)] = self._lab.state.place
        binds |= {str(path): f"{LIBRARIES}/{path.name}" for path in self._libraries()}
        for source, target in binds.items():
            if Path(source).is_dir():
                yield f"mkdir -p {root}{target}"
            else:
                yield f"mkdir -p {root}{Path(target).parent}; touch {root}{target}"
            yield f"mount --rbind {source} {root}{target}"

    def _libraries(self) -> set[Path]:
        """What modules of this Python are linked to and the root does not hold."""
        built = Path(sysconfig.get_path("platstdlib"), "lib-dynload")
        files = [str(file) for name in _LINKED for file in built.glob(f"{name}.*.so")]
        told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
        found = {Path(word) for line in told.splitlines() for word in line.split()[2:3] if word.startswith("/")}
        return {one for one in found if not list(self._lab.root.glob(f"usr/lib/*/{one.name}"))}

    # -- use ----------------------------------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """A path in there as this process can reach it: through the holder's eyes."""
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{self._at}/root{path}")

    def outside(self, path: str) -> Path:
        """The same for what `enter` starts."""
        return Path(f"{self._at}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of root's, in the layer."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def enter(self) -> list[str]:
        """What runs a command in the mount namespace, outside of the root."""
        assert self._holder is not None
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    def argv(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """How a command is started there, as this user with the groups that /etc/group gives."""
        return [*self.enter(), "chroot", *self._as(user), f"{self._at}/root", *argv]

    def _as(self, user: str) -> list[str]:
        if user == "root":
            return []
        groups = [line.split(":") for line in self.path("/etc/group").read_text().splitlines()]
        gids = [str(USERS[user]), *(gid for _, _, gid, members in groups if user in members.split(","))]
        return [f"--userspec={USERS[user]}:{USERS[user]}", f"--groups={','.join(gids)}"]

    def environment(self, user: str = "root", **more: str) -> dict[str, str]:
        """What a login there would give, and where wacht's Python finds itself."""
        home = "/root" if user == "root" else f"/home/{user}"
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "USER": user, "LC_ALL": "C.UTF-8",
                "PYTHONPATH": WACHT, "LD_LIBRARY_PATH": LIBRARIES, **more}  # fmt: skip

    def run(
        self, argv: Sequence[str], user: str = "root", *, timeout: float = 60, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        return subprocess.run(
            self.argv(argv, user), env=self.environment(user, **more), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="surrogateescape", timeout=timeout, check=False,
        )  # fmt: skip

    def python(self, script: str, *words: str, user: str, **more: str) -> Any:
        """What a script of this Python prints there, which is JSON. Raises LabError where it fails."""
        done = self.run([sys.executable, "-c", script, *words], user, **more)
        if done.returncode != 0:
            raise LabError(f"exit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout)

    def wacht(self, *words: str, user: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The command line."""
        return self.run([sys.executable, "-c", "from console.cli.main import main; main()", *words], user, **more)
