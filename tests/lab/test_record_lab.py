"""A site's recorder publishes what it reads; the consoles of other users take it, and ask themselves when it dies."""

from __future__ import annotations

import grp
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.recording.store import RecordingReader
from tests.support.consoles import kept
from tests.support.other_users import open_to_others
from tests.support.paths import ROOT
from tests.support.recordings import cluster_at

from .counter import WHO, Counted
from .slurm import Lab

pytestmark = open_to_others

PATIENCE_S = 60.0
RECORDER, MEMBER, STRANGER = 65534, 20001, 20002
GROUP = "users"
MAIN = "from console.cli.main import main; main()"
CONFIG = """
[cluster.lab]
slurm = {{ interval_s = {interval}, share = false, budget = {{ calls = 600, seconds = 60 }}{more} }}
"""
CONSOLE = """
import sys, threading
from collectors.clock import SystemClock
from console.config.settings import load
from console.ingest.poller import Poller
from console.session.cluster_sources import choose
sources = [one for one in choose(load(sys.argv[1]), "lab").collectors() if one.name in ("slurm.jobs", "slurm.nodes")]
poller = Poller("lab", sources, SystemClock(), lambda cluster, diff: print(
    cluster.sources["slurm.jobs"].read_mono or 0, cluster.sources["slurm.jobs"].ok, len(cluster.jobs), flush=True))
poller.start()
threading.Event().wait()
"""


#: All that is imported is imported as root: the Python of a developer may lie where nobody else can read.
STARTER = """
import os, sys, importlib, pkgutil, sqlite3, grp, pwd, encodings.idna, encodings.ascii, encodings.latin_1
import collectors, console, platformdirs, tomllib, hashlib, statistics
for package in (collectors, console):
    for one in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if one.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(one.name)
        except ImportError:
            pass
from collectors.source_registry import descriptors
descriptors()
uid, groups, code, *sys.argv[1:] = sys.argv[1:]
os.setgroups([int(group) for group in groups.split(",") if group])
os.setgid(int(uid))
os.setuid(int(uid))
exec(code)
"""


class Place:
    """A folder that everybody may enter, with the commands of the lab and a configuration of each kind."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.folder, self.site = folder, folder / "site" / "published"
        self.counted = Counted(lab, folder)
        self.children: list[subprocess.Popen[str]] = []
        (folder / "site").mkdir()
        os.chown(folder / "site", RECORDER, RECORDER)
        # The recorder reads more often than who lives on it, so that there is always something newer.
        more = f', published = {{ folder = "{self.site}", owner = "nobody" }}'
        for name, text in (
            ("recorder.toml", CONFIG.format(interval=1.0, more="")),
            ("console.toml", CONFIG.format(interval=2.0, more=more)),
        ):
            (folder / name).write_text(text)
            (folder / name).chmod(0o644)

    def start(self, who: str, uid: int, groups: list[int], *words: str) -> subprocess.Popen[str]:
        """A program of one user, with nothing of ours but the code."""
        home = self.folder / who
        home.mkdir()
        os.chown(home, uid, uid)
        environment = {"HOME": str(home), "PATH": self.counted.path, WHO: who, "PYTHONPATH": str(ROOT),
                       "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}  # fmt: skip
        child = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(uid), ",".join(map(str, groups)), *words], env=environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.children.append(child)
        return child


@pytest.fixture
def place(lab_forky: Lab) -> Iterator[Place]:
    lab_forky.reset()
    folder = Path(tempfile.mkdtemp(prefix="wacht-record-"))
    folder.chmod(0o755)
    made = Place(lab_forky, folder)
    yield made
    for child in made.children:
        child.kill()
        child.communicate()
    made.counted.close()
    shutil.rmtree(folder)


class Readings:
    """The lines of a console, as they come."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self.begun: list[float] = []
        threading.Thread(target=self._read, args=(child.stdout,), daemon=True).start()

    def _read(self, out: Any) -> None:
        for line in out:
            self._lines.put(line)

    def more(self, count: int, since: float = 0.0) -> None:
        """Wait for so many more readings of the queue that were begun after that moment, all of them well."""
        found = 0
        until = time.monotonic() + PATIENCE_S
        while found < count:
            mono, ok, _ = self._lines.get(timeout=max(0.1, until - time.monotonic())).split()
            if float(mono) and float(mono) not in self.begun:
                assert ok == "True"
                self.begun.append(float(mono))
                found += float(mono) > since


def until(true, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.05)


def test_consoles_of_other_users_live_on_what_the_recorder_publishes(place: Place, lab_forky: Lab) -> None:
    gid = grp.getgrnam(GROUP).gr_gid
    file = place.folder / "site" / "lab.wacht"
    recorder = place.start(
        "recorder", RECORDER, [gid], MAIN, "record", str(file), "--publish", str(place.site), "--group", GROUP,
        "--config", str(place.folder / "recorder.toml"),
    )  # fmt: skip
    until(lambda: len(kept(place.site)) >= 5 or recorder.poll() is not None, "it publishes")
    assert recorder.poll() is None, recorder.communicate()
    status = place.site.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o2750, RECORDER, gid)
    for path in kept(place.site):
        found = path.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o640, RECORDER, gid)

    config = str(place.folder / "console.toml")
    member = Readings(place.start("member", MEMBER, [gid], CONSOLE, config))
    member.more(4)
    asked = place.counted.started("member")
    print(f"4 readings of jobs, and nodes: {asked} commands of its own; {place.counted.started('recorder')} recorder's")
    assert asked <= 2, "the second user asks Slurm for next to nothing"

    (job,) = lab_forky.submit(user="alice", nodes=1, name="seen by all")
    stranger = Readings(place.start("stranger", STRANGER, [], CONSOLE, config))
    stranger.more(2)
    assert place.counted.started("stranger") >= 2, "who is not of the group asks"

    shot = place.start("snapshot", MEMBER + 100, [gid], MAIN, "snapshot", "--json", "--config", config)
    out, err = shot.communicate(timeout=PATIENCE_S)
    assert job in {one["id"] for one in json.loads(out)["jobs"]}, err
    # The queue, and what is completing.
    assert place.counted.started("snapshot", "squeue") == 2, "a snapshot asks the machine itself"

    os.kill(recorder.pid, signal.SIGKILL)
    recorder.wait()
    before = place.counted.started("member")
    member.more(2, since=time.monotonic())
    assert place.counted.started("member") >= before + 2, "what is published ages out, and the console asks"

    recording = RecordingReader(file)
    assert job in cluster_at(recording, recording.last()).jobs, "killed in the middle, the recording is there"


@pytest.mark.parametrize("wrong", ["open", "not ours", "no group"])
def test_a_folder_that_nobody_would_believe_is_refused(place: Place, wrong: str) -> None:
    place.site.mkdir()
    os.chown(place.site, RECORDER if wrong != "not ours" else MEMBER, -1)
    place.site.chmod(0o2777 if wrong == "open" else 0o2750)
    group = "no-such-group" if wrong == "no group" else GROUP
    child = place.start(
        "recorder", RECORDER, [grp.getgrnam(GROUP).gr_gid], MAIN, "record", str(place.folder / "site" / "a.wacht"),
        "--publish", str(place.site), "--group", group, "--config", str(place.folder / "recorder.toml"),
    )  # fmt: skip
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 2
    told = {"open": "others can write there", "not ours": "no folder of this account", "no group": "knows no group"}
    assert told[wrong] in err and "Traceback" not in err
