"""Unexpected errors, and faults of the log, the line to the terminal and the recorder.

An error of the event loop ends the console (`widgets.textual_ext.app_errors`), and `start` writes the report. After an
error of a worker the console goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.worker import Worker, WorkerState

from console.clusters.fleet import Fleet
from console.runtime import log

from .notifications import Notifications
from .ports import Terminal

#: Failed workers of one console that are reported; the first ones matter.
_REPORTS = 3


class ErrorReporting:
    """Reports what fails while the console runs. For threads see `QuietApp.thread_died`."""

    def __init__(self, fleet: Fleet, notifications: Notifications, port: Terminal) -> None:
        self._fleet, self._notify, self._port = fleet, notifications, port
        self._was_slow = False
        self._recorder_fault = ""
        self._reports = 0

    def install_loop_handler(self) -> None:
        """Report exceptions of event loop callbacks. Called on the event loop."""
        asyncio.get_running_loop().set_exception_handler(self._loop_failed)

    def check(self) -> None:
        """Log changes of slow mode; show a message when the log cannot be written, and once when recording fails: the
        top line shows that for as long as it lasts."""
        slow = self._port.slow_line
        if slow != self._was_slow:
            self._was_slow = slow
            log.info("terminal", f"slow mode is {'on' if slow else 'off'}")
        if why := log.unreported_fault():
            self._notify.show(why, "warning")
        recorder = self._fleet.live.recorder
        fault = recorder.trouble if recorder is not None else ""
        if fault and not self._recorder_fault:
            self._notify.show(f"not recorded: {fault}", "warning")
        self._recorder_fault = fault

    def worker_changed(self, event: Worker.StateChanged) -> None:
        """Report a failed worker; the console goes on."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None:
            return
        if not self._port.is_running or self._reports >= _REPORTS:
            return
        from console.session import crash

        self._reports += 1
        brief, text = f"an error of its own: {crash.where(error)}", crash.report([error])

        def work() -> None:
            kept = crash.save_report(text, brief)
            self._port.call_from_thread(self._notify.show, f"{brief}; wacht goes on. Report: {kept}", "error")

        self._port.run_in_thread(work, "crash")

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the console when a callback of the event loop failed: nothing else would notice."""
        error = context.get("exception")
        if isinstance(error, Exception) and self._port.is_running:
            self._port.fail(error)
