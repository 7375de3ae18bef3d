"""The real driver, where there is one: what the fake believes, proven. And what it all costs."""

from __future__ import annotations

import ctypes
import os

import pytest

from collectors.nvml.client import Nvml

from .cost import measure

#: What every data centre GPU of these years offers, whatever it is.
ALWAYS = ("uuid", "model", "util_pct", "memory_used_mb", "memory_mb", "temp_c", "power_w", "sm_clock_mhz", "throttle")


@pytest.fixture
def real(monkeypatch, opened) -> Nvml:
    """A client of the driver of this machine."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        pytest.skip(f"no NVIDIA driver here: {error}")
    if not os.path.exists("/dev/nvidiactl"):  # noqa: PTH110
        pytest.skip("no NVIDIA GPU here: /dev/nvidiactl is missing")
    client: Nvml = opened(deadline_s=30.0, start_deadline_s=120.0)
    return client


def test_a_real_gpu_tells_what_every_gpu_tells(real):
    sample = real.read()
    assert sample.gpus and sample.driver
    for gpu in sample.gpus:
        assert gpu.lost is None
        missing = [field for field in ALWAYS if getattr(gpu, field) is None and field not in gpu.na]
        assert not missing, f"GPU {gpu.index}: {missing}"
        assert gpu.memory_mb is None or 0 <= (gpu.memory_used_mb or 0) <= gpu.memory_mb
        assert gpu.power_w is None or 1 < gpu.power_w < 2000
        assert gpu.temp_c is None or 5 < gpu.temp_c < 110
        assert gpu.processes is not None or "processes" in gpu.na


def test_a_real_gpu_is_read_again(real):
    first, second = real.read(), real.read()
    assert [gpu.uuid for gpu in first.gpus] == [gpu.uuid for gpu in second.gpus]
    assert second.calls < first.calls or len(first.gpus) == 1


def test_what_60_readings_of_8_gpus_cost(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    cost = measure(tmp_path)
    assert cost.calls < 8 * 12 + 40
    assert cost.core_pct < 2.0, "the fake driver's own time included"
