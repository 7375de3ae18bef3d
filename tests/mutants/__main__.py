"""`python -m tests.mutants [PART...]`: break every rule once, and say which of them no test holds.

A PART keeps the mutants whose file or rule holds that text. Exit status 1 where less than 95 % of them were killed, or
one is not what the table says of it.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants import ROOT, Mutant, mutants

LEAST_PCT = 95
#: Copies of the tree that are worked in at the same time.
COPIES = min(4, os.cpu_count() or 1)
#: Seconds that the tests of one mutant may take: a mutant may hang them, and is killed by that.
DEADLINE_S = 240
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", ".stamps", "dist", "build", "shared"
)


def copied(to: Path) -> Path:
    """A copy of the tree as it is, without what no test of a mutant needs."""
    shutil.copytree(ROOT, to, ignore=_LEFT_OUT)
    return to


def tested(root: Path, tests: Sequence[str]) -> bool:
    """Whether these tests pass there. The first that fails ends them."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    try:
        done = subprocess.run(
            [*command, *tests], cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{' '.join(tests)}: pytest ended with {done.returncode}\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def killed(root: Path, one: Mutant) -> bool:
    """Whether a test fails with this mutation in the copy; the copy is as before afterwards."""
    file = root / one.path
    before = file.read_bytes()
    try:
        _written(file, one.text(root).encode())
        return not tested(root, one.tests)
    finally:
        _written(file, before)


def _written(file: Path, raw: bytes) -> None:
    """Python takes compiled code by its source's size and second: neither need differ here."""
    file.write_bytes(raw)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def main(parts: Sequence[str]) -> int:
    """Run them and print what came of each. Returns the exit status."""
    chosen = [one for one in mutants() if not parts or any(part in one.path or part in one.breaks for part in parts)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        free: queue.Queue[Path] = queue.Queue()
        for at in range(COPIES):
            free.put(copied(Path(folder) / str(at)))
        sound = sorted({test for one in chosen for test in one.tests})
        if not tested(Path(folder) / "0", sound):
            print("the tests fail without any mutation: mend that first")
            return 2

        def look(one: Mutant) -> bool:
            root = free.get()
            try:
                return killed(root, one)
            finally:
                free.put(root)

        with ThreadPoolExecutor(COPIES) as crew:
            found = []
            for one, died in zip(chosen, crew.map(look, chosen), strict=True):
                found.append(died)
                word = "killed  " if died else "equal   " if one.equal else "SURVIVED"
                print(f"{word} {one.path}: {one.breaks}", flush=True)
    return _summed(chosen, found, time.monotonic() - began)


def _summed(chosen: Sequence[Mutant], found: Sequence[bool], took_s: float) -> int:
    counted = [(one, died) for one, died in zip(chosen, found, strict=True) if not one.equal]
    died = sum(died for _, died in counted)
    share = 100 * died / len(counted) if counted else 100.0
    for one, gone in zip(chosen, found, strict=True):
        if gone and (one.equal or one.lives):
            print(f"the table says that no test kills it, one does: {one.path}: {one.breaks}")
        elif not gone and not one.equal and not one.lives:
            print(f"no test holds this rule: {one.path}: {one.breaks}\n  {one.old!r}\n  {one.new!r}")
    print(f"{len(chosen)} mutants in {took_s:.0f} s: {died} of {len(counted)} killed, {share:.1f} %; "
          f"{len(chosen) - len(counted)} equivalent")  # fmt: skip
    wrong = any(gone and (one.equal or one.lives) for one, gone in zip(chosen, found, strict=True))
    return int(share < LEAST_PCT or wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
