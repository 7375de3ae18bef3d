"""The journal's witness before a real rsyslog, with Debian's own configuration and the lines of docs/first-day.md: an
action's lines arrive whole and readable, here and on another host, and a hostile reason forges nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from console.journal.syslog_witness import Witness
from tests.support.paths import DOCS

from .inside import Inside, layer
from .place import wait_for
from .slurm import Lab

pytestmark = pytest.mark.lab

PAGE = (DOCS / "first-day.md").read_text()
(FORWARD,) = re.findall(r"^```\n(\$MaxMessageSize.*?)```", PAGE, re.M | re.S)
FIELDS = """\
template(name="fields" type="list") {
    constant(value="{") property(outname="program" name="programname" format="jsonf")
    constant(value=", ") property(outname="pid" name="procid" format="jsonf")
    constant(value=", ") property(outname="facility" name="syslogfacility-text" format="jsonf")
    constant(value=", ") property(outname="severity" name="syslogseverity-text" format="jsonf")
    constant(value=", ") property(outname="said" name="msg" format="jsonf") constant(value="}\\n")
}
if $programname == "wacht" then action(type="omfile" file="/var/log/fields" template="fields")
"""
HOSTILE = 'fan dead\n<0>kernel: "forged" \x1b[2J %msg% \x85 é'


class Room:
    """A host with rsyslog, and the host to which it sends."""

    def __init__(self, inside: Inside, far: socket.socket) -> None:
        self.inside, self.far = inside, far
        self.begin()

    def begin(self) -> None:
        argv = self.inside.argv(["rsyslogd", "-n", "-i", "/run/rsyslogd.pid"])
        null = subprocess.DEVNULL
        self._daemon = subprocess.Popen(argv, env=self.inside.environment(), stdin=null, stdout=null, stderr=null)
        wait_for(Witness(self.inside.path("/dev/log")).missing, 10)

    def end(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(20)

    def told(self, count: int) -> list[dict[str, Any]]:
        """So many lines of rsyslog's, each with its fields."""
        file = self.inside.path("/var/log/fields")

        def lines() -> list[str]:
            return file.read_text().splitlines() if file.exists() else []

        wait_for(lambda: "" if len(lines()) >= count else f"{len(lines())} of {count} lines", 60)
        return [json.loads(line) for line in lines()]


@pytest.fixture
def room(lab_forky: Lab) -> Iterator[Room]:
    lab_forky.reset()
    packages = layer("forky", "rsyslog", "rsyslog", "libestr0", "libfastjson4", "liblognorm5")
    with Inside(lab_forky, packages) as inside, socket.create_server(("127.0.0.1", 0)) as far:
        far.settimeout(10)
        conf = inside.path("/etc/rsyslog.conf").read_text()
        # The kernel's own messages are the machine's, and nobody else's to read away.
        inside.write("/etc/rsyslog.conf", "".join(line for line in conf.splitlines(True) if "imklog" not in line))
        forward = FORWARD.replace("loghost.example", "127.0.0.1").replace("6514", str(far.getsockname()[1]))
        assert forward.count("127.0.0.1") == 1
        inside.write("/etc/rsyslog.d/wacht.conf", forward)
        inside.write("/etc/rsyslog.d/fields.conf", FIELDS)
        for folder in ("/var/spool/rsyslog", "/var/log"):
            inside.path(folder).mkdir(parents=True, exist_ok=True)
        said = inside.run(["rsyslogd", "-N1"])
        assert said.returncode == 0 and "error" not in said.stderr.lower(), said.stderr
        one = Room(inside, far)
        try:
            yield one
        finally:
            one.end()


def test_an_actions_lines_arrive_whole_here_and_on_another_host(room: Room, lab_forky: Lab) -> None:
    words = ("act", "drain", "gpu0001", "--reason", HOSTILE, "--yes")
    done = room.inside.wacht(*words, user="root", SLURM_CONF=lab_forky.conf)
    assert done.returncode == 0, done
    (file,) = room.inside.path("/root/.local/state/wacht/journal").glob("*.jsonl")
    written = [json.loads(line) for line in file.read_text().splitlines()]
    events = [line["event"] for line in written]
    assert {"intent", "result", "verified"} <= set(events)
    told = room.told(len(written))
    assert {(one["program"], one["facility"], one["severity"]) for one in told} == {("wacht", "authpriv", "notice")}
    said = [json.loads(one["said"]) for one in told]
    assert [line["event"] for line in said] == events, "no line but ours, each once"
    assert [line["sum"] for line in said] == [line["sum"] for line in written]
    # Debian's own rule for authpriv, which others may not read.
    auth = room.inside.path("/var/log/auth.log")
    assert len(auth.read_text().splitlines()) == len(written) and auth.stat().st_mode & 0o007 == 0
    assert auth.read_bytes().isascii() and b"\x1b" not in auth.read_bytes()
    to, _ = room.far.accept()
    with to:
        to.settimeout(10)
        raw = b""
        while raw.count(b"\n") < len(written):
            more = to.recv(1 << 16)
            assert more, "it ended before all had come"
            raw += more
    forms = [re.fullmatch(rb"<85>.{15,40} \S+ wacht\[\d+\]: (\{.*\})", line) for line in raw.splitlines()]
    assert [json.loads(form[1])["sum"] for form in forms if form] == [line["sum"] for line in written]


def test_the_longest_line_and_a_restart(room: Room) -> None:
    witness = Witness(room.inside.path("/dev/log"))
    names = [f"r{rack:03d}n{number:02d}" for rack in range(1, 700) for number in (1, 3, 5, 7, 9, 12, 15, 17)]
    line = {"event": "intent", "id": "a", "action": "drain", "kind": "node", "targets": names, "reason": "z" * 9000}
    assert witness.tell(line, "f" * 64) == ""
    (told,) = room.told(1)
    said = json.loads(told["said"])
    assert (told["pid"], said["sum"], said["id"], said["cut"]) == (str(os.getpid()), "f" * 64, "a", True)
    room.end()
    assert "No such file" in witness.tell(line, "e" * 64)
    room.begin()
    assert witness.tell(line, "d" * 64) == "" and json.loads(room.told(2)[1]["said"])["sum"] == "d" * 64
