"""`wacht record`, `wacht replay` and the incident that is cut out and given away, with other names where asked for."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import click
import msgspec
import pytest

from collectors.model import Diff, Partition
from collectors.sim import SimSettings
from console.cli.main import cli
from console.config.settings import ConfigError, RecordingSettings, load
from console.journal.chain import append
from console.recording.cut import Masked, Masks, cut
from console.recording.frame import inflated
from console.recording.location import bounds_of, recording_path, recording_target
from console.recording.moments import parse_moment
from console.recording.replay_site import replay_site
from console.recording.store import RecordingFault
from console.recording.store import RecordingReader as File
from console.session.cluster_sources import demo, this_node
from tests.support import make
from tests.support.recordings import Night, cluster_at, intent, same

MAIN = "from console.cli.main import main; main()"


def wacht(*words: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words], capture_output=True, text=True, timeout=60, check=False, **more
    )


# -- the commands ------------------------------------------------------------------------------------------------------


def test_it_records_without_a_screen_until_it_is_told_to_end(tmp_path):
    path = tmp_path / "a.wacht"
    child = subprocess.Popen(
        [sys.executable, "-c", MAIN, "record", str(path), "--demo", "--nodes", "16"], stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    assert child.stderr.readline() == f"wacht: recording demo into {path}\n"
    busy = wacht("record", str(path), "--demo", "--for", "1s")
    assert busy.returncode == 2 and busy.stderr == f"wacht: {path}: another wacht records into it\n"
    until(lambda: path.stat().st_size > 30_000)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 0 and child.stderr.read() == ""
    recording = File(path)
    assert {"nodes", "jobs"} <= cluster_at(recording, recording.last()).known
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".wacht-journal"] == []


def until(true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_it_records_for_so_long(tmp_path):
    done = wacht("record", str(tmp_path / "a.wacht"), "--demo", "--nodes", "16", "--for", "2s")
    assert done.returncode == 0 and File(tmp_path / "a.wacht").last() is not None


def test_what_cannot_be_published_is_said(tmp_path):
    done = wacht("record", str(tmp_path / "a"), "--demo", "--publish", str(tmp_path / "p"))
    assert done.returncode == 2 and "only what Slurm's commands print can be published" in done.stderr
    done = wacht("record", str(tmp_path / "a"), "--demo", "--group", "users")
    assert done.returncode == 2 and "--group is for --publish" in done.stderr
    assert not (tmp_path / "a").exists() and not (tmp_path / "p").exists()


def run(*words: str) -> str:
    """The command in this process; what it raises is what `main` prints."""
    with click.Context(cli):
        cli(list(words), standalone_mode=False)
    return ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "none.wacht"), "none.wacht: No such file"), (("replay", "none", "--at", "noon"), "is no moment"),
        (("record", "a", "--for", "soon"), "is no length of time"),
        (("record", "a", "--max-mb", "1"), "not in the range"),
        (("replay", "a", "--mask-users"), "say what --cut OUT takes"),
        (("replay", "a", "--from", "-5m"), "say what --cut OUT takes"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_words(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((click.ClickException, RecordingFault)) as caught:
        run(*words)
    assert said in getattr(caught.value, "message", str(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_a_replay_needs_a_terminal(night):
    with pytest.raises(click.ClickException, match="needs a terminal"):
        run("replay", str(night))


# -- where and how much ------------------------------------------------------------------------------------------------


def test_the_configuration(tmp_path, monkeypatch):
    def configured(text: str, site: str = "") -> RecordingSettings:
        (tmp_path / "config.toml").write_text(text)
        (tmp_path / "config.toml").chmod(0o600)
        (tmp_path / "site.toml").write_text(site)
        return load(str(tmp_path / "config.toml"), {}, tmp_path / "site.toml").recording

    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    chosen = configured("")
    assert (chosen.on, chosen.hours, chosen.max_mb) == (True, 24, 512)
    assert str(recording_path("a/b", chosen)) == "/state/wacht/recordings/a%2Fb.wacht"
    chosen = configured('recording = { hours = 2, path = "/scratch/me" }', "recording = { hours = 8, max_mb = 64 }")
    bounds = bounds_of(chosen)
    assert (bounds.keep_s, bounds.size, str(recording_path("x", chosen))) == (7200, 64 << 20, "/scratch/me/x.wacht")
    site = demo(SimSettings(nodes=16))
    assert recording_target(site, chosen) == (recording_path("demo", chosen), bounds)
    assert recording_target(site, configured("recording = { on = false }")) is None
    assert recording_target(this_node("gpu0001"), chosen) is None
    for bad in ("recording = 5", "recording = { hour = 2 }", "recording = { hours = 0 }", "recording = { max_mb = 1 }"):
        with pytest.raises(ConfigError):
            configured(bad)


# -- cut ---------------------------------------------------------------------------------------------------------------

SECRET = ("alice", "jdv", "proj-x")


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """A minute, in which jdv drains a node and writes alice's name into the reason."""
    folder = tmp_path_factory.mktemp("cut")
    made, journal = Night(nodes=32), folder / "j.jsonl"
    tape = made.tape(folder / "a.wacht", journal=journal)
    for turn in range(20):
        if turn == 8:
            append(journal, [intent("p1") | {"reason": "told alice of proj-x", "ssh": "10.1.2.3 22 10.1.2.4 22"}])
        for cluster, diff in made.readings():
            nodes = dict(cluster.nodes)
            if "gpu0003" in nodes:
                nodes["gpu0003"] = msgspec.structs.replace(
                    nodes["gpu0003"], reason=f"alice: proj-x is slow ({turn})", reason_by="jdv"
                )
            jobs = {
                key: msgspec.structs.replace(job, user="alice", account="proj-x") if key.endswith("1") else job
                for key, job in cluster.jobs.items()
            }
            keys = {**diff.keys, "nodes": diff.keys.get("nodes", frozenset()) | {"gpu0003"}}
            keys["jobs"] = diff.keys.get("jobs", frozenset())
            tape.add(
                msgspec.structs.replace(cluster, nodes=nodes, jobs=jobs), Diff(diff.kinds, keys),
                made.clock.now(), made.clock.mono(),
            )  # fmt: skip
        made.clock.advance(3)
    tape.close()
    return folder / "a.wacht"


def everything(path: Path) -> bytes:
    """All that stands in a recording, unpacked."""
    with sqlite3.connect(path) as base:
        frames = [part for row in base.execute("SELECT step, whole FROM frames") for part in row if part is not None]
        rest = [bytes(one) for (one,) in base.execute("SELECT line FROM deeds")]
        rest += [str(one).encode() for row in base.execute("SELECT kind, what FROM marks") for one in row]
    return b"\n".join([*map(inflated, frames), *rest])


@pytest.mark.slow
def test_a_part_is_as_it_was_and_the_owners_alone(night, tmp_path):
    out, recording = tmp_path / "b.wacht", File(night)
    said = cut(night, out, parse_moment("-40s"), parse_moment("-20s"), mask=False)
    assert re.fullmatch(rf"{re.escape(str(out))}: \d+ moments, [0-9.]+ MB", said)
    assert out.stat().st_mode & 0o777 == 0o600
    part = File(out)
    first, last = part.first(), part.last()
    assert 18 < last.at - first.at < 24
    here = first
    while here is not None:
        same(cluster_at(recording, recording.at(here.at)), cluster_at(part, here))
        here = part.after(here)
    assert part.marks(0, 1e12) == recording.marks(first.at, recording.last().at - 20)
    assert replay_site(out).name == "groningen"
    for again in (out, night):
        with pytest.raises(RecordingFault, match="is there already"):
            cut(night, again, None, None, mask=False)
    with pytest.raises(RecordingFault, match="nothing of it is between"):
        cut(night, tmp_path / "c", parse_moment("-10s"), parse_moment("-30s"), mask=False)
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_masked_it_names_nobody_and_the_same_nobody_each_time(night, tmp_path):
    out, recording = tmp_path / "b.wacht", File(night)
    cut(night, out, None, None, mask=True)
    before, after = everything(night), everything(out)
    jobs = cluster_at(recording, recording.last()).jobs.values()
    secrets = {*SECRET, *(job.user for job in jobs), *(job.account for job in jobs), "10.1.2.3"}
    assert all(name.encode() in before for name in SECRET)
    assert [name for name in secrets if re.search(rf"\b{re.escape(name)}\b".encode(), after)] == []
    assert [job.name for job in jobs if re.search(rf"\b{re.escape(job.name)}\b".encode(), after)] == []
    part = File(out)
    was, now = cluster_at(recording, recording.last()), cluster_at(part, part.last())
    masks: dict[str, set[str]] = {}
    for key, job in was.jobs.items():
        masks.setdefault(job.user, set()).add(now.jobs[key].user)
        assert (now.jobs[key].state, now.jobs[key].nodes, now.jobs[key].started) == (job.state, job.nodes, job.started)
    assert all(len(found) == 1 for found in masks.values()) and len(set.union(*masks.values())) == len(masks)
    assert list(now.nodes) == list(was.nodes) and now.totals == was.totals and now.racks == was.racks
    (alice,) = masks["alice"]
    node = now.nodes["gpu0003"]
    assert re.fullmatch(rf"{alice}: account\d+ is slow \(19\)", node.reason) and node.reason_by.startswith("user")
    ((_, line),) = part.actions(1e12)
    told = msgspec.json.decode(line)
    assert told["login"] == node.reason_by and re.fullmatch(rf"told {alice} of account\d+", told["reason"])
    assert told.keys().isdisjoint({"uid", "ssh", "session", "pid"})
    assert part.mark(0.0, kind="action").what.startswith(f"{node.reason_by}: drain gpu0001")


def test_from_the_command_line(night, tmp_path, capsys):
    out = tmp_path / "b.wacht"
    run("replay", str(night), "--cut", str(out), "--from", "-30s", "--mask-users")
    assert "users masked" in capsys.readouterr().out and File(out).first() is not None
    assert len(everything(out)) < len(everything(night))


FULL = """
import resource, sys, time
from pathlib import Path
from console.recording import recorder
from tests.support.recordings import BOUNDS, Night
recorder._AGAIN_S = recorder._LEAST_S = 0.01
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
night = Night(nodes=64)
made = recorder.Recorder(Path(sys.argv[1]), BOUNDS, night.clock)
made.start()
def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, made.trouble
        for cluster, diff in night.readings():
            made.offer(cluster, diff)
        night.clock.advance(3)
        time.sleep(0.02)
until(lambda: made.trouble)
print(made.trouble)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
until(lambda: made.writing and not made.trouble)
made.stop(20)
print(len(night.cluster.nodes))
"""


def test_a_disk_that_takes_no_more_is_said_and_it_goes_on_when_it_does(tmp_path):
    """The kernel itself refuses: a limit on the size of files."""
    path = tmp_path / "a.wacht"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trouble, nodes = done.stdout.splitlines()
    assert trouble.startswith(f"{path}: ") and nodes == "64"
    recording = File(path)
    assert len(cluster_at(recording, recording.last()).nodes) == 64


def test_accounts_of_a_partition_get_other_names():
    part = Partition(name="gpu", state="UP", allow_accounts="ALL", deny_accounts="bio,phys")
    masked = Masked(Masks())(make.cluster(partitions=[part])).partitions["gpu"]
    assert masked.allow_accounts == "ALL" and masked.deny_accounts == "account001,account002"
