"""What a suite's own promtool says of a file."""

from __future__ import annotations

import shutil
import subprocess

from console.alerts.alert_rules import SHIPPED_FILE

from .roots import root_of
from .running import require


def promtool(suite: str, name: str, *words: str, **files: str) -> str:
    """What the suite's own promtool says of these files beside the rules that ship. Fails where it finds fault."""
    require(suite)
    folder = root_of(suite) / "tmp" / name
    folder.mkdir(parents=True)
    try:
        shutil.copy(SHIPPED_FILE, folder / "rules.yml")
        for key, body in files.items():
            (folder / f"{key}.yml").write_text(body)
        argv = ["chroot", str(root_of(suite)), "/usr/bin/promtool", *words]
        done = subprocess.run([one.replace("@", f"/tmp/{name}") for one in argv], capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    finally:
        shutil.rmtree(folder)
