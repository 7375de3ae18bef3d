"""What Slurm lets slurmrestd's user change: from slurmdbd's levels, and from v0.0.45 on from SlurmUser."""

from __future__ import annotations

import re

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Rights, SourceFault

from .client import RestClient, RestEnvelope

#: The first data parser with slurmctld's configuration.
_CONF = 45


class _Coordinator(Struct, gc=False):
    name: str


class _User(Struct, gc=False):
    name: str
    administrator_level: list[str] | None = None
    coordinators: list[_Coordinator] | None = None


class _Users(RestEnvelope):
    users: list[_User] | None = None


class _Conf(Struct, gc=False, rename={"slurm_user": "SlurmUser"}):
    slurm_user: str | None = None


class _Configuration(RestEnvelope):
    slurm_conf: _Conf | None = None


#: A name that is one part of a path.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@$-]*")
_LEVELS = {"Administrator": (True, True), "Operator": (False, True), "None": (False, False), "Not Set": (False, False)}


def read_rights(client: RestClient, user: str | None) -> Rights:
    """The rights of this user. Never raises: `why` says why they are unknown."""
    if user is None:
        return Rights(user="?", level="unknown", why="slurmrestd does not report as which user it asks")
    try:
        return _of(client, user)
    except SourceFault as error:
        return Rights(user=clean(user), level="unknown", why=clean(str(error.fault)))


def _of(client: RestClient, user: str) -> Rights:
    name = clean(user)
    if not _NAME.fullmatch(user):
        return Rights(user=name, level="unknown", why="slurmrestd cannot be asked for such a name")
    if user == "root":
        return Rights(user=name, level="root", nodes=True, jobs=True, why="root")
    server_info = client.server_info()
    told = server_info.parser is not None and server_info.parser >= _CONF
    if told:
        conf = client.get("conf", _Configuration).slurm_conf
        if conf is not None and conf.slurm_user == user:
            return Rights(user=name, level="SlurmUser", nodes=True, jobs=True, why="slurmrestd: conf")
        told = conf is not None and bool(conf.slurm_user)
    if not server_info.slurmdbd:
        if told:
            return Rights(
                user=name, level="no admin", nodes=False, jobs=False, why="no slurmdbd, so no user has a level"
            )
        return Rights(user=name, level="unknown", why="no slurmdbd, and slurmrestd reports SlurmUser from v0.0.45 on")
    found = client.get(f"user/{user}", _Users, database=True).users or []
    own = next((one for one in found if one.name.lower() == user.lower()), None)
    if own is None:
        if told:
            return Rights(user=name, level="no admin", nodes=False, jobs=False, why="unknown to slurmdbd")
        return Rights(user=name, level="unknown", why="unknown to slurmdbd; SlurmUser is reported from v0.0.45 on")
    level = (own.administrator_level or ["?"])[0]
    if level not in _LEVELS:
        return Rights(user=name, level="unknown", why=f"slurmdbd gives the level {clean(level)[:40]!r}")
    nodes, jobs = _LEVELS[level]
    if not jobs and own.coordinators:
        of = clean(",".join(one.name for one in own.coordinators))[:200]
        return Rights(user=name, level="Coordinator", nodes=False, why=f"slurmdbd: of {of}")
    return Rights(user=name, level=level if jobs else "no admin", nodes=nodes, jobs=jobs, why="slurmdbd")
