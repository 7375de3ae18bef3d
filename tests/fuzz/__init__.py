"""Fuzz targets for every parser of untrusted text, run by atheris (`make fuzz`) and by pytest.

`corpus/TARGET/` holds the kept inputs of a target: answers of real programs, and inputs that once broke it.
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def seeds(target: str) -> list[bytes]:
    """The kept inputs of a target, at least one."""
    found = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    assert found, f"no corpus for {target}"
    return found
