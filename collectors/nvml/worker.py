"""The child that holds NVML: `python -m collectors.nvml.worker NODE`, started by `client` alone.

Each message on its stdin asks for one reading, answered by one Answer on its stdout; an Event goes there whenever the
driver reports an XID. It ends when its stdin closes, even while a call of the driver hangs.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from collectors.child_process import exactly, say, take_stdout
from collectors.model import Severity

from . import kernel_log
from .protocol import Message, NvmlReading, XidEvent, worst

_XID = 8
"""nvmlEventTypeXidCriticalError."""
_WAIT_MS = 1000
_TIMEOUT, _LOST = 10, 15
#: The clocks of the log and of the driver's event differ by no more; after so long the log is not asked again.
_CLOSE_S, _GIVE_UP_S = 2.0, 60.0


class ClientPipe:
    """The pipe to the client. Nothing else may print there: what a library prints goes to stderr."""

    def __init__(self) -> None:
        self._out = take_stdout()
        self._encoder = msgspec.msgpack.Encoder()
        self._speaking = threading.Lock()
        self.asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    def say(self, message: Message) -> None:
        """Send one message, whole."""
        body = self._encoder.encode(message)
        with self._speaking:
            say(self._out, body)

    def _listen(self) -> None:
        try:
            while head := exactly(4):
                exactly(int.from_bytes(head, "big"))
                self.asked.put(None)
        finally:
            os._exit(0)


class XidWatcher:
    """Waits for XIDs in a thread and tells them as they come."""

    def __init__(self, line: ClientPipe, devices: list[Any]) -> None:
        self._line = line
        self._at = {_address(device.handle): device for device in devices if device.handle is not None}
        addresses = {device.index: device.extra.get("bus_id") for device in devices}
        self._slots = kernel_log.by_slot(addresses, kernel_log.slots_of_driver())
        self._uuids = {device.index: device.fixed.get("uuid") for device in devices}
        self.warnings: tuple[str, ...] = ()
        self._set: Any = None
        self._ungraded_at: float | None = None
        """When the driver reported an XID whose line in the log was not read yet."""

    def start(self) -> None:
        """Register every GPU, tell what the kernel's log holds, and begin to wait."""
        import pynvml as nvml

        refused = []
        try:
            self._set = nvml.nvmlEventSetCreate()
            for device in self._at.values():
                try:
                    nvml.nvmlDeviceRegisterEvents(device.handle, _XID, self._set)
                except nvml.NVMLError as error:
                    refused.append(f"GPU {device.index}: {error}")
        except nvml.NVMLError as error:
            refused = [str(error)]
            self._set = None
        if refused:
            self.warnings = (f"XIDs are not reported by the driver: {'; '.join(refused)}",)
        past, warning = kernel_log.xids()
        self._tell_log(past)
        if warning:
            self.warnings += (warning,)
        if self._set is not None and len(refused) < len(self._at):
            threading.Thread(target=self._wait, name="XIDs", daemon=True).start()

    def grade(self) -> None:
        """Tell the log again where the driver reported XIDs whose severity only the kernel's line says."""
        if self._ungraded_at is None:
            return
        past, _ = kernel_log.xids()
        graded = [one for one in past if one.code in kernel_log.GRADED]
        # The line may be written after the event; a log that cannot be read is not asked for ever.
        newest = max((one.at for one in graded), default=0.0)
        if newest >= self._ungraded_at - _CLOSE_S or time.time() - self._ungraded_at > _GIVE_UP_S:
            self._ungraded_at = None
        self._tell_log(graded)

    def _tell_log(self, past: Iterable[kernel_log.KernelXid]) -> None:
        """Tell what the kernel's log holds, one event a code and GPU."""
        seen: dict[tuple[str, int], list[kernel_log.KernelXid]] = {}
        for one in past:
            seen.setdefault((one.slot, one.code), []).append(one)
        for (slot, code), lines in seen.items():
            times = [one.at for one in lines]
            said = worst(*(one.severity for one in lines))
            self._tell(self._slots.get(slot), code, min(times), max(times), len(times), True, said)

    def _wait(self) -> None:
        import pynvml as nvml

        while True:
            try:
                data = nvml.nvmlEventSetWait(self._set, _WAIT_MS)
            except nvml.NVMLError as error:
                if error.value != _TIMEOUT:
                    time.sleep(1.0)  # a lost GPU makes every wait return at once
                continue
            if data.eventType & _XID:
                device, now = self._at.get(_address(data.device)), time.time()
                self._tell(None if device is None else device.index, data.eventData, now, now)
                if data.eventData in kernel_log.GRADED:
                    self._ungraded_at = now

    def _tell(
        self, gpu: int | None, code: int, first: float, last: float, count: int = 1, past: bool = False,
        severity: Severity | None = None,
    ) -> None:  # fmt: skip
        uuid = None if gpu is None else self._uuids.get(gpu)
        self._line.say(
            XidEvent(gpu=gpu, uuid=uuid, code=code, at=last, first_at=first, count=count, past=past, severity=severity)
        )


def _address(handle: Any) -> int:
    """A handle as a number that can be compared."""
    import ctypes

    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def main(node: str) -> None:
    """Serve until stdin closes, or until the driver cannot be opened: that is told once."""
    line = ClientPipe()
    line.asked.get()
    try:
        from .gpu_reads import Sampler
    except ImportError:
        line.say(
            _failed(("missing", "nvml: the Python package nvidia-ml-py is not installed", "pip install nvidia-ml-py"))
        )
        return
    sampler = Sampler(node)
    fault = sampler.open()
    if fault is not None:
        line.say(_failed(fault))
        return
    watch = XidWatcher(line, sampler.devices)
    watch.start()
    while True:
        watch.grade()
        answer = sampler.read()
        line.say(msgspec.structs.replace(answer, warnings=(*watch.warnings, *answer.warnings)))
        line.asked.get()


def _failed(fault: tuple[str, str, str]) -> NvmlReading:
    return NvmlReading(at=time.time(), fault=fault, on_bus=kernel_log.gpus_on_bus(), cpu_s=time.process_time())


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
