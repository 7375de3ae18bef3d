"""What the kernel knows of the GPUs whatever NVML says: XIDs in its log since boot, GPUs on the PCI bus."""

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
#: "NVRM: Xid (PCI:0018:01:00): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 08 (0x004505c6 0x00000000 …)", with a pid and a
#: name behind the code or without: NVLink 5 errors, whose line says how severe they are.
_NVLINK = re.compile(r"(?:, pid=[^,]*, name=[^,]*)?, [A-Z0-9_/ ]+?\s+(Fatal|Nonfatal)\s+XC", re.IGNORECASE)
_SEVERITIES = re.compile(r"\b(?:Fatal|Nonfatal)\s+XC", re.IGNORECASE)
#: The XIDs whose line says whether it is fatal.
GRADED = range(144, 151)
_LEVELS = frozenset("01234567")
_COUNT = re.compile("[0-9]{1,18}")  # "²" is a digit to str.isdigit, and no number to int
_RECORDS = 100_000
_NVIDIA = "0x10de"
#: PCI classes of a GPU: 3D controller (data centre), VGA controller.
_GPU_CLASSES = ("0x0302", "0x0300")


def slot(bus_id: str) -> str:
    """Domain, bus and device of a PCI address in one spelling: "3b:00" of domain 0 is "0:3b:00"."""
    domain, bus, device = bus_id.partition(".")[0].split(":")[-3:]
    return f"{int(domain, 16):x}:{int(bus, 16):02x}:{int(device, 16):02x}"


class KernelXid(Struct, frozen=True):
    """One XID in the kernel's log."""

    slot: str
    code: int
    at: float
    """Epoch."""
    severity: Severity | None = None
    """What the line says, None where it says nothing of it."""


def xids(log: Path = Path("/dev/kmsg"), now: float | None = None) -> tuple[list[KernelXid], str | None]:
    """XIDs in the kernel's log; and why it could not be read, where it could not.

    The log is a ring: what happened long ago on a talkative node is no longer in it.
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
            except BrokenPipeError:  # overwritten while it was read: the next read gives the oldest there is
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
        # A facility other than the kernel's (0) is somebody's who may write to the log.
        if match and len(fields) > 2 and fields[0] in _LEVELS and _COUNT.fullmatch(fields[2]):
            code = int(match[2])
            said = _severity(rest[match.end() :]) if code in GRADED else None
            found.append(KernelXid(slot(match[1]), code, booted + int(fields[2]) / 1e6, said))
    return found


def _severity(rest: str) -> Severity | None:
    """What stands behind the code of an NVLink 5 error; None also where the line says it twice: the name of a process
    is anybody's to choose."""
    match = _NVLINK.match(rest)
    if match is None or len(_SEVERITIES.findall(rest)) != 1:
        return None
    return "fatal" if match[1].lower() == "fatal" else "nonfatal"


def gpus_on_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int | None:
    """How many NVIDIA GPUs the PCI bus shows; None where it cannot be read or shows none (a virtual machine)."""
    count = 0
    try:
        for device in devices.iterdir():
            if (device / "vendor").read_text().strip() == _NVIDIA:
                count += (device / "class").read_text().strip().startswith(_GPU_CLASSES)
    except OSError:
        return None
    return count or None


def module_version(proc: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """Version of the loaded kernel module, None where there is none."""
    try:
        match = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", proc.read_text())
    except OSError:
        return None
    return match[1] if match else None


def slots_of_driver(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """PCI slots of every GPU that the kernel module has, lost ones too, in the order in which NVML counts."""
    try:
        names = [path.name for path in folder.iterdir() if path.name.count(":") >= 2]
    except OSError:
        return []
    return [slot(name) for name in sorted(names, key=lambda name: [int(part, 16) for part in re.split("[:.]", name)])]


def by_slot(bus_ids: Mapping[int, str | None], every: Sequence[str] = ()) -> dict[str, int]:
    """PCI slot to the index of its GPU. One that is lost from the start tells no address: then its place among `every`
    slot of the driver tells it, where all the others agree with theirs."""
    known = {slot(bus_id): index for index, bus_id in bus_ids.items() if bus_id and bus_id.count(":") >= 2}
    if len(every) == len(bus_ids) and all(every[index] == at for at, index in known.items()):
        return {at: index for index, at in enumerate(every)}
    return known
