"""What the real pyslurm said, to be changed by a test."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from collectors.model import Reservation
from tests.support.make import RECORDED


def as_of_now(reservations: Mapping[str, Reservation]) -> dict[str, Reservation]:
    """What scontrol printed then, with the state that it would print now: pyslurm tells times alone."""
    now = time.time()
    found = {}
    for name, one in reservations.items():
        active = one.starts is not None and one.ends is not None and one.starts <= now <= one.ends
        found[name] = msgspec.structs.replace(one, state="ACTIVE" if active else "INACTIVE")
    return found


def recorded_rows(kind: str) -> list[dict[str, Any]]:
    """The recorded objects of one kind, to be changed by a test."""
    found: list[dict[str, Any]] = json.loads((RECORDED / "25.11" / "pyslurm.json").read_text())[kind]
    return found
