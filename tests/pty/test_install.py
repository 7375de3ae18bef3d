"""Installed as a user does it: the wheel in a clean environment, and the one file; each in a place of its own.

What wacht needs is lent from the environment of the tests, so that no network is asked; wacht itself comes from the
wheel alone, and a test sees to that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from console import __version__
from console.cli import shell_files
from tests.support.paths import ROOT
from tests.support.pty_program import Pty, restored
from tests.tools import boot, pyz

pytestmark = [pytest.mark.pty, pytest.mark.xdist_group("install")]

OURS = {"console", "widgets", "collectors", "themes"}
SHARED = {"man/man1/wacht.1", "bash-completion/completions/wacht", "zsh/site-functions/_wacht",
          "fish/vendor_completions.d/wacht.fish"}  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of this tree."""
    return build(tmp_path_factory.mktemp("dist"))


def build(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A clean environment with that wheel in it."""
    made = tmp_path_factory.mktemp("clean") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--python",
        made / "bin/python",
        "install",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    (site,) = made.glob("lib/python*/site-packages")
    # A line of a .pth is a place to look in; the .pth files there, with the editable wacht, are not read.
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return made


@pytest.fixture(scope="module")
def single(wheel, tmp_path_factory) -> Path:
    """The one file, as `make pyz` makes it but for the wheels, which would come over the network, and not compiled,
    which takes ten seconds.
    """
    folder = tmp_path_factory.mktemp("single")
    pyz.unpack_wheel(wheel, folder / "tree")
    for name in pyz.dependencies(pyz.requirements(wheel)):
        for file in distribution(name).files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                target = folder / "tree" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    out = folder / "wacht.pyz"
    out.write_bytes(pyz.build_archive(folder / "tree"))
    return out


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty home, and nothing of whoever runs the tests."""
    for name in [*os.environ]:
        if name.startswith(("XDG_", "PYTHON", "VIRTUAL_ENV", "WACHT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(*command: str | Path, code: int = 0) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert ended.returncode == code, ended.stderr
    return ended.stdout or ended.stderr


def works(*wacht: str | Path) -> None:
    """It tells its version, reads a machine, knows its keys, and opens the console and leaves it."""
    assert run(*wacht, "--version") == f"wacht, version {__version__}\n"
    assert len(json.loads(run(*wacht, "snapshot", "--demo", "--json", "--nodes", "16"))["nodes"]) == 16
    assert "| `d` | `drain` |" in run(*wacht, "keys")
    one = Pty("demo", "--nodes", "16", program=[str(word) for word in wacht])
    try:
        one.read_until(b"DEMO")
        one.type(b"q")
        assert one.end() == 0
        restored(one)
    finally:
        one.close()


# -- the wheel ---------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_wacht_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        about = archive.read(f"wacht-{__version__}.dist-info/METADATA").decode()
    code = {name for name in names if name.split("/")[0] in OURS}
    kept = {str(path.relative_to(ROOT)) for layer in OURS for path in files(ROOT / layer)}
    assert code == kept
    info, data = f"wacht-{__version__}.dist-info/", f"wacht-{__version__}.data/data/share/"
    assert {name.removeprefix(data) for name in names if name.startswith(data)} == SHARED
    assert all(name.startswith((info, data)) for name in set(names) - code)
    assert f"{info}licenses/LICENSE" in names
    assert "License-Expression: EUPL-1.2" in about and "Requires-Python: >=3.11" in about and "# wacht" in about
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about.count("\nRequires-Dist: ") == len(project["dependencies"]) + 1  # pyslurm, if asked for


def files(layer: Path) -> Iterator[Path]:
    """What belongs into a package: code, and the data files beside it."""
    return (path for path in layer.rglob("*") if path.suffix in {".py", ".toml", ".yml"})


def test_the_same_tree_gives_the_same_wheel(wheel, tmp_path):
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_installed_in_a_clean_environment_it_works(installed, home):
    places = f"import {', '.join(sorted(OURS))}, sys; print(*[{', '.join(f'{one}.__file__' for one in sorted(OURS))}])"
    for place in run(installed / "bin/python", "-c", places).split():
        assert Path(place).is_relative_to(installed)
    works(installed / "bin/wacht")
    assert all((installed / "share" / name).is_file() for name in SHARED)


# -- the one file ------------------------------------------------------------------------------------------------------


def test_the_one_file_works(single, home, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    works(Path(sys.executable).resolve(), single)  # not that of the environment: it has wacht too
    (tree,) = (home / ".cache/wacht").iterdir()
    assert (tree / "console/cli/main.py").is_file()


@pytest.fixture
def small(tmp_path) -> Path:
    """The same first lines before a program that tells where it lies."""
    tree = tmp_path / "tree"
    (tree / "console/cli").mkdir(parents=True)
    (tree / "console/__init__.py").touch()
    (tree / "console/cli/main.py").write_text("def main():\n    print(__file__)\n")
    pyz.compile_tree(tree)
    out = tmp_path / "small.pyz"
    out.write_bytes(pyz.build_archive(tree))
    return out


def test_it_unpacks_once_and_for_its_user_alone(small, home):
    first = run(sys.executable, small)
    (tree,) = (home / ".cache/wacht").iterdir()
    assert not [path for path in (home / ".cache").rglob("*") if path.stat().st_mode & 0o077]
    (tree / "console/cli/main.py").unlink()  # what was compiled is what is run
    assert (tree / "console/__pycache__").is_dir() and run(sys.executable, small, code=1)
    (tree / "console/cli/main.py").touch()
    assert run(sys.executable, small) == first


def test_many_first_starts_at_once_leave_one_tree(small, home):
    starts = [subprocess.Popen([sys.executable, small], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    told = {one.communicate()[0] for one in starts}
    (tree,) = (home / ".cache/wacht").iterdir()
    assert told == {f"{tree}/console/cli/main.py\n"}


def test_a_start_that_is_done_meanwhile_is_no_reason_to_do_without_the_shelf(monkeypatch, tmp_path):
    """It looked at a folder that another start had just renamed, and took a place that goes with the program."""
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(os, "listdir", lambda _: [".new-gone"])
    boot.remove_leftovers(str(kept))


def test_a_tree_that_others_may_write_is_not_believed(small, home):
    run(sys.executable, small)
    (tree,) = (home / ".cache/wacht").iterdir()
    (tree / "console/cli/main.py").write_text("def main():\n    print('not ours')\n")
    tree.chmod(0o777)
    told = Path(run(sys.executable, small).strip())
    assert not told.is_relative_to(tree) and not told.exists()
    tree.chmod(0o700)
    (home / ".cache/wacht").chmod(0o777)
    assert not Path(run(sys.executable, small).strip()).is_relative_to(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_tree_of_somebody_else_is_not_believed(small, home):
    run(sys.executable, small)
    (tree,) = (home / ".cache/wacht").iterdir()
    os.chown(tree, 65534, -1)
    assert not Path(run(sys.executable, small).strip()).is_relative_to(tree)


def test_without_a_home_it_leaves_nothing(small, home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nothing")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    told = Path(run(sys.executable, small).strip())
    assert told.is_relative_to(tmp_path / "tmp") and not [*(tmp_path / "tmp").iterdir()]


def test_what_a_killed_start_left_goes_when_it_is_old(small, home):
    shared_cache = home / ".cache/wacht"
    for name, age in ((".new-old", 7200), (".new-now", 0)):
        (shared_cache / name / "console").mkdir(parents=True)
        at = (shared_cache / name).stat().st_mtime - age
        os.utime(shared_cache / name, (at, at))
    shared_cache.chmod(0o700)
    run(sys.executable, small)
    assert sorted(path.name for path in shared_cache.iterdir() if not path.name.startswith("pyz-")) == [".new-now"]


def test_another_python_is_told_so(small, home, tmp_path):
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(small) as archive, zipfile.ZipFile(other, "w") as changed:
        here = f"'python': {sys.version_info[:2]!r}"
        boot = archive.read("__main__.py").decode()
        assert here in boot
        changed.writestr("__main__.py", boot.replace(here, "'python': (3, 99)"))
    told = run(sys.executable, other, code=2)
    assert told.startswith("wacht: this file is for CPython 3.99 on") and "Run it with that Python" in told
    assert not (home / ".cache").exists()


# -- docs/shell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), shell_files.files().items(), ids=list(shell_files.files()))
def test_the_manual_page_and_the_completions_are_those_of_the_command_line(name, text):
    assert (ROOT / "docs/shell" / name).read_text() == text, "the command line has changed: make man"
