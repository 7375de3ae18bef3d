"""The fake driver, built with cc, and the scenario that it plays: a node of eight H100 unless a test says otherwise."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

HERE = Path(__file__).parent
NODE = "gpu0001"
LIBRARY = "libnvidia-ml.so.1"
NOT_SUPPORTED, NO_PERMISSION, UNKNOWN = 3, 4, 999
LINKS = 18

#: What an H100 SXM under load answers, by the keys of fake.c.
H100: dict[str, object] = {
    "driver": "570.86.15", "name": "NVIDIA H100 80GB HBM3",
    "util": 98, "memory_total": 81_559 << 20, "memory_used": 61_440 << 20, "memory_reserved": 551 << 20,
    "temp": 64, "power": 611_000, "limit": 700_000, "sm_clock": 1980, "sm_clock_max": 1980, "memory_clock": 2619,
    "reasons": 0, "mig": 0, "pcie_gen": 5, "pcie_gen_max": 5, "pcie_width": 16, "pcie_width_max": 16,
    "fabric": "3 0 0x51aa 1",
    "field.82": 71, "field.83": 123_456_789_000, "field.186": 612_000, "field.230": 0,
    "field.1": 1, "field.3": 2, "field.4": 0, "field.5": 11, "field.6": 1,
    "field.142": 1, "field.143": 0, "field.144": 0, "field.145": 0, "field.94": 4,
    "field.91": LINKS, "field.52": 3, "field.59": 0, "field.38": 5, "field.45": 0,
    **{f"link.{link}": 1 for link in range(LINKS)},
}  # fmt: skip


@cache
def built(*flags: str) -> Path:
    """The library, compiled once. Without a compiler the test is skipped; under CI=true it fails."""
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a C compiler for the fake NVIDIA driver", pytrace=False)
        pytest.skip("no cc here: the fake NVIDIA driver cannot be built")
    folder = Path(mkdtemp(prefix="wacht-nvml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = folder / LIBRARY
    command = [compiler, *flags, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(made), str(HERE / "fake.c"), "-ldl", "-lpthread"], check=True)
    return made


class Driver:
    """One installed fake driver. Every change is seen by the next call, in whatever process."""

    def __init__(self, folder: Path, gpus: int = 8, *flags: str) -> None:
        self.folder = folder
        (folder / LIBRARY).symlink_to(built(*flags))
        self._lines: list[str] = [f"gpus {gpus}"]
        self.set("*", **H100)
        for gpu in range(gpus):
            self._lines += [f"set {gpu} uuid GPU-0000-{gpu}", f"set {gpu} bus 00000000:{0x10 + gpu:02X}:00.0"]
        self.write()

    def set(self, gpu: int | str, **values: object) -> None:
        """Values by key; `field_82` is field.82."""
        self._lines += [f"set {gpu} {key.replace('_', '.') if key.startswith(('field', 'link')) else key} {value}"
                        for key, value in values.items()]  # fmt: skip
        self.write()

    def refuse(self, gpu: int | str, *keys: str, code: int = NOT_SUPPORTED) -> None:
        """Answer these keys with a return code."""
        self.set(gpu, **dict.fromkeys(keys, f"!{code}"))

    def line(self, *words: object) -> None:
        """Any other line of the scenario."""
        self._lines.append(" ".join(map(str, words)))
        self.write()

    def undo(self, *words: object) -> None:
        """Take a line back."""
        self._lines.remove(" ".join(map(str, words)))
        self.write()

    def write(self) -> None:
        """Put the scenario in place, whole."""
        new = self.folder / "scenario.new"
        new.write_text("\n".join(self._lines) + "\n")
        new.replace(self.folder / "scenario.txt")
