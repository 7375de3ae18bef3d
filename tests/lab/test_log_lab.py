"""The end of what real jobs wrote, read by wacht where the jobs ran: each pattern of Slurm's leads to the very file,
and whatever a user puts into its place is told as what it is, at once."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .inside import Inside
from .place import wait_for
from .roots import SUITES, USERS
from .slurm import Lab

pytestmark = pytest.mark.lab

READ = """
import json, sys, time
from types import SimpleNamespace as There
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_accounting, open_transport
from console.screens.job_output import read_log
settings = SlurmSettings(share=False)
at = There(transport=open_transport("lab", settings), ledger=open_accounting("lab", settings))
cluster = There(jobs=at.transport.read_jobs(sys.argv[1:]))
found = {}
for job in sys.argv[1:]:
    began = time.monotonic()
    try:
        tail = read_log(at, job, cluster)
        found[job] = {"path": tail.path, "size": tail.size, "begins": tail.begins_at, "lines": tail.lines[-3:]}
    except SourceFault as error:
        found[job] = {"fault": error.fault.kind, "said": str(error.fault)}
    found[job]["took"] = time.monotonic() - began
print(json.dumps(found))
"""
#: Given to sbatch as --output: what the file is then called, of a job of its own and of task 3 of an array.
PATTERNS = {
    None: ("slurm-{job}.out", "slurm-{array}_3.out"),
    "%x-%u-%N.%j": ("train-alice-gpu0001.{job}",) * 2,
    "%j.out": ("{job}.out",) * 2,
    "%A_%a.out": ("{job}_4294967294.out", "{array}_3.out"),
    "logs/%8j-%%-%b-%n-%t-%s": ("logs/{job:0>8}-%-4-0-0-batch", "logs/{job:0>8}-%-3-0-0-batch"),
}


class Site(NamedTuple):
    lab: Lab
    inside: Inside
    home: Path
    """alice's own folder, as the host sees it."""

    @property
    def at(self) -> str:
        """The same, as her jobs see it, and wacht."""
        return f"{self.lab.state.place}/alice"

    def reads(self, *jobs: str, user: str = "bob") -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.inside.python(READ, *jobs, user=user, SLURM_CONF=self.lab.conf)
        return found

    def runs(self, output: str | None, *more: str) -> str:
        """A job of alice's that has written a line."""
        words = ["--parsable", f"--chdir={self.at}", "--job-name=train", "--nodelist=gpu0001",
                 *more, *([f"--output={output}"] if output else [])]  # fmt: skip
        script = 'echo "I am $SLURM_ARRAY_JOB_ID/$SLURM_JOB_ID"; sleep 600'
        return self.lab.check(["sbatch", *words, f"--wrap={script}"], "alice").strip()

    def wait_for_lines(self, *names: str) -> None:
        """Until each of her files has its line: Slurm makes the file well before the job's shell gets to write."""
        paths = [self.home / name for name in names]
        wait_for(lambda: "".join(f"nothing stands in {path}; " for path in paths
                                 if not path.exists() or not path.stat().st_size), 60)  # fmt: skip


#: A file system whose server never answers, as a home directory in a storage outage. It lives as long as `cat`.
HANG = """
exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other hung "$0" && echo ready && exec cat
"""


def standing(lab: Lab) -> Iterator[Site]:
    lab.reset()
    home = lab.folder / "alice"
    for path in (home, home / "logs", home / "hidden", home / "hangs"):
        path.mkdir()
        os.chown(path, USERS["alice"], USERS["alice"])
    try:
        with Inside(lab) as inside:
            yield Site(lab, inside, home)
    finally:
        lab.reset()
        shutil.rmtree(home)


@pytest.fixture(params=SUITES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Each version in turn."""
    yield from standing(request.getfixturevalue(f"lab_{request.param}"))


@pytest.fixture
def site_forky(lab_forky: Lab) -> Iterator[Site]:
    yield from standing(lab_forky)


def test_every_pattern_of_slurms_leads_to_the_file(site: Site) -> None:
    """Read by an operator who is neither alice nor root, through paths, accounts and modes as the jobs have them."""
    wanted: dict[str, tuple[str, str]] = {}
    for output, (single, task) in PATTERNS.items():
        job, array = site.runs(output), site.runs(output, "--array=3")
        wanted[job] = (single.format(job=job), f"I am /{job}")
        wanted[f"{array}_3"] = (task.format(job=array, array=array), f"I am {array}/{array}")
    site.lab.wait_jobs("RUNNING", list(wanted))
    if site.lab.suite == "trixie":
        # 24.11 calls a node by the name of its host, which all nodes of a lab share; on a site both are the same.
        wait_for(lambda: "" if len(list(site.home.glob("*-labctl.*"))) == 2 else "%N is not labctl", 10)
        for path in site.home.glob("*-labctl.*"):
            path.rename(path.with_name(path.name.replace("labctl", "gpu0001")))
    site.wait_for_lines(*(name for name, _ in wanted.values()))
    found = site.reads(*wanted)
    assert {job: (one.get("path"), one.get("lines")) for job, one in found.items()} == {
        job: (f"{site.at}/{name}", [line]) for job, (name, line) in wanted.items()
    }


def test_whatever_lies_in_its_place_is_told_at_once(site_forky: Site) -> None:
    site, home, alice = site_forky, site_forky.home, USERS["alice"]
    kinds = ("shut", "hidden/x", "fifo", "device", "link", "folder", "theirs", "gone", "huge", "steers", "hangs/x")
    jobs = {kind: site.runs(kind) for kind in kinds}
    site.lab.wait_jobs("RUNNING", list(jobs.values()))
    site.wait_for_lines(*kinds)
    (home / "shut").chmod(0o600)
    (home / "hidden").chmod(0o700)
    for kind in ("fifo", "device", "link", "folder", "gone"):
        (home / kind).unlink()
    os.mkfifo(home / "fifo", 0o644)
    os.mknod(home / "device", 0o644 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    (home / "link").symlink_to("huge")
    (home / "folder").mkdir()
    os.chown(home / "theirs", USERS["carol"], -1)
    with (home / "huge").open("ab") as log:
        log.truncate(10 << 30)
        log.write(b"\nloss 0.1\nloss 0.2\n")
    (home / "steers").write_bytes(b"\x1b]52;c;eA==\x07\x1b[2J\x9b31m \x1b[32mgreen\x1b[0m \xff\r\nlast\rone\n")
    for kind in ("fifo", "device", "link", "folder"):
        os.chown(home / kind, alice, alice, follow_symlinks=False)
    hung = subprocess.Popen(
        [*site.inside.enter(), "sh", "-c", HANG, str(site.inside.outside(f"{site.at}/hangs"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert hung.stdout is not None and hung.stdout.readline() == "ready\n"
        told = site.reads(*jobs.values())
    finally:
        hung.communicate()
    found = {kind: told[job] for kind, job in jobs.items()}
    assert {kind: one["fault"] for kind, one in found.items() if "fault" in one} == {
        **dict.fromkeys(("shut", "hidden/x"), "auth"), "gone": "missing", "hangs/x": "timeout",
        **dict.fromkeys(("fifo", "device", "link", "folder", "theirs"), "refused"),
    }  # fmt: skip
    assert "Permission denied (it is its user's to show)" in found["shut"]["said"]
    assert f"belongs to uid {USERS['carol']}, and not to the job's user alice" in found["theirs"]["said"]
    assert found["huge"]["lines"][-2:] == ["loss 0.1", "loss 0.2"] and found["huge"]["size"] > 10 << 30
    assert found["steers"]["lines"] == ["\\e]52;c;eA==\\x07\\e[2J\\udc9b31m green \\udcff", "last", "one"]
    assert {kind for kind, one in found.items() if one["took"] > 3} == {"hangs/x"}
    assert found["hangs/x"]["took"] < 7
