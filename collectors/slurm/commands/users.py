"""Users by name, with their limits in slurmdbd: `sacctmgr`, on demand.

slurmdbd stores limits, slurmctld enforces them only if AccountingStorageEnforce says so: an unenforced limit must not
look like one. The cluster is named in every request and every change: slurmdbd may have several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from collectors.clean import clean
from collectors.model import Association, SourceFault, User
from collectors.slurm.fields import integer
from collectors.slurm.operations import LOGIN

from .read_command import ask, lines

_FIELDS = ("Account", "User", "Partition", "MaxSubmitJobs")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Words of AccountingStorageEnforce that enforce limits.
_ENFORCE = frozenset({"limits", "safe", "all"})


def users(names: Sequence[str], deadline_s: float) -> Mapping[str, User]:
    """The users among these that have an account here. Raises SourceFault; "missing" without accounting."""
    wanted = [name for name in names if LOGIN.fullmatch(name)]
    cluster, enforced = _site(deadline_s)
    if not wanted:
        return {}
    argv = ["sacctmgr", "-P", "show", "assoc", "where", f"cluster={cluster}", f"user={','.join(wanted)}",
            f"format={','.join(_FIELDS)}"]  # fmt: skip
    header, *rows = lines(ask(argv, deadline_s), "sacctmgr show assoc") or [""]
    if header.count("|") != len(_FIELDS) - 1 or not header.startswith("Account|User|"):
        raise SourceFault("malformed", "sacctmgr show assoc printed no header", "run it by hand to see")
    found: dict[str, list[Association]] = {}
    # slurmdbd keeps names in lower case.
    asked = {name.lower(): name for name in wanted}
    for row in rows:
        cells = row.split("|")
        if len(cells) != len(_FIELDS) or cells[1].lower() not in asked:
            continue
        account, user, partition, most = cells
        one = Association(account=clean(account), partition=clean(partition), max_submit=integer(most))
        found.setdefault(asked[user.lower()], []).append(one)
    return {
        name: User(name=name, cluster=cluster, associations=tuple(found[name]), enforced=enforced)
        for name in wanted if name in found
    }  # fmt: skip


def _site(deadline_s: float) -> tuple[str, bool]:
    """Slurm's own name of this cluster, and whether it enforces limits. Raises SourceFault."""
    config = {
        key.strip(): value.strip()
        for line in lines(ask(["scontrol", "show", "config"], deadline_s), "scontrol show config")
        for key, equal, value in [line.partition("=")]
        if equal
    }
    if "slurmdbd" not in config.get("AccountingStorageType", ""):
        raise SourceFault("missing", "this site keeps no accounts: there is no slurmdbd", "users have no limits here")
    cluster = config.get("ClusterName", "")
    if not _CLUSTER.fullmatch(cluster):
        raise SourceFault("malformed", "scontrol show config names no ClusterName", "run it by hand to see")
    words = config.get("AccountingStorageEnforce", "none").lower().split(",")
    return cluster, not _ENFORCE.isdisjoint(words)
