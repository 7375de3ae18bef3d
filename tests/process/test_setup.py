"""The set-up behind every make target: made once, made anew when it must be, refused in plain words."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Stands for any interpreter: says its version, and makes a .venv whose python only notes what it was asked.
PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then echo {version}; exit {refused}; fi
echo made >>made
mkdir -p .venv/bin
printf '#!/bin/sh\\necho "$*" >>"{here}/pip"\\n[ ! -e "{here}/broken" ]\\n' >.venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "tests/tools").mkdir(parents=True)
    shutil.copy(ROOT / "tests/tools/venv.sh", tmp_path / "tests/tools")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    interpreter(tmp_path, "python3")
    return tmp_path


def interpreter(here: Path, name: str, version: str = "3.11.0", refused: int = 0) -> None:
    path = here / name
    path.write_text(PYTHON.format(version=version, refused=refused, here=here))
    path.chmod(0o755)


def set_up(here: Path, name: str = "python3") -> subprocess.CompletedProcess[str]:
    command = ["sh", here / "tests/tools/venv.sh", here / name]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def times_made(here: Path) -> int:
    return (here / "made").read_text().count("made")


def test_made_once(checkout):
    assert set_up(checkout).returncode == 0
    second = set_up(checkout)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert times_made(checkout) == 1
    asked = (checkout / "pip").read_text()
    assert "--require-hashes --requirement requirements.lock" in asked and "--no-deps --editable ." in asked


def test_made_anew_for_another_pyproject_or_interpreter(checkout):
    set_up(checkout)
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    set_up(checkout)
    assert times_made(checkout) == 2
    interpreter(checkout, "python3.13", "3.13.1")
    set_up(checkout, "python3.13")
    assert times_made(checkout) == 3


def test_half_made_is_made_anew(checkout):
    (checkout / "broken").touch()
    assert set_up(checkout).returncode != 0
    (checkout / "broken").unlink()
    assert set_up(checkout).returncode == 0
    assert times_made(checkout) == 2
    (checkout / ".venv/bin/python").unlink()
    assert set_up(checkout).returncode == 0
    assert times_made(checkout) == 3


def test_refuses_an_old_or_missing_python(checkout):
    interpreter(checkout, "old", "3.9.2", refused=1)
    told = set_up(checkout, "old")
    assert told.returncode == 1
    assert "Python 3.11 or newer is needed" in told.stderr and "3.9.2" in told.stderr
    told = set_up(checkout, "nosuch")
    assert told.returncode == 1 and "there is no" in told.stderr
    assert not (checkout / ".venv").exists()
