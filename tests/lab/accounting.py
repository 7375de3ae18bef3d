"""The accounting of a lab: a slurmdbd with a MariaDB of its own, on a socket in the lab's directory, and who is what.

Slurm asks the levels of administrators of slurmdbd alone, so nothing less shows what it lets an Operator do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import conf
from .place import wait_for
from .roots import USERS

if TYPE_CHECKING:
    from .slurm import Lab

LEVELS = {"bob": "Operator", "carol": "Administrator"}
"""Who is more than a user; slurmdbd makes root an Administrator by itself."""
ACCOUNT = "ml"

#: Small, without a network, and nothing waits for the disk: the data live as long as the lab.
_OPTIONS = (
    *("--no-defaults", "--user=slurm", "--skip-networking", "--skip-grant-tables", "--performance-schema=OFF"),
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0"),
    *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-autoextend-increment=1"),
    *("--innodb-data-file-path=ibdata1:1M:autoextend", "--innodb-temp-data-file-path=ibtmp1:1M:autoextend"),
    *("--innodb-undo-tablespaces=0", "--key-buffer-size=1M", "--aria-pagecache-buffer-size=8M"),
    *("--innodb-snapshot-isolation=OFF", "--innodb-lock-wait-timeout=900"),  # slurmdbd says it needs these
)
_TABLES = "/usr/share/mariadb/mariadb_system_tables.sql"


def lay_out(lab: Lab, spec: conf.Spec, owner: tuple[int, int]) -> None:
    """Write slurmdbd.conf, which only its user may read, and make the database's directory. `owner` is slurm's."""
    file = lab.folder / "slurmdbd.conf"
    file.touch(mode=0o600)
    os.chown(file, *owner)
    file.write_text(conf.slurmdbd_conf(spec))
    # A directory is a database. slurmdbd would make its own; but the connection that it opens after the one that was
    # refused for the lack of it inherits a column limit of 0 from libmariadb 11.8.9.
    for name in ("db", "db/mysql", "db/slurm"):
        folder = lab.folder / name
        folder.mkdir(mode=0o700)
        os.chown(folder, *owner)


def start(lab: Lab, timeout: float = 60.0) -> None:
    """Start both daemons and tell slurmdbd of the cluster, its users and their levels. Raises LabError."""
    place = lab.state.place
    words = [*_OPTIONS, f"--datadir={place}/db", f"--socket={place}/db/socket"]
    tables = f'(echo "USE mysql;"; cat {_TABLES}) | /usr/sbin/mariadbd "$@" --bootstrap'
    lab._inside("/bin/sh", "-c", tables, "sh", *words)
    lab._inside("/bin/sh", "-c", 'setsid /usr/sbin/mariadbd "$@" &', "sh", *words)
    socket = lab.folder / "db/socket"
    wait_for(lambda: "" if socket.exists() else "MariaDB does not start", timeout)
    start_slurmdbd(lab, timeout)
    add = ("sacctmgr", "-i", "-Q", "add")
    lab.check([*add, "cluster", lab.cluster])
    lab.check([*add, "account", ACCOUNT, f"Cluster={lab.cluster}", "Description=x", "Organization=x"])
    lab.check([*add, "user", ",".join(USERS), f"Account={ACCOUNT}", f"Cluster={lab.cluster}"])
    for user, level in LEVELS.items():
        lab.check(["sacctmgr", "-i", "-Q", "modify", "user", user, "set", f"AdminLevel={level}"])


def start_slurmdbd(lab: Lab, timeout: float = 60.0) -> None:
    """Start slurmdbd alone and wait until it answers."""
    lab._inside("/usr/sbin/slurmdbd", MYSQL_UNIX_PORT=f"{lab.state.place}/db/socket")

    def silent() -> str:
        done = lab.run(["sacctmgr", "-nP", "show", "cluster"])
        return "" if done.returncode == 0 else f"slurmdbd does not answer: {done.stderr.strip()}"

    wait_for(silent, timeout)


def stop_slurmdbd(lab: Lab) -> None:
    """Kill slurmdbd and wait until it is gone: any later client is refused the connection. One that is still
    dying would accept it and say something else."""
    pid = Path(lab.folder, "run/slurmdbd.pid").read_text().strip()
    lab._inside("/bin/bash", "-c", 'kill -9 "$0"; while kill -0 "$0" 2>/dev/null; do sleep 0.01; done', pid)
