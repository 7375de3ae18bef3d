"""Keeps the child that reads through pyslurm: one question at a time, killed if it hangs, then restarted."""

from __future__ import annotations

import threading
import time

import msgspec
from msgspec import Struct

from collectors import child_process, process
from collectors.clean import clean
from collectors.clock import Clock, SystemClock
from collectors.decoding import msgpack_decoder
from collectors.model import SourceFault

from .protocol import CONTROLLER_FAULTS, NativeReading, Question

#: Longest wait between two attempts after failures of the child or the controller.
LONGEST_WAIT_S = 30.0
#: 100,000 jobs are 40 MB.
MAX_BYTES = 512 << 20
#: libslurm's messages before it ends the process without a slurm.conf.
_NO_CONF = ("cannot stat file", "configuration source", "DNS SRV", "process configuration file", "ClusterName needs")

_DECODER: msgspec.msgpack.Decoder[NativeReading] = msgpack_decoder(NativeReading)
_ENCODER = msgspec.msgpack.Encoder()


def command(module: str, *words: str) -> list[str]:
    """The command that starts a child."""
    return child_process.command(f"collectors.slurm.native.{module}", *words)


def environment() -> dict[str, str]:
    """The environment of a child."""
    # 0: list all waiting tasks of an array, not only the first 64 characters of their numbers.
    return child_process.environment({"SLURM_BITSTR_LEN": "0"})


class _Rest(Struct, frozen=True):
    """A failed question is answered with its fault until this time."""

    failures: int
    until: float
    fault: SourceFault


class NativeClient:
    """One child. Any thread may ask; requests are serialised."""

    def __init__(self, deadline_s: float, clock: Clock | None = None) -> None:
        self.sizes: dict[str, int] = {}
        """Bytes of the last answer, by kind of question."""
        self._deadline_s = deadline_s
        self._clock = clock or SystemClock()
        self._turn = threading.Lock()
        self._child: process.Child | None = None
        self._stuck: process.Child | None = None
        self._closed = False
        self._rests: dict[str, _Rest] = {}
        """By kind of question; under "" what concerns them all: the controller."""

    def ask(self, question: Question) -> NativeReading:
        """Ask the child, which is started if needed. Raises SourceFault and then backs off.

        A dead controller costs 10 s a call, so a fault of the controller backs off every kind of question; a question
        that crashes or hangs the child backs off only itself.
        """
        if not self._turn.acquire(timeout=self._deadline_s):
            raise self._late()
        try:
            for key in ("", question.kind):
                rest = self._rests.get(key)
                if rest is not None and self._clock.mono() < rest.until:
                    raise rest.fault
            process.count_request()
            try:
                answer = self._ask(question)
            except SourceFault as fault:
                self._failed(question.kind, fault)
                raise
            if answer.fault is not None:
                told = SourceFault(*answer.fault)
                if told.fault.kind in CONTROLLER_FAULTS:
                    self._failed("", told)
                raise told
            self._rests.pop("", None)
            self._rests.pop(question.kind, None)
            return answer
        finally:
            self._turn.release()

    def _ask(self, question: Question) -> NativeReading:
        if self._closed:
            raise SourceFault("internal", "pyslurm: closed")
        if self._stuck is not None and self._stuck.how() == "runs":
            raise SourceFault(
                "timeout", f"pyslurm: process {self._stuck.pid} cannot be ended", "is a file system hung?"
            )
        if self._child is None:
            self._child = process.Child(command("worker"), env=environment(), cap_bytes=MAX_BYTES)
        asked = self._child
        try:
            asked.send(_ENCODER.encode(question))
            said = asked.receive(time.monotonic() + self._deadline_s)
            self.sizes[question.kind] = len(said)
            return _DECODER.decode(said)
        except SourceFault as error:
            self._end()
            raise self._named(error, asked.how()) from None
        except msgspec.DecodeError as error:
            self._end()
            raise SourceFault(
                "malformed", clean(f"pyslurm: its process's answer cannot be read: {error}"), "report it"
            ) from None

    def _named(self, error: SourceFault, how: str) -> SourceFault:
        """The fault with a text for operators. `how`, how the child ended, has its last error output."""
        kind, what = error.fault.kind, error.fault.what
        if self._closed:
            return SourceFault("internal", "pyslurm: closed")
        if any(sign in how for sign in _NO_CONF):
            said = how.partition(": ")[2]
            return SourceFault("missing", f"pyslurm: there is no slurm.conf that can be used: {said}", "set SLURM_CONF")
        if kind == "timeout":
            return self._late()
        if kind == "cut":
            return SourceFault("cut", f"the process that runs pyslurm {how}", "it starts anew")
        return SourceFault(kind, f"pyslurm: {what}", "it starts anew")

    def _late(self) -> SourceFault:
        """The fault of a time-out: the same words for the request and for those that waited behind it."""
        what = f"pyslurm got no answer from the controller in {self._deadline_s:g} s"
        return SourceFault("timeout", what, "is slurmctld down, or busy? try: scontrol ping")

    def _end(self) -> None:
        """End the child. If the kernel holds it, it is remembered and no second one is started."""
        ended, self._child = self._child, None
        self._stuck = ended if ended is not None and not ended.close() else None

    def _failed(self, key: str, fault: SourceFault) -> None:
        before = self._rests.get(key)
        failures = 1 + (before.failures if before is not None else 0)
        until = self._clock.mono() + min(LONGEST_WAIT_S, 2.0 ** (failures - 1))
        self._rests[key] = _Rest(failures, until, fault)

    def close(self) -> None:
        """End the child. A running question ends with it."""
        self._closed = True
        asked = self._child
        if asked is not None:
            asked.kill()
        if self._turn.acquire(timeout=1.0):
            try:
                self._end()
            finally:
                self._turn.release()
