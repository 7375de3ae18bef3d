"""The first two recipes of ARCHITECTURE.md, carried out on a copy: a new fact takes one row, a new action three files,
and everything else follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.recipes import ACTION, FIELD, product, python, wacht

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return product(tmp_path_factory.mktemp("copy"), FIELD, ACTION)


def test_one_row_is_a_column_an_export_a_key_of_the_snapshot_and_a_filter(copy):
    shown = wacht(copy, "snapshot", "--json", "--demo", "--nodes", "4")
    assert shown.returncode == 0, shown.stderr
    assert [one["weight"] for one in json.loads(shown.stdout)["nodes"]] == [1, 1, 1, 1]
    facts = python(copy, "-c", (
        "from collectors.model import Node; from console.fields.common_cells import Ctx;"
        "from console.fields.node_fields import NODES; from collectors.model import Cluster;"
        "node = Node(name='a', state='IDLE', display='idle', weight=20); ctx = Ctx(Cluster(name='x'), 0.0);"
        "one = next(one for one in NODES if one.key == 'weight');"
        "print(one.title, one.cell(node, ctx), one.sort(node), [(e.name, e.value(node, ctx)) for e in one.export])"
    ))  # fmt: skip
    assert facts.stdout.strip() == "weight 20 20 [('weight', 20)]", facts.stderr
    # As a filter it names targets: of the simulated nodes none has this weight, and all have that.
    none = wacht(copy, "act", "drain", "weight>5", "--reason", "x", "--yes", "--demo", "--nodes", "4")
    assert none.returncode == 2 and "no field" not in none.stderr, none.stderr
    typo = wacht(copy, "act", "drain", "wieght>5", "--reason", "x", "--yes", "--demo", "--nodes", "4")
    assert "weight" in typo.stderr, typo.stderr


def test_three_files_are_an_action_with_preview_gate_verification_and_page(copy):
    done = wacht(copy, "act", "weight", "gpu0001", "--value", "10", "--yes", "--demo", "--nodes", "4")
    assert done.returncode == 0, done.stderr
    assert "scontrol update NodeName=gpu0001 Weight=10" in done.stdout + done.stderr
    assert "1 → 10" in done.stdout + done.stderr and "changed  1  gpu0001" in done.stdout
    vain = wacht(copy, "act", "weight", "gpu0001", "--value", "1", "--yes", "--demo", "--nodes", "4")
    assert vain.returncode == 2 and "its weight is that already" in vain.stderr, vain.stderr
    bare = wacht(copy, "act", "weight", "gpu0001", "--yes", "--demo", "--nodes", "4")
    assert bare.returncode == 2 and "a weight is required" in bare.stderr, bare.stderr
    assert "weight" in wacht(copy, "keys").stdout
    page = python(copy, "-c", "from console.pages import action_pages; print(action_pages.page())")
    assert "| — | [weight](#weight) | nodes | a weight |" in page.stdout, page.stderr
