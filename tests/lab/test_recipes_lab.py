"""The action that tests/support/recipes.py adds to a copy of the product, on a live Slurm of each version: through the
gate, seen in Slurm, undone, and in the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.recipes import ACTION, FIELD, product, wacht

from .roots import SUITES
from .running import running

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("suite", SUITES)
def test_an_action_added_in_three_files_is_done_seen_and_undone(suite: str, tmp_path: Path) -> None:
    copy = product(tmp_path / "copy", FIELD, ACTION)
    for lab in running(suite, nodes=4):
        own = {"PATH": f"{lab.bin_dir}:/usr/bin:/bin"}

        def weight(name: str = "gpu0001", path: str = own["PATH"]) -> int:
            read = wacht(copy, "snapshot", "--json", PATH=path)
            assert read.returncode == 0, read.stderr
            return next(one["weight"] for one in json.loads(read.stdout)["nodes"] if one["name"] == name)

        assert weight() == 1
        done = wacht(copy, "act", "weight", "gpu0001", "--value", "10", "--yes", "--json", **own)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outcomes"]["gpu0001"]["outcome"] == "done"
        assert weight() == 10 and weight("gpu0002") == 1
        found = wacht(copy, "act", "drain", "weight>5", "--reason", "x", "--dry-run", **own)
        assert found.returncode == 0 and "gpu0001" in found.stdout and "gpu0002" not in found.stdout, found.stderr
        back = wacht(copy, "act", "undo", "--yes", **own)
        assert back.returncode == 0 and weight() == 1, back.stderr
        shown = wacht(copy, "journal", "show", "--json", **own)
        entries = [one for one in json.loads(shown.stdout)["entries"] if one.get("action") == "weight"]
        assert [one["event"] for one in entries] == ["intent", "result", "verified"] * 2, shown.stdout
        assert [one["values"] for one in entries if one["event"] == "intent"] == [{"gpu0001": "10"}, {"gpu0001": "1"}]
        assert wacht(copy, "journal", "verify", **own).returncode == 0
