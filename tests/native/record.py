"""Record what the real pyslurm says, for the stand-in: `python -m tests.native.record FILE`, where SLURM_CONF leads.

Made on 25.11.7 with pyslurm 25.11.2 in the scene of `tests.lab.scene`. What is no plain value is kept as
`{"!gres": …}`, `{"!flags": …}`, `{"!counts": …}`; a text that is not UTF-8 as `{"!bytes": hex}`; any other error as
`{"!raises": name}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.native import fields


def plain(value: Any) -> Any:
    """A value of pyslurm's as JSON can hold it."""
    if isinstance(value, str):  # its enums are strings too
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict) and any(hasattr(one, "time") for one in value.values()):
        return {"!counts": {str(key): {"count": one.count, "time": one.time} for key, one in value.items()}}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "gres"):
        return {"!gres": {str(key): one.count for key, one in value.gres.items()}}
    if hasattr(value, "_value_"):
        return {"!flags": [one.name for one in value]}
    return [plain(one) for one in value]


def row(source: Any, names: Iterable[str]) -> dict[str, Any]:
    """The fields of one object."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = plain(getattr(source, name))
        except UnicodeDecodeError as error:
            found[name] = {"!bytes": bytes(error.object).hex()}
        except Exception as error:
            found[name] = {"!raises": type(error).__name__}
    return found


def everything() -> dict[str, Any]:
    """All that wacht reads, asked of the controller that SLURM_CONF names."""
    import pyslurm

    jobs = []
    for job in pyslurm.Jobs.load().values():
        jobs.append(row(job, fields.JOB) | {"layout": plain(job.get_resource_layout_per_node())})
    return {
        "pyslurm": pyslurm.__version__,
        "jobs": jobs,
        "nodes": [row(one, fields.NODE) for one in pyslurm.Nodes.load().values()],
        "partitions": [row(one, fields.PARTITION) for one in pyslurm.Partitions.load().values()],
        "reservations": [row(one, fields.RESERVATION) for one in pyslurm.Reservations.load().values()],
        "statistics": row(pyslurm.slurmctld.Statistics.load(), fields.STATISTICS),
        "config": row(pyslurm.slurmctld.Config.load(), fields.CONFIG),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(everything(), indent=1, ensure_ascii=True) + "\n")
