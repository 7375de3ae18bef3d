"""A console without a terminal: a fake app, one open cluster, and what every controller is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_app import Desk


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def desk(state: Path) -> Desk:
    return Desk()
