"""The two slurmrestd of a lab: one on a unix socket (rest_auth/local), one on a port with tokens (rest_auth/jwt).

On the socket it acts as the user it runs as, for that user and for root; on the port as whoever the token is for. They
run as carol, whom a lab with accounting makes an Administrator. One daemon cannot do both: with SLURM_JWT set it speaks
to the controller with tokens alone, without it it has none to hand on.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket as socketlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from . import place
from .roots import USERS, LabError

if TYPE_CHECKING:
    from .slurm import Lab

#: What slurm.conf needs for tokens; {place} is the lab's directory.
CONF = "AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key={place}/jwt.key\n"
#: slurmrestd refuses to run as root, and as SlurmUser.
USER = "carol"
_NAMES = ("local", "jwt")
_RUNNING: dict[tuple[str, str], subprocess.Popen[bytes]] = {}


def lay_out(lab: Lab, owner: tuple[int, int]) -> None:
    """Write the key that signs tokens, which only slurmctld may read, and the directory of the socket."""
    key = lab.folder / "jwt.key"
    key.write_bytes(secrets.token_bytes(32))
    key.chmod(0o600)
    os.chown(key, *owner)
    accounts = lab.folder / "slurmdbd.conf"
    if accounts.exists():  # whoever has a token asks slurmdbd with it as well
        accounts.write_text(accounts.read_text() + CONF.format(place=lab.state.place))
    folder = lab.folder / "rest"
    folder.mkdir(mode=0o755)
    os.chown(folder, USERS[USER], USERS[USER])


def start(lab: Lab, timeout: float = 60.0) -> None:
    """Start both and wait until they listen. Raises LabError.

    They live outside of the lab's pid namespace: there they would see no process number of whoever connects to the
    socket, and refuse them. So they are told to die with their owner, and `stop` ends those of a lab that stays.
    """
    _start(lab, "local", f"unix:{lab.state.place}/rest/socket")
    _start(lab, "jwt", f"127.0.0.1:{port(lab)}", SLURM_JWT="daemon")

    def silent() -> str:
        for name in _NAMES:
            ended = _RUNNING[lab.name, name].poll()
            if ended is not None:
                raise LabError(f"slurmrestd ({name}) ended with {ended}")
        if not socket(lab).exists():
            return "slurmrestd makes no socket"
        with socketlib.socket() as probe:
            return "" if probe.connect_ex(("127.0.0.1", port(lab))) == 0 else "slurmrestd does not listen"

    place.wait_for(silent, timeout)


def _start(lab: Lab, name: str, listen: str, **more: str) -> None:
    assert lab.state.init is not None
    uid = USERS[USER]
    enter = ["nsenter", f"--target={lab.state.init[0]}", "--mount", "--uts", "chroot", str(lab.root)]
    # setpriv, not slurmrestd's own -u: that keeps the groups of root.
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    death = [] if lab.state.stays else ["--pdeathsig=KILL"]
    # 24.11 does not start with the calls for slurmdbd where there is none.
    plugins = [] if (lab.folder / "slurmdbd.conf").exists() else ["-s", "openapi/slurmctld"]
    words = ["/usr/sbin/slurmrestd", "-f", lab.conf, *plugins, "-a", f"rest_auth/{name}", listen]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "SLURM_CONF": lab.conf, **more}
    with (lab.folder / f"log/slurmrestd-{name}.log").open("a") as log:
        process = subprocess.Popen(
            [*enter, *become, *death, *words],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _RUNNING[lab.name, name] = process
    (lab.folder / f"rest/{name}").write_text(json.dumps(place.identity(process.pid)))


def stop(folder: Path) -> None:
    """End those of a lab, whoever started them. Harmless where there is none."""
    for name in _NAMES:
        with contextlib.suppress(OSError, ValueError):
            who = json.loads((folder / f"rest/{name}").read_text())
            if place.is_alive(tuple(who)):
                os.kill(who[0], signal.SIGKILL)
        process = _RUNNING.pop((folder.name, name), None)
        if process is not None:
            process.wait()


def send(lab: Lab, number: int, name: str = "local") -> None:
    """Send one of them a signal: SIGSTOP makes one that takes connections and never answers, SIGCONT heals it."""
    os.kill(json.loads((lab.folder / f"rest/{name}").read_text())[0], number)


def port(lab: Lab) -> int:
    """The port on which it wants a token; the last of the lab's own."""
    return lab.state.port + lab.state.ports - 1


def socket(lab: Lab) -> Path:
    """The socket, as the host sees it."""
    return lab.folder / "rest/socket"


def url(lab: Lab) -> str:
    """The address, as a site would configure it."""
    return f"http://127.0.0.1:{port(lab)}"


def token(lab: Lab, user: str = "root", seconds: int = 3600) -> str:
    """A token for a user of the lab."""
    said = lab.check(["scontrol", "token", f"username={user}", f"lifespan={seconds}"])
    return said.strip().removeprefix("SLURM_JWT=")
