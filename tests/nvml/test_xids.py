"""XIDs: from the driver as they happen, from the kernel's log since boot, each counted once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.nvml import kernel_log, worker
from collectors.nvml.client import Nvml, Sample
from collectors.nvml.protocol import XidEvent

LOG = """\
6,1201,1000000,-;NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.86.15
4,1302,5000000,-;NVRM: Xid (PCI:0000:13:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
 SUBSYSTEM=pci
 DEVICE=+pci:0000:13:00.0
4,1303,6000000,-;NVRM: Xid (PCI:0000:12:00.0): 31, pid=4711, name=python, Ch 00000008, intr 00000000. MMU Fault
4,1304,7000000,-;NVRM: Xid (PCI:0000:12:00): 31, pid=4712, name=python, Ch 00000008
4,1305,8000000,-;NVRM: GPU at PCI:0000:13:00: GPU-0000-3
12,1306,9000000,-;NVRM: Xid (PCI:0000:12:00): 48, somebody with a right to write there
4,1307,9500000,-;a job's name: NVRM: Xid (PCI:0000:12:00): 95, no
"""


def until(nvml: Nvml, seen: Callable[[Sample], object]) -> Sample:
    """Read until the thread of the child has told what it must."""
    end = time.monotonic() + 60
    while not seen(sample := nvml.read()):
        assert time.monotonic() < end, sample.xids
        time.sleep(0.01)
    return sample


def test_xids_are_counted_as_they_happen(driver, nvml):
    began = int(time.time())
    nvml.read()
    driver.line("xid", 3, 31)
    first = until(nvml, lambda sample: sample.xids).xids["gpu0001/3/31"]
    assert (first.count, first.code, first.gpu, first.uuid) == (1, 31, 3, "GPU-0000-3")
    assert began <= (first.first_at or 0) == (first.last_at or 0) <= time.time()
    driver.line("xid", 3, 31)
    driver.line("xid", 3, 79)
    driver.line("xid", 5, 31)
    sample = until(nvml, lambda sample: len(sample.xids) == 3)
    assert {key: xid.count for key, xid in sample.xids.items()} == {
        "gpu0001/3/31": 2, "gpu0001/3/79": 1, "gpu0001/5/31": 1}  # fmt: skip
    assert sample.gpus[5].xid == 31 and sample.gpus[3].xid in {31, 79} and sample.gpus[0].xid is None


def test_an_xid_just_before_a_hang_is_not_lost(driver, opened):
    nvml = opened(deadline_s=1.0)
    nvml.read()
    driver.line("xid", 3, 79)
    driver.line("hang", "nvmlDeviceGetTemperature", 1)
    with pytest.raises(Exception, match="no answer"):
        nvml.read()
    driver.undo("hang", "nvmlDeviceGetTemperature", 1)
    driver.undo("xid", 3, 79)
    nvml._again_at = 0.0
    sample = nvml.read()
    assert sample.xids["gpu0001/3/79"].count == 1 and sample.gpus[3].xid == 79


def test_without_events_the_rest_goes_on_and_it_is_told(driver, nvml):
    driver.line("ret", "nvmlDeviceRegisterEvents", 3)
    sample = nvml.read()
    assert len(sample.gpus) == 8 and not sample.xids
    assert any(warning.startswith("XIDs are not reported by the driver: GPU 0: ") for warning in sample.warnings)


def test_a_lost_gpu_that_makes_every_wait_return_costs_no_cpu(driver, nvml):
    nvml.read()
    log = driver.folder / "calls"
    driver.line("ret", "nvmlEventSetWait_v2", 15)
    driver.line("log", log)
    time.sleep(0.5)
    nvml.read()
    assert log.read_text().count("nvmlEventSetWait_v2") <= 3


def test_the_kernels_log_since_boot(tmp_path, monkeypatch):
    log = tmp_path / "kmsg"
    log.write_text(LOG)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 100.0)
    found, warning = kernel_log.xids(log, now=1_000_100.0)
    assert warning is None
    assert found == [kernel_log.KernelXid("0:13:00", 79, 1_000_005.0), kernel_log.KernelXid("0:12:00", 31, 1_000_006.0),
                     kernel_log.KernelXid("0:12:00", 31, 1_000_007.0)]  # fmt: skip


#: Lines as drivers before and after R575 write them, with and without a process.
LINES = {
    "149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 08 (0x004505c6 0x00000000 0x00000000 0x00000000)": (149, "fatal"),
    "149, NETIR_LINK_EVT Fatal XC 1 i 2 Link 01 [0x0000000a]": (149, "fatal"),
    "145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 12 (0x040988e2 0x00000008 0x00000000)": (145, "nonfatal"),
    "145, pid=4711, name=python, RLW_REMAP Nonfatal XC0 i0 Link 02": (145, "nonfatal"),
    "144, pid='<unknown>', name=<unknown>, SAW_MVB Fatal XC0 i0 Link 00 (0x00000001)": (144, "fatal"),
    "145, pid=11, name=, A Nonfatal XC, RLW_REMAP Fatal XC1 i0 Link 00 (0x00": (145, None),
    "146, TLW_RX/TLW_RX_PIPE0 Nonfatal XC0 i0 Link 00 (0x0000000a 0x00000001)": (146, "nonfatal"),
    "150, MSE_WATCHDOG Fatal XC0 i0 Link -1 (0x00000000 0x00000000)": (150, "fatal"),
    "145, something that no driver writes yet": (145, None),
    "31, pid=1, name=Fatal, SAW_MVB Fatal XC0": (31, None),
}


@pytest.mark.parametrize("line", LINES)
def test_the_kernels_line_says_how_severe_an_nvlink_error_is(tmp_path, line):
    log = tmp_path / "kmsg"
    log.write_text(f"4,1302,5000000,-;NVRM: Xid (PCI:0018:01:00): {line}\n")
    (found,), _ = kernel_log.xids(log)
    assert (found.code, found.severity) == LINES[line]


def test_the_severity_is_the_worst_of_the_log_and_unknown_while_the_log_lacks_a_line(opened):
    nvml = opened()

    def told(event: XidEvent) -> object:
        nvml._count(event)
        return nvml._xids["gpu0001/3/145"].severity

    known = {"gpu": 3, "uuid": "GPU-0000-3", "code": 145}
    assert told(XidEvent(**known, at=100.0, first_at=100.0, past=True, severity="nonfatal")) == "nonfatal"
    assert told(XidEvent(**known, at=300.0, first_at=300.0)) is None, "the driver's event does not say"
    assert told(XidEvent(**known, at=100.0, first_at=100.0, past=True, severity="nonfatal")) is None, (
        "its line is missing"
    )
    assert told(XidEvent(**known, at=300.0, first_at=100.0, count=2, past=True, severity="nonfatal")) == "nonfatal"
    assert told(XidEvent(**known, at=400.0, first_at=100.0, count=3, past=True, severity="fatal")) == "fatal"
    assert told(XidEvent(**known, at=500.0, first_at=500.0)) == "fatal", "one of them is"


def test_after_a_report_of_the_driver_the_log_is_read_again_for_its_severity(monkeypatch):
    class Pipe:
        def __init__(self):
            self.said = []

        def say(self, event):
            self.said.append(event)

    pipe = Pipe()
    watch = worker.XidWatcher(pipe, [])
    watch._slots = {"0:12:00": 3}
    log: list[kernel_log.KernelXid] = []
    monkeypatch.setattr(kernel_log, "xids", lambda: (list(log), None))
    watch.grade()
    assert pipe.said == [], "nothing was reported"
    watch._ungraded_at = now = time.time()
    watch.grade()
    log += [
        kernel_log.KernelXid("0:12:00", 149, now, "nonfatal"),
        kernel_log.KernelXid("0:12:00", 149, now + 0.1, "fatal"),
    ]
    watch.grade()
    (event,) = pipe.said
    assert (event.gpu, event.code, event.count, event.severity, event.past) == (3, 149, 2, "fatal", True)
    watch.grade()
    assert len(pipe.said) == 1, "read once"


def test_a_log_that_may_not_be_read_is_told(tmp_path):
    found, warning = kernel_log.xids(tmp_path / "none")
    assert found == [] and warning is not None and warning.startswith("XIDs from before now are unknown")


def test_the_log_read_again_by_a_fresh_child_is_not_counted_twice(opened):
    nvml = opened()
    past = XidEvent(gpu=3, uuid="GPU-0000-3", code=31, at=200.0, first_at=100.0, count=4, past=True)
    live = XidEvent(gpu=3, uuid="GPU-0000-3", code=31, at=300.0, first_at=300.0)
    for event in (past, live):
        nvml._count(event)
    again = XidEvent(gpu=3, uuid="GPU-0000-3", code=31, at=300.0, first_at=100.0, count=5, past=True)
    nvml._count(again)
    xid = nvml._xids["gpu0001/3/31"]
    assert (xid.count, xid.first_at, xid.last_at) == (5, 100, 300)


def test_slots_and_the_gpu_that_tells_no_address(tmp_path):
    assert kernel_log.slot("00000000:3B:00.0") == kernel_log.slot("0000:3b:00") == "0:3b:00"
    for name in ("0000:9a:00.0", "0000:0a:00.0", "0001:01:00.0"):
        (tmp_path / name).mkdir()
    every = kernel_log.slots_of_driver(tmp_path)
    assert every == ["0:0a:00", "0:9a:00", "1:01:00"]
    assert kernel_log.by_slot({0: "00000000:0A:00.0", 1: None, 2: "00000001:01:00.0"}, every) == {
        "0:0a:00": 0, "0:9a:00": 1, "1:01:00": 2}  # fmt: skip
    assert kernel_log.by_slot({0: "00000000:9A:00.0", 1: None, 2: None}, every) == {"0:9a:00": 0}, "they disagree"
    assert kernel_log.by_slot({0: None}, ()) == {}
    assert kernel_log.slots_of_driver(tmp_path / "none") == []


def test_gpus_on_the_bus(tmp_path: Path):
    for at, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x10de", "0x030000"), ("0x10de", "0x068000"),
                                         ("0x8086", "0x030000")]):  # fmt: skip
        (tmp_path / str(at)).mkdir()
        (tmp_path / str(at) / "vendor").write_text(f"{vendor}\n")
        (tmp_path / str(at) / "class").write_text(f"{kind}\n")
    assert kernel_log.gpus_on_bus(tmp_path) == 2, "an NVSwitch (0x0680) is no GPU"
    assert kernel_log.gpus_on_bus(tmp_path / "none") is None
