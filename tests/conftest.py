"""What every test needs: hypothesis without deadlines, because a busy machine is not a failed test; and no syslog."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from console import witness

settings.register_profile("wacht", deadline=None)
settings.load_profile("wacht")

# What tests do belongs in nobody's log, and a journal that cannot be written must look so on every machine.
witness.SYSLOG = Path("/nonexistent/log")
