"""Processes and their pid namespaces."""

from __future__ import annotations

from pathlib import Path


def in_namespace_of(pid: int) -> list[int]:
    """The processes that share a pid namespace with `pid`."""
    wanted = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/pid").readlink() == wanted:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
