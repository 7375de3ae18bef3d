"""An action of a site's own package on a live Slurm: the same gate, and all that is known of it is how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

from .slurm import Lab

EXAMPLE = ROOT / "docs" / "plugin-example"


class Site:
    """The example, with a program that writes down what it was given."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.said, self.folder = folder / "said", folder
        program = folder / "case"
        program.write_text(
            f'#!/bin/sh\nprintf "%s|" "$@" >> {self.said}\necho >> {self.said}\n'
            '[ "$2" != gpu0002 ] || { echo "no asset gpu0002" >&2; exit 3; }\n[ "$2" != gpu0003 ] || sleep 60\n'
        )
        program.chmod(0o755)
        text = (EXAMPLE / "site_wacht.py").read_text()
        text = text.replace("/opt/site/bin/case", str(program)).replace(
            'label="case",', 'label="case", deadline_s=1.0,'
        )
        (folder / "site_wacht.py").write_text(text)
        info = folder / "site_wacht-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site-wacht\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[wacht.actions]\ncase = site_wacht:CASE\n")
        self.env = {
            **os.environ, "PATH": f"{lab.bin_dir}:/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{folder}",
            "XDG_STATE_HOME": str(folder / "state"),
        }  # fmt: skip

    def wacht(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from console.cli.main import main; main()", *words]
        return subprocess.run(argv, capture_output=True, text=True, env=self.env, timeout=60, check=False)

    def act(self, targets: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.wacht("act", "case", targets, "--reason", 'bad "DIMM"; $(x)', *words)

    @property
    def calls(self) -> list[list[str]]:
        """What the program was given, call by call."""
        return [line.split("|")[:-1] for line in self.said.read_text().splitlines()] if self.said.exists() else []


@pytest.fixture
def place(tmp_path: Path, lab_forky: Lab) -> Site:
    """A site with the package installed."""
    lab_forky.reset()
    return Site(tmp_path, lab_forky)


def test_it_goes_through_the_gate_once_for_each_target(place: Site, lab_forky: Lab) -> None:
    shown = place.act("gpu0001", "--dry-run")
    assert shown.returncode == 0 and "--node gpu0001" in shown.stdout and not place.calls
    for words, why in (((), "not confirmed"), (("--read-only", "--yes"), "read-only")):
        done = place.act("gpu0001", *words)
        assert done.returncode == 2 and why in done.stderr and not place.calls
    assert "unknown node gpu9999" in place.act("gpu9999", "--yes").stderr

    done = place.act("gpu0001,gpu0004", "--count", "2", "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body["cluster"] == lab_forky.cluster
    assert {one["outcome"] for one in body["outcomes"].values()} == {"sent"}
    reason = 'bad "DIMM"; $(x)'
    assert place.calls == [
        ["--node", name, "--cluster", lab_forky.cluster, "--reason", reason] for name in ("gpu0001", "gpu0004")
    ]
    shown = place.wacht("journal", "show", "--json").stdout
    assert shown.count('"sent"') >= 1 and reason in [one.get("reason") for one in json.loads(shown)["entries"]]
    assert place.wacht("journal", "verify").returncode == 0
    undo = place.wacht("act", "undo", "--yes")
    assert undo.returncode == 2 and len(place.calls) == 2, undo.stderr


def test_how_it_ended_is_told_and_one_that_hangs_is_unknown(place: Site) -> None:
    body = json.loads(place.act("gpu[0001-0004]", "--count", "4", "--json").stdout)
    told = {name: (one["outcome"], one["why"]) for name, one in body["outcomes"].items()}
    assert body["exit"] == 1
    assert told["gpu0001"][0] == "sent"
    assert told["gpu0002"] == ("failed", "exit status 3: no asset gpu0002")
    assert told["gpu0003"][0] == "unknown" and "no answer in 1 s; it may have been done" in told["gpu0003"][1]
    assert told["gpu0004"][0] == "dropped" and [call[1] for call in place.calls] == ["gpu0001", "gpu0002", "gpu0003"]
