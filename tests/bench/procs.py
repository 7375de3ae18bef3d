"""What a process and all it started cost, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of the tree so far; children that ended count where they were waited for."""
    return sum(sum(map(int, stat[11:15])) for one in tree(pid) if (stat := _stat(one))) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of the tree in MB (2^20 bytes)."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * _PAGE / (1 << 20)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on: the name before it may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def own_rss_mb(pid: int) -> float:
    """Resident memory of that process alone, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / (1 << 20)


def give_way(pid: int) -> None:
    """Let the tree run when nobody else wants the cores, as if it had a machine of its own. What starts a session of
    its own later has no part in it."""
    for one in tree(pid):
        with contextlib.suppress(OSError):  # it has ended, or the kernel groups by something else than sessions
            Path(f"/proc/{one}/autogroup").write_text("19", encoding="ascii")
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


def descriptors(pid: int) -> int:
    """Files, pipes and sockets that the process holds open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def zombies(pid: int) -> int:
    """Processes below it that have ended and were not waited for."""
    return sum(1 for one in tree(pid) if one != pid and (stat := _stat(one)) and stat[0] == "Z")


def threads(pid: int) -> int:
    """Threads of the process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def below(pid: int, name: str) -> list[int]:
    """The processes of that name below one, as the kernel calls them (15 letters)."""
    found = []
    for one in tree(pid):
        try:
            if Path(f"/proc/{one}/comm").read_text().strip() == name:
                found.append(one)
        except OSError:
            continue
    return found
