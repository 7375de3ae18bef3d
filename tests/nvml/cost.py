"""What reading the GPUs costs us: `python -m tests.nvml.cost` measures it on the fake driver."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from collectors.nvml import NvmlSettings
from collectors.nvml.client import Nvml

from .driver import Driver


class Cost(Struct, frozen=True, kw_only=True):
    """Of so many readings: CPU-seconds of child and client, wall time, calls of NVML; and the first reading's time."""

    readings: int
    gpus: int
    child_cpu_s: float
    client_cpu_s: float
    wall_s: float
    calls: float
    first_s: float

    @property
    def core_pct(self) -> float:
        """Percent of a core at one reading a second, the fake driver's own time included."""
        return 100 * (self.child_cpu_s + self.client_cpu_s) / self.readings


def measure(folder: Path, readings: int = 60, gpus: int = 8) -> Cost:
    """Read the fake driver so often, as fast as it goes. LD_LIBRARY_PATH must name `folder`."""
    driver = Driver(folder, gpus)
    for gpu in range(gpus):
        driver.line("proc", gpu, os.getpid(), 1024)
    nvml = Nvml("gpu0001", NvmlSettings())
    try:
        began = time.monotonic()
        first = nvml.read()
        first_s = time.monotonic() - began
        began, cpu, calls = time.monotonic(), time.thread_time(), 0
        for _ in range(readings):
            sample = nvml.read()
            calls += sample.calls
        return Cost(
            readings=readings,
            gpus=gpus,
            child_cpu_s=sample.cpu_s - first.cpu_s,
            client_cpu_s=time.thread_time() - cpu,
            wall_s=time.monotonic() - began,
            calls=calls / readings,
            first_s=first_s,
        )
    finally:
        nvml.close()


def main() -> None:
    """Print it."""
    with TemporaryDirectory(prefix="wacht-nvml-") as folder:
        os.environ["LD_LIBRARY_PATH"] = folder
        cost = measure(Path(folder))
    child, client, wall = (1e3 * total / cost.readings for total in (cost.child_cpu_s, cost.client_cpu_s, cost.wall_s))
    sys.stdout.write(
        f"{cost.gpus} GPUs, {cost.readings} readings: {cost.core_pct:.2f} % of a core at one a second "
        f"(child {child:.2f} ms, client {client:.2f} ms, {cost.calls:.0f} calls, {wall:.2f} ms a reading), "
        f"first after {cost.first_s:.2f} s\n"
    )


if __name__ == "__main__":
    main()
