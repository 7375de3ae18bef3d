"""A driver that is missing, wrong, hung or dying, and GPUs that fall off the bus while they are watched."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from collectors import process
from collectors.model import SourceFault
from collectors.nvml import NvmlSettings, client, kernel_log, labels
from collectors.nvml.client import Nvml
from tests.faults import fault

SHORT = {"deadline_s": 0.3, "start_deadline_s": 20.0}


def fault_of(nvml: Nvml):
    with pytest.raises(SourceFault) as caught:
        nvml.read()
    return caught.value.fault


def patient(nvml: Nvml):
    """Read until it succeeds; back-off must not make a test wait for long."""
    until = time.monotonic() + 60
    while True:
        nvml._again_at = 0.0
        try:
            return nvml.read()
        except SourceFault:
            if time.monotonic() > until:
                raise


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -- one GPU ----------------------------------------------------------------------------------------------------------


@fault("NVML", "GPU lost", "one line says so, the other GPUs go on")
def test_a_gpu_falls_off_the_bus_while_watched(driver, nvml):
    assert all(gpu.lost is None for gpu in nvml.read().gpus)
    driver.line("lost", 3, 1)
    gpus = nvml.read().gpus
    assert gpus[3].lost == "fallen off the bus or out of reach"
    assert (gpus[3].uuid, gpus[3].model) == ("GPU-0000-3", "NVIDIA H100 80GB HBM3"), "it is known which one"
    assert gpus[3].util_pct is None and gpus[3].processes is None and not gpus[3].na
    assert all(gpu.lost is None and gpu.util_pct == 98.0 for gpu in gpus if gpu.index != 3)


def test_a_gpu_lost_in_the_middle_of_a_reading_gives_no_half_row(driver, nvml):
    nvml.read()
    driver.line("lost", 5, 70)  # the first reading takes about 50 calls a GPU, the next about 8
    while nvml.read().gpus[5].lost is None:
        pass
    gpu = nvml.read().gpus[5]
    assert gpu.lost and gpu.temp_c is None and gpu.power_w is None


def test_a_gpu_that_is_lost_from_the_start_and_one_that_may_not_be_opened(driver, nvml):
    driver.line("lost", 0, 1)
    driver.refuse(1, "handle", code=4)
    driver.refuse(2, "util", code=16)
    gpus = nvml.read().gpus
    assert gpus[0].lost == labels.LOST[15] and gpus[0].uuid is None
    assert gpus[1].lost == "may not be opened by this user"
    assert gpus[2].lost == "needs a reset before it can be used"
    assert gpus[4].lost is None


def test_a_fresh_child_that_no_longer_finds_a_gpu_shows_it_as_lost(driver, nvml):
    nvml.read()
    driver.line("gpus", 7)
    driver.line("lost", 7, 1)
    assert nvml.read().gpus[7].lost
    nvml._renew_at = 1e-9
    gpus = nvml.read().gpus
    assert len(gpus) == 8 and gpus[7].uuid == "GPU-0000-7" and gpus[7].lost
    assert gpus[7].lost in {"no longer seen by the driver", labels.LOST[15]}


def test_a_gpu_that_was_reset_is_found_by_a_fresh_child(driver, nvml):
    nvml.read()
    driver.line("lost", 3, 1)
    assert nvml.read().gpus[3].lost
    driver.undo("lost", 3, 1)
    nvml._renew_at = 1e-9
    gpu = nvml.read().gpus[3]
    assert gpu.lost is None and gpu.util_pct == 98.0
    assert nvml._renew_at == 0.0


# -- the driver -------------------------------------------------------------------------------------------------------


@fault("NVML", "NVML hung", "its child is killed at the deadline, another one reads")
@pytest.mark.parametrize("function", ["nvmlDeviceGetUtilizationRates", "nvmlDeviceGetFieldValues", "*"])
def test_a_hung_call_is_killed_within_its_deadline_and_read_again(driver, opened, function):
    nvml = opened(**SHORT)
    nvml.read()
    child = nvml._child
    assert child is not None
    driver.line("hang", function, 1)
    began = time.monotonic()
    fault = fault_of(nvml)
    assert time.monotonic() - began < 20
    assert (fault.kind, fault.what) == ("timeout", "nvml: the driver gave no answer in 0.3 s")
    assert "dmesg" in fault.mend
    assert not alive(child.pid)
    driver.undo("hang", function, 1)
    assert patient(nvml).gpus[0].util_pct == 98.0


def test_a_hang_while_the_driver_opens(driver, opened):
    nvml = opened(deadline_s=5.0, start_deadline_s=1.0)
    driver.line("hang", "nvmlInitWithFlags", 1)
    assert fault_of(nvml).what == "nvml: the driver gave no answer in 1 s"


def test_back_off_asks_no_hung_driver_again_at_once(driver, opened, monkeypatch):
    nvml = opened(**SHORT)
    nvml.read()
    driver.line("hang", "*", 1)
    fault = fault_of(nvml)
    nvml._again_at = nvml._clock.mono() + 1000
    monkeypatch.setattr(nvml, "_ask", lambda: pytest.fail("it is asked again"))
    assert fault_of(nvml) == fault
    assert nvml._child is None


@fault("NVML", "the driver's library crashes", "a fault of the source; the console goes on")
def test_a_crash_is_a_fault_of_the_source_and_not_of_the_console(driver, opened):
    nvml = opened()
    nvml.read()
    driver.line("crash", "nvmlDeviceGetTemperature", 1)
    fault = fault_of(nvml)
    assert fault.kind == "cut" and "signal 11" in fault.what
    driver.undo("crash", "nvmlDeviceGetTemperature", 1)
    assert patient(nvml).gpus[0].temp_c == 64.0


@fault("NVML", "NVML missing", "a fault that says what to install")
def test_a_library_that_is_not_there(monkeypatch, opened, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    if _real_driver():
        pytest.skip("a real NVIDIA driver is on this machine")
    fault = fault_of(opened())
    assert (fault.kind, fault.what) == ("missing", "nvml: libnvidia-ml.so.1 is not on this machine")
    assert "install the NVIDIA driver" in fault.mend


@pytest.mark.parametrize(
    ("code", "kind", "what", "mend"),
    [
        (9, "refused", "kernel driver is not loaded", "modprobe nvidia"),
        (18, "refused", "different versions", "reboot"),
        (4, "auth", "may not talk to the NVIDIA driver", "/dev/nvidia"),
        (999, "refused", "cannot be opened", "nvidia-smi"),
    ],
)
def test_a_driver_that_cannot_be_opened_is_named_with_its_cure(driver, nvml, code, kind, what, mend):
    driver.line("init", code)
    fault = fault_of(nvml)
    assert fault.kind == kind and what in fault.what and mend in fault.mend
    driver.undo("init", code)
    assert len(patient(nvml).gpus) == 8


def test_the_versions_are_told_where_they_differ(monkeypatch, tmp_path):
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n")
    assert kernel_log.module_version(version) == "550.54.15"
    monkeypatch.setattr(kernel_log, "module_version", lambda: "550.54.15")
    assert labels.start_fault(18, "")[1].endswith("different versions (kernel module 550.54.15)")


def test_a_driver_without_gpus_is_a_fault_and_not_an_empty_node(driver, nvml):
    driver.line("gpus", 0)
    fault = fault_of(nvml)
    assert fault.kind == "empty" and fault.what.startswith("nvml: the driver sees no GPU")


def test_without_the_python_package(driver, nvml, monkeypatch, tmp_path):
    (tmp_path / "pynvml.py").write_text("raise ImportError('none here')\n")
    env = client.environment()
    monkeypatch.setattr(client, "environment", lambda: {**env, "PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"})
    fault = fault_of(nvml)
    assert (fault.kind, fault.mend) == ("missing", "pip install nvidia-ml-py")


def test_a_child_that_cannot_start_says_why(driver, nvml, monkeypatch):
    monkeypatch.setattr(client, "command", lambda node: [sys.executable, "-c", "raise SystemExit('no room')"])
    fault = fault_of(nvml)
    assert fault.kind == "cut" and fault.what == "nvml: the process that reads the driver ended with 1: no room"


def test_no_second_child_beside_one_that_the_kernel_holds(driver, opened, monkeypatch):
    nvml = opened(**SHORT)
    nvml.read()
    child = nvml._child
    assert child is not None
    monkeypatch.setattr(type(child), "close", lambda self: False)
    monkeypatch.setattr(type(child), "how", lambda self: "runs")
    driver.line("hang", "*", 1)
    fault_of(nvml)
    nvml._again_at = 0.0
    fault = fault_of(nvml)
    assert fault.what == f"nvml: the driver holds process {child.pid} and cannot be asked"
    assert nvml._child is None
    monkeypatch.undo()
    child.close()


# -- the end ----------------------------------------------------------------------------------------------------------


def test_closing_ends_the_child_even_while_it_hangs(driver, opened):
    nvml = opened(deadline_s=60.0, start_deadline_s=60.0)
    nvml.read()
    child = nvml._child
    assert child is not None
    driver.line("hang", "*", 1)
    faults = []

    def read() -> None:
        try:
            nvml.read()
        except SourceFault as error:
            faults.append(error.fault)

    thread = threading.Thread(target=read)
    thread.start()
    while not nvml._reading.locked():
        time.sleep(0.01)
    nvml.close()
    thread.join(60)
    assert not thread.is_alive() and not alive(child.pid)
    assert [fault.what for fault in faults] == ["nvml: closed"]


def test_the_child_ends_when_its_console_is_gone_even_while_it_hangs(driver):
    child = process.Child(
        client.command("gpu0001"), env={**client.environment(), "LD_LIBRARY_PATH": str(driver.folder)}
    )
    driver.line("hang", "nvmlInitWithFlags", 1)
    child.send(b"")
    child._in.close()
    child._child.wait(20)
    assert child._child.returncode == 0
    child._in = open(os.devnull, "wb", buffering=0)  # noqa: SIM115, PTH123 - close() closes it again
    child.close()


def test_stop_all_ends_the_child(driver, nvml):
    nvml.read()
    child = nvml._child
    assert child is not None
    process.stop_all()
    child._child.wait(20)
    assert fault_of(nvml).kind == "cut"


def test_two_threads_share_one_reading(driver, opened):
    nvml = opened(interval_s=100.0)
    samples = []
    threads = [threading.Thread(target=lambda: samples.append(nvml.read(100.0))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(samples) == 8 and len({id(sample) for sample in samples}) == 1
    assert len(nvml.points) == 1


def test_settings_are_checked():
    assert NvmlSettings().deadline_s == 5.0 and NvmlSettings().interval_s == 1.0


def _real_driver() -> bool:
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True
