"""What the kernel knows of the GPUs, independent of NVML: XIDs in its log since boot, GPUs on the PCI bus."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from collectors.clean import decode
from collectors.model import Severity

#: "NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python, GPU has fallen off the bus."; older drivers write no pid.
_XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})[^)]*\): (\d+)")
#: "NVRM: Xid (PCI:0018:01:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 08 (0x004505c6 0x00000000 …)", with or without
#: a pid and a name after the code: NVLink 5 errors, whose line has their severity.
_NVLINK = re.compile(r"(?:, pid=[^,]*, name=[^,]*)?, [A-Z0-9_/ ]+?\s+(Fatal|Nonfatal)\s+XC", re.IGNORECASE)
_SEVERITIES = re.compile(r"\b(?:Fatal|Nonfatal)\s+XC", re.IGNORECASE)
#: The XIDs whose log line says whether they are fatal.
GRADED = range(144, 151)
_LEVELS = frozenset("01234567")
_COUNT = re.compile("[0-9]{1,18}")  # "²" is a digit for str.isdigit, but not for int
_RECORDS = 100_000
_NVIDIA = "0x10de"
#: PCI classes of a GPU: 3D controller (data centre), VGA controller.
_GPU_CLASSES = ("0x0302", "0x0300")


def slot(bus_id: str) -> str:
    """Domain, bus and device of a PCI address in one form: "3b:00" of domain 0 is "0:3b:00"."""
    domain, bus, device = bus_id.partition(".")[0].split(":")[-3:]
    return f"{int(domain, 16):x}:{int(bus, 16):02x}:{int(device, 16):02x}"


class KernelXid(Struct, frozen=True):
    """One XID in the kernel's log."""

    slot: str
    code: int
    at: float
    """Epoch."""
    severity: Severity | None = None
    """The severity in the line, None without one."""


def xids(log: Path = Path("/dev/kmsg"), now: float | None = None) -> tuple[list[KernelXid], str | None]:
    """XIDs in the kernel's log, and the reason if it is unreadable.

    The log is a ring buffer: old entries of a busy node are lost.
    """
    now = time.time() if now is None else now
    booted = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        fd = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return [], f"XIDs from before now are unknown: {log}: {error.strerror}; root may read it"
    found = []
    try:
        for _ in range(_RECORDS):
            try:
                record = os.read(fd, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten while being read: the next read returns the oldest entry
                continue
            if not record:
                break
            found += _in(decode(record), booted)
    except OSError as error:
        return found, f"XIDs from before now are unknown: {log}: {error.strerror}; root may read it"
    finally:
        os.close(fd)
    return found, None


def _in(text: str, booted: float) -> list[KernelXid]:
    """XIDs in one or more records "6,1234,98765432,-;NVRM: Xid …": the third field is microseconds since boot."""
    found = []
    for line in text.splitlines():
        head, sign, rest = line.partition(";")
        match = _XID.match(rest) if sign and not line.startswith(" ") else None
        fields = head.split(",")
        # Other facilities than the kernel's (0) are written by users of the log.
        if match and len(fields) > 2 and fields[0] in _LEVELS and _COUNT.fullmatch(fields[2]):
            code = int(match[2])
            said = _severity(rest[match.end() :]) if code in GRADED else None
            found.append(KernelXid(slot(match[1]), code, booted + int(fields[2]) / 1e6, said))
    return found


def _severity(rest: str) -> Severity | None:
    """The severity after the code of an NVLink 5 error; None also if the line has two: a process name can be chosen
    freely."""
    match = _NVLINK.match(rest)
    if match is None or len(_SEVERITIES.findall(rest)) != 1:
        return None
    return "fatal" if match[1].lower() == "fatal" else "nonfatal"


def gpus_on_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """The number of NVIDIA GPUs on the PCI bus; None if unreadable or 0 (a virtual machine)."""
    count = 0
    try:
        for device in devices.iterdir():
            if (device / "vendor").read_text().strip() == _NVIDIA:
                count += (device / "class").read_text().strip().startswith(_GPU_CLASSES)
    except OSError:
        return None
    return count or None


def module_version(proc: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """Version of the loaded kernel module, None without one."""
    try:
        match = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", proc.read_text())
    except OSError:
        return None
    return match[1] if match else None


def slots_of_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """PCI slots of every GPU of the kernel module, lost ones too, in NVML's order."""
    try:
        names = [path.name for path in folder.iterdir() if path.name.count(":") >= 2]
    except OSError:
        return []
    return [slot(name) for name in sorted(names, key=lambda name: [int(part, 16) for part in re.split("[:.]", name)])]


def by_slot(bus_ids: Mapping[int, str | None], every: Sequence[str] = ()) -> dict[str, int]:
    """PCI slot to its GPU's index. A GPU lost from the start has no address: its place among `every` slot of the driver
    is used if all others agree with theirs."""
    known = {slot(bus_id): index for index, bus_id in bus_ids.items() if bus_id and bus_id.count(":") >= 2}
    if len(every) == len(bus_ids) and all(every[index] == at for at, index in known.items()):
        return {at: index for index, at in enumerate(every)}
    return known
