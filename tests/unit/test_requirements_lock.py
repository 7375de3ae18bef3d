"""The lock holds what pyproject.toml asks for, each with its hashes, and names no host."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
#: A pin, its marker, and its hashes.
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; ([^\\\n]+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def asked(project: dict) -> list[Requirement]:
    """What pyproject.toml asks for, its development group and the groups in it included."""
    groups = project["dependency-groups"]
    found = [*project["project"]["dependencies"]]
    for one in groups["dev"]:
        found += groups[one["include-group"]] if isinstance(one, dict) else [one]
    return [Requirement(text) for text in found]


def test_the_lock_is_what_the_project_asks_for() -> None:
    pins: dict[str, list[str]] = {}
    for name, version, _, _ in PIN.findall(LOCK):
        pins.setdefault(name, []).append(version)
    for one in asked(tomllib.loads((ROOT / "pyproject.toml").read_text())):
        held = pins.get(canonicalize_name(one.name), [])
        assert any(one.specifier.contains(version) for version in held), f"{one} is not in the lock: make lock"


def test_every_line_of_the_lock_is_a_pin_with_hashes_and_no_host() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith(("#", "--hash=sha256:"))]
    assert len(lines) == len(PIN.findall(LOCK)) > 30
    assert "://" not in LOCK and "--index" not in LOCK and "@" not in LOCK
