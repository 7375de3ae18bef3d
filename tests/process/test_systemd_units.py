"""The systemd units of the pages as systemd reads them: it knows every line of them, and little is left open."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import DOCS

#: Page to its unit, and the most exposure that `systemd-analyze security` may give it, in tenths.
UNITS = {"first-day": ("wacht-record.service", 20), "browser": ("wacht-wall.service", 20)}


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=UNITS)
def unit(request, tmp_path) -> tuple[Path, int]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    name, most = UNITS[request.param]
    (text,) = re.findall(r"^```ini\n(.*?)```", (DOCS / f"{request.param}.md").read_text(), re.M | re.S)
    path = tmp_path / name
    # Its program is not on this machine; what would be said of it is none of the unit's faults.
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
    return path, most


def test_systemd_takes_every_line_of_a_unit(unit):
    path, most = unit
    said = analyze("verify", "--man=no", str(path))
    assert [line for line in said.stderr.splitlines() if path.name in line or "wacht" in line] == []
    told = analyze("security", "--offline=true", f"--threshold={most}", str(path))
    assert told.returncode == 0, told.stdout[-200:]
    path.write_text(path.read_text().replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
    assert "NoNewPrivilege" in analyze("verify", "--man=no", str(path)).stderr, "a slip is told"
