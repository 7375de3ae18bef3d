"""Files that are not what they should be: another's, too open, a link, a pipe, too large, on a disk that is full."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors import files
from collectors.bearer_token import read_token
from collectors.clock import ManualClock
from collectors.files import SECRET, TRUSTED, UntrustedFile
from collectors.http.connection import ca_file
from collectors.process import ProcessResult
from collectors.racks import read_file
from collectors.shared_readings import SharedAnswer, SharedFolder, boot_id
from console.config.settings import ConfigError, load
from console.health.xid_policy import load_policy
from console.journal import chain
from console.journal.syslog_witness import Witness
from console.journal.writer import Journal, JournalFault, entries_of, verify
from console.runtime import log
from console.session import crash
from tests.faults import fault
from tests.support.other_users import closed
from tests.support.yardstick import cost

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others, and can become another")


def as_nobody(call: Callable[[], object]) -> str:
    """What a call returns, or raises, in a process of an ordinary user."""
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                said = repr(call())
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(here, said.encode(errors="backslashreplace"))
        finally:  # or it would go on as a second process of these tests
            os._exit(0)
    os.close(here)
    with os.fdopen(there) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder of root's that every account can look into."""
    made = Path(tempfile.mkdtemp(prefix="wacht-files-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def put(path: Path, text: str = "token-of-eight\n", mode: int = 0o600, owner: int | None = None) -> Path:
    path.write_text(text)
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, owner)
    return path


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    put(path)
    os.truncate(path, 1 << 30)


READERS: dict[str, Callable[[Path], object]] = {
    "token": lambda path: read_token(str(path)),
    "configuration": lambda path: load(str(path), {}, path.parent / "none"),
    "XID policy": load_policy,
    "racks": read_file,
    "certificates": lambda path: ca_file(str(path)),
}


# -- what is read ------------------------------------------------------------------------------------------------------


@fault("files", "a pipe, a device, a folder or 1 GB in place of a file that is read",
       "refused at once, by name, whatever is read: token, configuration, policy, racks, certificates")  # fmt: skip
@pytest.mark.parametrize("make", [pipe, device, Path.mkdir, huge])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_of_a_person_is_refused_at_once(tmp_path, reader, make):
    make(tmp_path / "it")
    if (reader, make) == ("certificates", huge):
        assert READERS[reader](tmp_path / "it")  # OpenSSL looks at its beginning
        return

    def refused() -> None:
        with pytest.raises(Exception, match=r"no plain file|Is a directory|larger than"):
            READERS[reader](tmp_path / "it")

    assert cost(refused, rounds=2) < 2  # 0.01 to 0.6 where it was measured; 1 GB is far more


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(tmp_path, monkeypatch):
    path, real = put(tmp_path / "it"), os.read

    def grows(fd: int, size: int) -> bytes:
        with path.open("ab") as file:
            file.write(bytes(1 << 20))
        return real(fd, size)

    monkeypatch.setattr(os, "read", grows)
    with pytest.raises(UntrustedFile, match="larger than 3 MB"):
        files.read(path, 3 << 20)


@fault("files", "a file that others can write or, if it is a token, read",
       "refused; the error names the file and the chmod that mends it", "token file of mode 0644")  # fmt: skip
@pytest.mark.parametrize("mode", [0o622, 0o620, 0o602, 0o644, 0o640])
@pytest.mark.parametrize("reader", READERS)
def test_what_others_can_write_is_not_believed(tmp_path, reader, mode):
    path = put(tmp_path / "it", "", mode)
    if reader != "token" and not mode & TRUSTED:
        READERS[reader](path)
        return
    with pytest.raises(Exception, match=r"others can (write|read) it") as caught:
        READERS[reader](path)
    told = str(getattr(caught.value, "fault", caught.value))
    assert str(path) in told and f"chmod {'600' if reader == 'token' else 'go-w'} {path}" in told


@fault("files", "a folder that others can write, around a file that is believed",
       "refused, by the name of the folder, unless it is sticky; also where a link leads to the file")  # fmt: skip
@pytest.mark.parametrize("reader", READERS)
def test_where_others_can_put_another_file_none_is_believed(tmp_path, reader):
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = put(folder / "it", "token-of-eight\n" if reader == "token" else "")
    link = tmp_path / "link"
    link.symlink_to(path)
    for mode, who in ((0o777, "everybody"), (0o775, "its group"), (0o757, "everybody")):
        folder.chmod(mode)
        for name in (path, link):
            with pytest.raises(Exception, match=f"{who} can write in its folder") as caught:
                READERS[reader](name)
            assert f"chmod go-w {folder}" in str(getattr(caught.value, "fault", caught.value))
    for mode in (0o1777, 0o755, 0o700):
        folder.chmod(mode)
        assert READERS[reader](path) is not None and READERS[reader](link) is not None


@as_root
@fault("files", "another user's file, or a link to one, in place of a file that is believed",
       "refused for root and for an ordinary user; root's own files are believed")  # fmt: skip
@pytest.mark.parametrize("reader", READERS)
def test_another_users_file_is_not_believed_even_through_a_link(open_place, reader):
    if reader == "XID policy" and closed():
        pytest.skip(f"another user cannot read the policy that ships with this checkout: {closed()}")
    theirs = put(open_place / "theirs", "", 0o644, owner=1)
    roots = put(open_place / "roots", "", 0o644)
    (open_place / "link").symlink_to(theirs)
    for path in (theirs, open_place / "link"):
        with pytest.raises(Exception, match="belongs to another user \\(uid 1\\)"):
            READERS[reader](path)
        assert "belongs to another user (uid 1)" in as_nobody(lambda path=path: READERS[reader](path))
    others = as_nobody(lambda: READERS[reader](roots))
    assert ("others can read it" in others) if reader == "token" else ("Error" not in others and "Fault" not in others)
    roots.chmod(0o600)
    assert "Permission denied" in as_nobody(lambda: READERS[reader](roots))
    os.chown(open_place, 1, -1)
    with pytest.raises(Exception, match=r"its folder .* belongs to another user"):
        READERS[reader](roots)


# -- what is written ---------------------------------------------------------------------------------------------------


def answer() -> SharedAnswer:
    return SharedAnswer(
        begun=time.monotonic(), ended=ProcessResult(argv=("date",), rc=0, out=b"x" * 5000, err="", took_s=0.1)
    )


def shelf_put(folder: Path) -> object:
    place = SharedFolder(folder / "deep" / "er", os.geteuid(), private=True)
    return place.put("name", ("date",), answer()) or None


def line_in_log(folder: Path) -> None:
    log.begin(str(folder / "deep" / "er" / "wacht.log"))
    log.info("here", "a line")
    log.end()


def line_in_journal(folder: Path) -> object:
    return Journal(folder / "deep" / "er" / "lab.jsonl", "lab", ManualClock(), witness=None).write("x")


WRITERS: dict[str, Callable[[Path], object]] = {
    "journal": lambda folder: Journal(folder / "deep" / "er" / "lab.jsonl", "lab", ManualClock(), witness=None).write(
        "x"
    ),
    "log": line_in_log,
    "cache": shelf_put,
    "crash report": lambda folder: crash.write_report("text\n"),
}


@fault("files", "umask 000 and 077", "files of mode 0600 in folders of mode 0700 all the same")
@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_written_is_private_whatever_the_umask(tmp_path, monkeypatch, writer, umask):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "deep" / "er"))
    before = os.umask(umask)
    try:
        WRITERS[writer](tmp_path)
    finally:
        os.umask(before)
    made = list((tmp_path / "deep").rglob("*"))
    assert [path for path in made if path.is_file()], "nothing was written"
    for path in (tmp_path / "deep", *made):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@fault("files", "a link planted where a file is to be written", "it is not followed: what it leads to is as before")
@pytest.mark.parametrize("writer", ["log", "journal"])
def test_a_planted_link_is_not_followed(tmp_path, writer):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    victim = put(tmp_path / "victim", "as it was")
    name = {"log": "wacht.log", "journal": "lab.jsonl"}[writer]
    (folder / name).symlink_to(victim)
    if writer == "log":
        WRITERS[writer](tmp_path)
        assert "symbolic link" in log.unreported_fault()
    else:
        with pytest.raises(JournalFault, match="symbolic link"):
            WRITERS[writer](tmp_path)
        with pytest.raises(JournalFault, match="symbolic link"):
            entries_of(folder / name)
    assert victim.read_text() == "as it was"


def test_no_file_is_made_at_the_end_of_a_link(tmp_path):
    (tmp_path / "new").symlink_to(tmp_path / "elsewhere")
    for opened in (files.open_new, files.open_to_append):
        with pytest.raises((OSError, UntrustedFile)):
            opened(tmp_path / "new")
    assert not (tmp_path / "elsewhere").exists()


@fault("files", "a pipe, or another user's file, in place of the journal that is read",
       "refused: nothing is proposed, undone or read back from what somebody else wrote")  # fmt: skip
def test_a_journal_that_is_not_ones_own_is_not_read(open_place):
    pipe(open_place / "pipe")
    for look in (chain.read, chain.verify, entries_of, lambda path: chain.Follower(path, 5).more()):
        with pytest.raises(JournalFault, match="no plain file"):
            look(open_place / "pipe")
    if os.geteuid() == 0:
        theirs = put(open_place / "lab.jsonl", "{}\n", 0o644, owner=1)
        assert "JournalFault" in as_nobody(lambda: chain.read(theirs)) and chain.read(theirs)


# -- disks -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["full", "read-only"])
def bad_disk(request, tmp_path, monkeypatch) -> Iterator[tuple[Path, Callable[[], None], str]]:
    """A folder on a disk that takes nothing more, what mends it, and what the system says of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "deep" / "er"))
    full = request.param == "full"
    small = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(folder)]
    if os.geteuid() == 0 and subprocess.run(small, capture_output=True, check=False).returncode == 0:
        (folder / "deep" / "er").mkdir(parents=True, mode=0o700)
        rest = folder / "rest"
        if full:
            with pytest.raises(OSError, match="No space"), rest.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        mend = rest.unlink if full else lambda: subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        yield folder, mend, "No space left on device" if full else "Read-only file system"
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    if not full:
        pytest.skip("no file system can be mounted here")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)), "File too large"
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@fault("journal", "a full disk, and a read-only one, beneath the journal",
       "syslog has the audit copy and the person hears of it; the chain stays whole and owns up to the gap",
       "disk of the journal full")  # fmt: skip
def test_the_journal_on_a_bad_disk(bad_disk, tmp_path):
    folder, mend, says = bad_disk
    path = folder / "deep" / "er" / "lab.jsonl"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "syslog"))
        journal = Journal(path, "lab", ManualClock(), witness=Witness(tmp_path / "syslog"))
        told = journal.write("intent", id="a", note="x" * 5000)
        assert says in told and "syslog has the audit copy" in told
        assert b'"event":"intent"' in syslog.recv(1 << 16)
        assert not path.exists() or path.read_bytes() == b""
        mend()
        assert journal.write("intent", id="b") == ""
        assert verify(path).ok and verify(path).gaps


@fault("files", "a full disk, and a read-only one, beneath the cache of readings",
       "the reading is made without it, and nothing half written is left there")  # fmt: skip
def test_the_cache_on_a_bad_disk(bad_disk):
    folder, mend, _ = bad_disk
    assert boot_id() and shelf_put(folder) is None
    assert list(folder.rglob("name*")) == []
    mend()
    assert shelf_put(folder) is True


@fault("files", "a full disk, and a read-only one, beneath the log",
       "it says so once, wacht goes on, and later the log tells how many lines were lost")  # fmt: skip
def test_the_log_on_a_bad_disk(bad_disk):
    folder, mend, says = bad_disk
    path = folder / "deep" / "er" / "wacht.log"
    one = log.FileLog(path)
    for number in range(3):
        one.handle(logging.makeLogRecord({"levelname": "INFO", "source": "here", "msg": f"line {number} {'x' * 900}"}))
    until = time.monotonic() + 60
    while one.lost < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert says in one.fault
    mend()
    one.handle(logging.makeLogRecord({"levelname": "INFO", "source": "here", "msg": "after"}))
    one.end()
    lines = path.read_text().splitlines()
    assert [line.partition("Z ")[2] for line in lines] == [
        "WARNING log 3 lines were lost before this",
        "INFO here after",
    ]


@fault("files", "a full disk, and a read-only one, beneath the crash reports",
       "the message says why there is no report, and holds it itself")  # fmt: skip
def test_the_crash_report_on_a_bad_disk(bad_disk):
    _, mend, says = bad_disk
    told = crash.crash_message([KeyError("gpu0001")], "the console")
    assert f"not written: {says}" in told and "wacht crash report" in told and "gpu0001" not in told
    mend()
    assert "not written" not in crash.crash_message([KeyError("gpu0001")], "the console")


def test_a_configuration_on_a_bad_disk_is_read(bad_disk, tmp_path):
    """Reading needs no room."""
    folder, mend, _ = bad_disk
    mend()
    path = put(folder / "config.toml", "theme = 'daylight'\n")
    assert load(str(path), {}, tmp_path / "none").theme == "daylight"
    with pytest.raises(ConfigError, match="No such file"):
        load(str(folder / "none.toml"), {}, tmp_path / "none")


@as_root
def test_under_sudo_the_journal_may_lie_in_the_home_of_who_called_it(open_place):
    os.chown(open_place, 1, 1)
    open_place.chmod(0o775)
    assert Journal(open_place / "lab.jsonl", "lab", ManualClock(), witness=None).write("intent") == ""
    open_place.chmod(0o777)
    with pytest.raises(JournalFault, match="everybody can write in its folder"):
        Journal(open_place / "lab.jsonl", "lab", ManualClock(), witness=None).write("intent")


def test_the_rules_themselves(tmp_path):
    path = put(tmp_path / "it", "x")
    files.check(path, path.stat(), SECRET)
    path.chmod(0o604)
    files.check(path, path.stat(), TRUSTED)
    with pytest.raises(UntrustedFile, match="others can read it; try: chmod 600"):
        files.check(path, path.stat(), SECRET)
