"""Whose readings are believed: the user's own, and those of a site's recorder; any doubt, and the command runs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from collectors import shared_readings
from collectors.shared_readings import Published, SharedCache, SharedFolder, publishing_cache, shared_cache_of
from collectors.slurm import SlurmSettings
from console.config.settings import ConfigError, load
from tests.support.consoles import ALL, JOBS, console, folder, kept, queue, squeue_argv
from tests.support.make import Commands

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Commands:
    return queue(Commands(tmp_path, monkeypatch))


# -- whom it believes --------------------------------------------------------------------------------------------------


def test_the_folder_and_its_files_are_the_users_alone(commands):
    before = os.umask(0)
    try:
        console().collect()
    finally:
        os.umask(before)
    assert folder().stat().st_mode & 0o777 == 0o700 and len(kept(folder())) == 1
    assert {path.stat().st_mode & 0o777 for path in folder().iterdir()} == {0o600}


def spoil_owner(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def spoil_link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def spoil_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def spoil_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(spoil_owner, marks=as_root),
        spoil_link,
        spoil_pipe,
        spoil_folder,
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o604),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 5000),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b"\0\0\0\2{}" + path.read_bytes()[4:]),
    ],
)
def test_a_file_that_is_not_beyond_doubt_is_none(commands, spoil: Callable[[Path], None]):
    console().collect()
    spoil(kept(folder())[0])
    assert list(console().collect().jobs) == JOBS and len(commands.calls) == 2


def test_a_file_cut_anywhere_is_none(commands):
    console().collect()
    path = kept(folder())[0]
    whole, form = path.read_bytes(), shared_readings.question_of(squeue_argv())
    place = SharedFolder(folder(), os.geteuid(), private=True)
    assert place.get(path.name, form, ALL) is not None
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert place.get(path.name, form, ALL) is None, length


def changed(**more) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        raw = path.read_bytes()
        length = int.from_bytes(raw[:4], "big")
        head = msgspec.msgpack.encode(msgspec.msgpack.decode(raw[4 : 4 + length]) | more)
        path.write_bytes(len(head).to_bytes(4, "big") + head + raw[4 + length :])

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [changed(boot="another"), changed(version=2), changed(begun=time.monotonic() + 3600), changed(form=["ls"]),
     changed(begun=float("nan")), changed(size=-1), changed(size=1 << 40), changed(ended=None)],
)  # fmt: skip
def test_what_was_read_elsewhere_or_some_other_time_is_none(commands, spoil):
    console().collect()
    changed()(kept(folder())[0])
    assert console().collect().taken.lent, "the same file written again is good"
    spoil(kept(folder())[0])
    assert not console().collect().taken.lent and len(commands.calls) == 2


@pytest.mark.parametrize("spoil", ["link", "open", pytest.param("owner", marks=as_root)])
def test_a_folder_that_is_not_the_users_alone_is_left_alone(commands, tmp_path, spoil):
    folder().mkdir(mode=0o700)
    if spoil == "link":
        folder().rmdir()
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder().symlink_to(tmp_path / "elsewhere")
    elif spoil == "open":
        folder().chmod(0o755)
    else:
        os.chown(folder(), NOBODY, NOBODY)
    assert [list(console().collect().jobs) for _ in range(2)] == [["1", "2"]] * 2
    assert len(commands.calls) == 2 and list(folder().iterdir()) == []


@as_root
def test_the_folder_of_another_login_is_not_used(tmp_path, monkeypatch):
    theirs = tmp_path / "run"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert shared_readings.own_folder() == tmp_path / "cache" / "wacht" / "readings"


def test_what_is_too_large_is_not_kept(commands, monkeypatch):
    monkeypatch.setattr(shared_readings, "LARGEST", 100)
    assert [list(console().collect().jobs) for _ in range(2)] == [["1", "2"]] * 2 and kept(folder()) == []


# -- a site's recorder -------------------------------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[Path]:
    """A folder of the recorder's, where every account can go."""
    made = Path(tempfile.mkdtemp(prefix="wacht-site-"))
    os.chown(made, NOBODY, os.getegid())
    made.chmod(0o2750)
    yield made
    shutil.rmtree(made)


def record(site: Path, argv: list[str]) -> None:
    """What the recorder reads as its own account: once `argv`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            shared_cache: SharedCache = publishing_cache("lab", site)
            shared_cache.lend(time.monotonic())
            shared_cache.begin()
            code = 0 if shared_cache.run(argv, deadline_s=20, cap_bytes=1 << 20).rc == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def reader(site: Path, owner: str = "nobody") -> SharedCache:
    shared_cache = shared_cache_of("lab", share=False, published=Published(folder=str(site), owner=owner))
    shared_cache.lend(ALL)
    shared_cache.begin()
    return shared_cache


ASK = [str(shutil.which("date")), "+%N"]


def said(shared_cache: SharedCache) -> bytes:
    return shared_cache.run(ASK, deadline_s=20, cap_bytes=1 << 20).out


@as_root
def test_a_recorders_reading_is_taken_by_whoever_trusts_its_account(site):
    record(site, ASK)
    first, second = reader(site), reader(site)
    assert said(first) == said(second) and first.taken.lent and first.taken.begun < time.monotonic()
    assert len(kept(site)) == 1 and (kept(site)[0].stat().st_mode & 0o777, kept(site)[0].stat().st_uid) == (
        0o640,
        NOBODY,
    )
    assert kept(site)[0].stat().st_gid == os.getegid(), "the group of the folder reads it"


@as_root
@pytest.mark.parametrize("spoil", ["another owner", "another file's owner", "group writes", "all write there", "link"])
def test_it_is_trusted_from_nobody_else(site, spoil):
    record(site, ASK)
    path = kept(site)[0]
    if spoil == "another file's owner":
        os.chown(path, 1, -1)
    elif spoil == "group writes":
        path.chmod(0o660)
    elif spoil == "all write there":
        site.chmod(0o1777)
    elif spoil == "link":
        spoil_link(path)
    shared_cache = reader(site, "1" if spoil == "another owner" else "nobody")
    said(shared_cache)
    assert not shared_cache.taken.lent


def test_the_configuration_names_folder_and_owner(tmp_path):
    path = tmp_path / "config.toml"

    def configured(published: str) -> SlurmSettings:
        path.write_text(f"[cluster.lab]\nslurm = {{ published = {published}, budget = {{ calls = 12 }} }}\n")
        path.chmod(0o600)
        return load(str(path), {}, tmp_path / "none").clusters["lab"].sources["slurm"]

    chosen = configured('{ folder = "/run/wacht", owner = "root" }')
    assert chosen.published.uid() == 0 and (chosen.budget.calls, chosen.budget.seconds) == (12, 6)
    for bad in ('{ folder = "run", owner = "root" }', '{ folder = "/run", owner = "no-such-account" }', '"/run"'):
        with pytest.raises(ConfigError):
            configured(bad)
