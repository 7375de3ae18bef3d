"""CPU, memory and descriptors of a process tree, from /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
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
    """CPU seconds of the tree so far; ended children count if they were waited for."""
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
    """Fields of /proc/PID/stat from the state on; the name before it may contain anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def own_rss_mb(pid: int) -> float:
    """Resident memory of this process alone in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / (1 << 20)


def lower_priority(pid: int) -> None:
    """Give the tree the lowest priority, as if it ran on another machine. Sessions that it starts later are not
    affected."""
    for one in tree(pid):
        with contextlib.suppress(OSError):  # it has ended, or the kernel groups by something else than sessions
            Path(f"/proc/{one}/autogroup").write_text("19", encoding="ascii")
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


def descriptors(pid: int) -> int:
    """Number of open files, pipes and sockets of the process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def zombies(pid: int) -> int:
    """Number of descendants that ended and were not waited for."""
    return sum(1 for one in tree(pid) if one != pid and (stat := _stat(one)) and stat[0] == "Z")


def threads(pid: int) -> int:
    """Number of threads of the process."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def children_named(pid: int, name: str) -> list[int]:
    """The descendants with this name as the kernel has it (15 characters)."""
    found = []
    for one in tree(pid):
        try:
            if Path(f"/proc/{one}/comm").read_text().strip() == name:
                found.append(one)
        except OSError:
            continue
    return found
