"""Stand-ins for scontrol and scancel that note their argv, and changes to send to them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from collectors.model import Change

from .make import change_of


class Slurm:
    """Stand-ins for scontrol and scancel that note their argv and answer as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        for name in ("scontrol", "scancel", "sudo"):
            script = folder / name
            script.write_text(
                f"#!{sys.executable} -IS\nimport json, os, sys, time\n"
                f"with open({str(self.log)!r}, 'a') as log: log.write(json.dumps(sys.argv) + '\\n')\n"
                f"answer = {str(folder / 'answer')!r}\n"
                "rc, err, hang = json.load(open(answer)) if os.path.exists(answer) else (0, '', 0)\n"
                "sys.stderr.write(err); sys.stderr.flush(); time.sleep(hang); sys.exit(rc)\n"
            )
            script.chmod(0o755)

    def answers(self, rc: int, err: str = "", hang: float = 0) -> None:
        (self.folder / "answer").write_text(json.dumps([rc, err, hang]))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


def nodes(action: str, *names: str, reason: str | None = None, **more: object) -> Change:
    return change_of(action, kind="node", targets=names, reason=reason, **more)


def jobs(action: str, *ids: str, **more: object) -> Change:
    return change_of(action, kind="job", targets=ids, **more)


def reboot(**to: str) -> Change:
    return nodes("reboot", *to, reason="fw", next_state=to)
