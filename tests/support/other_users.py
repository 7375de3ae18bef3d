"""Tests in which another user runs this checkout: one that is in a folder of its owner's alone, nobody else can run."""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT


def closed() -> str:
    """The first folder on the way to the code that others may not enter, "" where they may."""
    way = (*reversed(ROOT.parents), ROOT)
    return next((str(folder) for folder in way if not folder.stat().st_mode & 0o001), "")


open_to_others = pytest.mark.skipif(
    bool(closed()), reason=f"another user cannot run this checkout: {closed()} is closed to others"
)
