"""The clock of the controller behind slurmrestd, for `wacht doctor`."""

from __future__ import annotations

import time

from msgspec import Struct

from collectors.clock_skew import ClockSkew, skew_of
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings

from .client import RestClient, RestEnvelope


class _Number(Struct, gc=False):
    number: float | None = None


class _ClockStatistics(Struct, gc=False):
    req_time: _Number | None = None


class _Diagnostics(RestEnvelope):
    statistics: _ClockStatistics | None = None


def controller_clock(settings: SlurmSettings) -> ClockSkew:
    """The controller's clock, to the second, from its figures. Raises SourceFault."""
    client = RestClient(settings)
    try:
        client.there()  # the first request opens the connection, which takes time
        sent = time.time()
        found = client.get("diag/", _Diagnostics).statistics
        said = found.req_time.number if found is not None and found.req_time is not None else None
        if not said:
            raise SourceFault("malformed", "slurmrestd tells no time in /diag/")
        return skew_of(said, 1.0, sent, time.time())
    finally:
        client.close()
