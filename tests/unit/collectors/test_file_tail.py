"""The end of what a job wrote: plain files alone, in a child that a deadline ends, whatever stands in them."""

from __future__ import annotations

import os
import pwd
import sys
from types import SimpleNamespace

import pytest

from collectors import child_process
from collectors.file_tail import LONGEST_LINE, MOST_BYTES, expand_patterns, read_tail, tail
from collectors.model import JobDetail, SourceFault
from console.screens.job_output import read_log
from tests.support import make

ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT = os.geteuid() == 0


def refused(path, user=ME, **more) -> str:
    with pytest.raises(SourceFault) as raised:
        tail(str(path), user, **more)
    return f"{raised.value.fault.kind}: {raised.value.fault}"


def test_the_end_of_a_file(tmp_path):
    log = tmp_path / "slurm-1.out"
    log.write_bytes(b"loss 1\r\nloss 2\rloss 3\n\x1b[32mgreen\x1b[0m \x1b]52;c;eA==\x07\xff\xfe\ttab\n")
    found = tail(str(log), ME)
    assert found.lines == ("loss 1", "loss 2", "loss 3", "green \\e]52;c;eA==\\x07\\udcff\\udcfe    tab")
    assert (found.begins_at, found.size, found.path) == (0, log.stat().st_size, str(log))
    log.write_bytes(b"")
    assert tail(str(log), ME).lines == ()


def test_of_a_large_one_only_whole_lines_of_its_end(tmp_path):
    log = tmp_path / "big"
    log.write_bytes(b"".join(b"line %06d\n" % number for number in range(20_000)) + b"x" * 9000)
    found = tail(str(log), ME)
    assert found.begins_at == log.stat().st_size - MOST_BYTES
    assert found.lines[-1] == "x" * LONGEST_LINE and all(len(one) == 11 for one in found.lines[:-1])
    log.write_bytes(b"y" * (3 * MOST_BYTES))
    assert tail(str(log), ME).lines == (), "the middle of one line is no line"


def test_what_is_no_plain_file_is_not_read(tmp_path):
    log = tmp_path / "log"
    log.write_text("secret")
    (tmp_path / "link").symlink_to(log)
    os.mkfifo(tmp_path / "fifo")
    for name, why in (("link", "symbolic link"), ("fifo", "no plain file"), (".", "no plain file")):
        assert refused(tmp_path / name).startswith("refused") and why in refused(tmp_path / name)
    assert "no plain file" in refused("/dev/zero")
    assert refused("/dev/null").startswith("missing: ") and "threw its output away" in refused("/dev/null")
    said = refused(tmp_path / "none")
    assert said.startswith("missing") and "no such file on this host" in said and "its own disk" in said
    assert "no path" in refused("slurm-%j.out")


def test_it_must_be_the_own_file_of_the_jobs_user(tmp_path):
    log = tmp_path / "token"
    log.write_text("mine\n")
    assert f"belongs to uid {os.geteuid()}, and not to the job's user nobody" in refused(log, "nobody")
    assert "knows no user" in refused(log, "no-such-user") and "knows no user" in refused(log, None)
    if ROOT:
        os.chown(log, pwd.getpwnam("nobody").pw_uid, -1)
        assert tail(str(log), "nobody").lines == ("mine",)


def test_what_may_not_be_read_says_so(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("x")

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", denied)
    found, raw = read_tail(log, ME)
    assert (found.kind, found.what, raw) == ("auth", "Permission denied", b"")


def test_a_file_system_that_hangs_is_left(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("x")
    monkeypatch.setattr(child_process, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    said = refused(log, deadline_s=0.5)
    assert said.startswith("timeout") and "does its file system hang?" in said
    monkeypatch.setattr(child_process, "command", lambda *_: [sys.executable, "-c", "print('no json')"])
    assert refused(log).startswith("malformed")


def test_what_slurm_left_of_its_patterns_is_filled_in():
    """24.11 tells such a path; 26.05 leaves nothing of it: tests/lab/test_log_lab.py."""
    assert expand_patterns("/h/train.%N.out", "12", "gpu0007.example") == "/h/train.gpu0007.out"
    assert expand_patterns("/h/%J-%n-%t-%s", "12", None) == "/h/12-0-0-batch"
    for path, job in (("/h/slurm-12.out", "12"), ("/h/%N", "12"), ("/h/%J", "12_3"), ("/h/50%", "12"), ("/h/%q", "12")):
        assert expand_patterns(path, job, None) == path


def test_a_name_with_a_pattern_left_is_tried_as_it_is_first(tmp_path):
    log = tmp_path / "train.%N.out"
    detail = JobDetail(id="12", stdout=str(log))
    slurm, disk = SimpleNamespace(job_detail=lambda job: detail), SimpleNamespace(log_tail=tail)
    at = SimpleNamespace(transport=slurm, ledger=disk)
    cluster = make.cluster(jobs=[make.job("12", user=ME, nodes="gpu[0007-0009]", started=1)])
    with pytest.raises(SourceFault, match=r"train\.gpu0007\.out: there is no such file"):
        read_log(at, "12", cluster)
    (tmp_path / "train.gpu0007.out").write_text("on the first node\n")
    assert read_log(at, "12", cluster).lines == ("on the first node",)
    log.write_text("under its own name\n")
    assert read_log(at, "12", cluster).lines == ("under its own name",)
