"""What `wacht doctor` reads from Slurm besides the sources: its clock, PrivateData, excess sudo rights, a token's
claims, and the user that slurmrestd runs as. Nothing here changes anything."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path, PurePath

from msgspec import Struct

from collectors import process
from collectors.bearer_token import read_token
from collectors.clean import clean, decode
from collectors.clock import ClockSkew, skew_of
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings

from .read_command import ask, lines
from .rights import sudo_user

_SDIAG_AT = re.compile(r"^sdiag output at\s.*\(([0-9]{1,18})\)\s*$", re.M)

#: Commands that wacht never sends, and what a sudo rule that allows them makes possible.
EXCESS_COMMANDS = (
    (("sh",), "any program, a shell too"),
    (("scontrol", "shutdown"), "scontrol shutdown"),
    (("scontrol", "reconfigure"), "scontrol reconfigure"),
    (("scontrol", "update", "PartitionName=x", "State=DOWN"), "changes of partitions"),
)


def controller_clock(settings: SlurmSettings) -> ClockSkew:
    """The controller's clock, to the second, over the configured transport. Raises SourceFault."""
    if settings.transport == "rest":
        from collectors.slurm.rest import client

        return client.controller_clock(settings)
    sent = time.time()
    with process.extra_environment(settings.command_environment):
        out = decode(ask(["sdiag"], settings.deadline_s))
    found = _SDIAG_AT.search(out)
    if found is None:
        raise SourceFault("malformed", "sdiag has no time", "run it by hand to see")
    return skew_of(int(found[1]), 1.0, sent, time.time())


def private_data(settings: SlurmSettings) -> frozenset[str]:
    """What slurm.conf's PrivateData hides from ordinary users: `jobs`, `nodes` … Raises SourceFault."""
    with process.extra_environment(settings.command_environment):
        told = lines(ask(["scontrol", "show", "config"], settings.deadline_s), "scontrol show config")
    for line in told:
        key, equal, value = line.partition("=")
        if equal and key.strip() == "PrivateData":
            return frozenset(clean(word.strip()) for word in value.split(",")) - {"none", "(null)", ""}
    raise SourceFault("malformed", "scontrol show config has no PrivateData")


def excess_sudo_commands(prefix: Sequence[str], deadline_s: float) -> tuple[str, ...] | None:
    """The commands of EXCESS_COMMANDS that sudo would allow; None if the prefix is no sudo that can be asked.

    sudo is only asked (`sudo -l COMMAND`) and runs nothing. Raises SourceFault.
    """
    if not prefix or PurePath(prefix[0]).name != "sudo" or (target := sudo_user(prefix[1:])) is None:
        return None
    sudo = [process.find(prefix[0]), "-n", "-l", *(["-u", target] if target else []), "--"]
    found = []
    for (program, *words), said in EXCESS_COMMANDS:
        ended = process.run([*sudo, process.find(program), *words], deadline_s=deadline_s, cap_bytes=1 << 20)
        if ended.timed_out or ended.capped or ended.rc < 0:
            raise SourceFault("timeout", f"sudo -l gave no answer in {deadline_s:g} s", "try it by hand")
        if ended.rc == 0:
            found.append(said)
    return tuple(found)


class TokenClaims(Struct, frozen=True, kw_only=True):
    """The claims of a token; its signature is not checked."""

    user: str | None
    left_s: float | None
    """Seconds until it expires, negative if it has; None without an expiry."""
    lasts_s: float | None
    """Its whole lifetime in seconds, None if unknown."""


def token_claims(path: str, now: float) -> TokenClaims:
    """The claims of the token in a file. Raises SourceFault if it cannot be used."""
    from collectors.slurm.rest.jwt import claims

    found = claims(read_token(path))
    ends, made = found.exp, found.iat
    return TokenClaims(
        user=None if found.sun is None else clean(found.sun)[:80],
        left_s=None if ends is None else ends - now,
        lasts_s=None if ends is None or made is None else ends - made,
    )


def socket_owner(path: str, deadline_s: float) -> int:
    """The uid of the process that listens on a unix socket, as the kernel reports it to a client. Raises
    SourceFault."""
    where = Path(path).expanduser()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(deadline_s)
            one.connect(str(where))
            told = one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError as error:
        raise SourceFault("refused", f"{where}: {error.strerror or error}", "does slurmrestd run?") from None
    _, uid, _ = struct.unpack("3i", told)
    return int(uid)
