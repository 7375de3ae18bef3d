"""`wacht doctor`: which roads to Slurm work here, whom Slurm sees, what a reading costs, and how to mend the rest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from collectors.model import Rights
from collectors.slurm import SlurmSettings
from collectors.slurm.tried import Read, Tried, tried
from console.site import Site

_MAY = {True: "yes", False: "no", None: "unknown"}


def report(site: Site, as_json: bool) -> tuple[str, int]:
    """What was found, and the exit status: 0 when every road that is configured works, else 1."""
    if site.demo or not isinstance(site.slurm, SlurmSettings):
        found: tuple[Tried, ...] = ()
    else:
        found = tried(site.name, site.slurm)
    status = 1 if any(one.fault is not None and one.use for one in found) else 0
    if as_json:
        return msgspec.json.encode({"version": 1, "cluster": site.name, "roads": found}).decode() + "\n", status
    return _text(site.name, found), status


def _text(cluster: str, found: Sequence[Tried]) -> str:
    lines = [f"{cluster}: roads to Slurm" if found else f"{cluster}: no Slurm to be asked"]
    for one in found:
        use = f" ({one.use})" if one.use else " (not configured)"
        if one.about is None:
            lines.append(f"  {one.road}{use}: does not work: {one.fault}")
            continue
        about = one.about
        version = " ".join(word for word in (about.version, about.parser) if word) or "version unknown"
        lines.append(f"  {one.road}{use}: works: Slurm {version}, {about.where}")
        if one.rights is not None:
            lines.append(f"    rights: {_rights(one.rights)}")
        lines += [f"    read {kind}: {_cost(read)}" for kind, read in one.reads.items() if kind != "rights"]
        lines += [f"    cannot {what}: {why}" for what, why in one.cannot.items()]
    return "\n".join(lines) + "\n"


def _rights(rights: Rights) -> str:
    may = f"may change nodes: {_MAY[rights.nodes]}, everybody's jobs: {_MAY[rights.jobs]}"
    return f"{rights.user}, {rights.level}; {may} ({rights.why})"


def _cost(read: Read) -> str:
    if read.fault is not None:
        return f"failed: {read.fault}"
    size = "" if read.size is None else f", {read.size / 1e3:,.0f} kB"
    return f"{read.ms:.0f} ms{size}"
