"""The kept corpus: for each target a few answers of real programs, and what once broke it."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def seeds(target: str) -> list[bytes]:
    """The kept inputs of a target. Never none."""
    found = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    assert found, f"no corpus for {target}"
    return found
