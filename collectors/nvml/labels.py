"""NVML's numbers in words: throttle reasons, recovery actions, fabric state, start faults and their fixes."""

from __future__ import annotations

from . import kernel_log

#: nvmlClocksEventReason*; idle (1) is left out: it holds back nothing that is wanted.
_THROTTLE = (
    (0x002, "application clocks"), (0x004, "power cap"), (0x040, "thermal, hardware"), (0x020, "thermal, software"),
    (0x080, "power brake"), (0x008, "hardware slowdown"), (0x010, "sync boost"), (0x100, "display clocks"),
    (0x200, "board limit"), (0x400, "reliability"),
)  # fmt: skip
_IDLE, _SLOWDOWN, _CAUSES = 0x001, 0x008, 0x0C0

#: nvmlDeviceGpuRecoveryAction_t.
_RECOVERY = (
    "none", "reset", "reboot", "drain p2p", "drain and reset", "recover IMEX domain", "bus reset", "system reboot",
)  # fmt: skip

#: nvmlGpuFabricState_t, and the pairs of bits of its health mask that say true (1).
_FABRIC = ("not supported", "not started", "in progress", "ready")
_FABRIC_BITS = ((0, "degraded bandwidth"), (2, "route recovery"), (4, "route unhealthy"), (6, "access timeout"))
_FABRIC_WRONG = (
    "", "", "incorrect system GUID", "incorrect chassis", "no partition", "too few NVLinks", "incompatible firmware",
    "invalid location", "invalid GPU state",
)  # fmt: skip

LIBRARY = "libnvidia-ml.so.1"
_DMESG = "dmesg | grep NVRM"
#: Return code of nvmlInit to a fault's kind, what happened and how to fix it.
_START = {
    4: ("auth", "this user may not talk to the NVIDIA driver",
        "look at the mode of /dev/nvidia*; in a job only its own GPUs can be opened"),
    8: ("refused", "a GPU lacks its external power", f"look at its power cables; {_DMESG}"),
    9: ("refused", "the NVIDIA kernel driver is not loaded",
        f"modprobe nvidia; after a new kernel: dkms status; {_DMESG}"),
    11: ("refused", "the kernel has an interrupt problem with a GPU", _DMESG),
    12: ("missing", f"{LIBRARY} is not on this machine",
         "on a GPU node: install the NVIDIA driver; in a container: run it with NVIDIA's runtime"),
    13: ("refused", f"{LIBRARY} is too old: it lacks what nvidia-ml-py calls", "install a newer NVIDIA driver"),
    15: ("refused", "a GPU is lost: it has fallen off the bus", f"{_DMESG}; drain and reboot the node"),
    17: ("refused", "the operating system has blocked the call", "look at the cgroup's devices and at SELinux"),
    18: ("refused", "the driver's library and its kernel module have different versions",
         "the driver was updated while it was in use: reboot, or unload and load the nvidia modules"),
}  # fmt: skip
#: Codes of a GPU that no longer responds.
LOST = {
    15: "fallen off the bus or out of reach",
    16: "needs a reset before it can be used",
    28: "not found by the driver",
}


def throttle(mask: int) -> tuple[str, ...]:
    """Reasons for reduced clocks; () if not reduced."""
    if mask & _CAUSES:
        mask &= ~_SLOWDOWN  # it only says that one of these two is set
    mask &= ~_IDLE
    words = [word for bit, word in _THROTTLE if mask & bit]
    rest = mask & ~sum(bit for bit, _ in _THROTTLE)
    return (*words, *([f"reason 0x{rest:x}"] if rest else []))


def recovery(action: int) -> str:
    """The recovery action that the driver asks for."""
    return _RECOVERY[action] if 0 <= action < len(_RECOVERY) else f"action {action}"


def fabric(state: int, status: str | None, mask: int, summary: int, clique: int | None = None) -> str | None:
    """The state of a GPU in its NVLink fabric; None without one. `status` is why joining failed, `clique` its part of a
    domain of several nodes."""
    if state == 0:
        return None
    word = _FABRIC[state] if state < len(_FABRIC) else f"state {state}"
    if state == 3 and status is not None:
        return f"failed: {status}"
    where = [] if clique is None or state != 3 else [f"clique {clique}"]
    return ", ".join([word, *where, *fabric_problems(mask, summary)])


def fabric_problems(mask: int, summary: int = 0) -> list[str]:
    """The problems of a GPU's NVLink fabric, by its health mask and the driver's own summary (0: none given)."""
    trouble = [name for shift, name in _FABRIC_BITS if mask >> shift & 3 == 1]
    wrong = mask >> 8 & 0xF
    if wrong > 1:
        trouble.append(_FABRIC_WRONG[wrong] if wrong < len(_FABRIC_WRONG) else f"configuration {wrong}")
    return trouble + {2: ["unhealthy"], 3: ["limited capacity"]}.get(summary, [])


def start_fault(code: int, said: str) -> tuple[str, str, str]:
    """Kind, text and fix of the Fault for a driver that cannot be opened."""
    kind, what, mend = _START.get(
        code, ("refused", f"the NVIDIA driver cannot be opened: {said}", f"nvidia-smi; {_DMESG}")
    )
    module = kernel_log.module_version() if code == 18 else None
    return kind, f"nvml: {what}" + (f" (kernel module {module})" if module else ""), mend
