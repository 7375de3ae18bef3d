"""The second recipe of ARCHITECTURE.md, carried out on a copy: a new action takes three files, and all else follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import ACTION, product, python, wacht

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return product(tmp_path_factory.mktemp("copy"), ACTION)


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
