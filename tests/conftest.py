"""What every test needs: hypothesis without deadlines, because a busy machine is not a failed test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("wacht", deadline=None)
settings.load_profile("wacht")
