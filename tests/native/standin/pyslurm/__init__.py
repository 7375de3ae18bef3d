"""Stands in for pyslurm where the real one is not: recorded objects, the faults that a test asks for, a log of changes.

WACHT_STANDIN names a JSON file: `data` (a recording of `tests.native.record`), `log`, and `faults`, from a question
("jobs") or a change ("hold 38") to what happens: "hang", "exit", "noise", "garbage", a signal's number, or an error as
[number, text]. "import" is a question too.
"""

import contextlib
import json
import os
import time
from pathlib import Path

_ASKED = json.loads(Path(os.environ["WACHT_STANDIN"]).read_text())
_DATA = json.loads(Path(_ASKED["data"]).read_text())
__version__ = _ASKED.get("version", _DATA["pyslurm"])


class RPCError(Exception):
    def __init__(self, number, text):
        super().__init__(text)
        self.errno = number


def _meet(what):
    """The fault that was asked for, if any."""
    fault = _ASKED["faults"].get(what)
    if isinstance(fault, list):
        raise RPCError(*fault)
    if isinstance(fault, int):
        os.kill(os.getpid(), fault)
    if fault == "missing":
        raise ModuleNotFoundError("No module named 'pyslurm'", name="pyslurm")
    if fault == "unfit":
        raise ImportError("libslurm.so.44: cannot open shared object file: No such file or directory")
    if fault == "exit":
        os.write(2, b"python: fatal: Could not establish a configuration source\n")
        os._exit(1)
    if fault == "hang":
        time.sleep(3600)
    if fault == "noise":
        print("fs disk fs/disk")
    if fault == "garbage":
        for fd in range(3, 20):
            with contextlib.suppress(OSError):
                os.write(fd, (5).to_bytes(4, "big") + b"\xc1\xc1\xc1\xc1\xc1")


_meet("import")


class _Thing:
    """One recorded object."""

    def __init__(self, fields):
        self.__dict__["_fields"] = fields

    def __getattr__(self, name):
        value = self._fields[name]
        if not isinstance(value, dict):
            return value
        if "!raises" in value:
            raise ValueError(value["!raises"])
        if "!bytes" in value:
            return bytes.fromhex(value["!bytes"]).decode()
        if "!gres" in value:
            return _Thing({"gres": {key: _Thing({"count": count}) for key, count in value["!gres"].items()}})
        if "!flags" in value:
            return [_Thing({"name": one}) for one in value["!flags"]]
        return {key: _Thing(one) for key, one in value["!counts"].items()} if "!counts" in value else value

    def get_resource_layout_per_node(self):
        return self._fields["layout"]


def _collection(kind, key):
    class Collection(dict):
        @staticmethod
        def load():
            _meet(kind)
            return Collection({row[key]: _Thing(row) for row in _DATA[kind]})

    return Collection


Nodes, Jobs = _collection("nodes", "name"), _collection("jobs", "id")
Partitions, Reservations = _collection("partitions", "name"), _collection("reservations", "name")


class slurmctld:  # noqa: N801
    class Statistics:
        @staticmethod
        def load():
            _meet("statistics")
            return _Thing(_DATA["statistics"])

    class Config:
        @staticmethod
        def load():
            _meet("config")
            return _Thing(_DATA["config"])


def _do(what):
    with Path(_ASKED["log"]).open("a") as log:
        log.write(f"{what}\n")
    _meet(what)


class Node:
    def __init__(self, name=None, **changes):
        self.name, self.changes = name, changes

    def modify(self, other):
        _do(" ".join([f"modify {self.name}", *(f"{key}={value}" for key, value in other.changes.items())]))


class JobSubmitDescription:
    def __init__(self, priority):
        self.priority = priority


class Job:
    def __init__(self, number):
        self.number = number

    def hold(self, mode=None):
        _do(f"hold {self.number}" if mode is None else "crash")

    def release(self):
        _do(f"release {self.number}")

    def requeue(self, hold=False):
        _do(f"requeue{'hold' if hold else ''} {self.number}")

    def modify(self, other):
        _do(f"priority {self.number} {other.priority}")

    def cancel(self):
        _do(f"cancel {self.number}")
        if self.number not in _ASKED.get("deaf", []):
            _DATA["jobs"] = [one for one in _DATA["jobs"] if one["id"] != self.number]
