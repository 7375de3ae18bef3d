"""What every test needs: hypothesis without deadlines, because a busy machine is not a failed test; and no syslog."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from console import witness

settings.register_profile("wacht", deadline=None)
settings.load_profile("wacht")

# What tests do belongs in nobody's log, and a journal that cannot be written must look so on every machine.
witness.SYSLOG = Path("/nonexistent/log")


@pytest.fixture(autouse=True)
def own_readings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console shares readings with others of its user: none of another test's, and none of who runs them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
