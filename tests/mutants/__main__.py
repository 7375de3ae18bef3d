"""`python -m tests.mutants [PART...]`: break every rule once, and list those that no test covers.

A PART selects the mutants whose file or rule contains that text. Exit status 1 if less than 95 % of them were killed,
or one differs from what the table says.
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

MIN_KILLED_PCT = 95
#: Number of copies of the tree that are tested in parallel.
COPIES = min(4, os.cpu_count() or 1)
#: Timeout for the tests of one mutant in seconds: a mutant that makes them hang counts as killed.
DEADLINE_S = 240
_IGNORED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", ".stamps", "dist", "build", "shared"
)


def copy_tree(to: Path) -> Path:
    """Copy the tree, without what the tests of mutants do not need."""
    shutil.copytree(ROOT, to, ignore=_IGNORED)
    return to


def tests_pass(root: Path, tests: Sequence[str]) -> bool:
    """True if these tests pass in that tree. The first failure ends the run."""
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
    """True if a test fails with this mutation. The copy is restored afterwards."""
    file = root / one.path
    before = file.read_bytes()
    try:
        _write_source(file, one.text(root).encode())
        return not tests_pass(root, one.tests)
    finally:
        _write_source(file, before)


def _write_source(file: Path, raw: bytes) -> None:
    """Write a source and delete its compiled files: Python compares size and second, which may be equal here."""
    file.write_bytes(raw)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def main(parts: Sequence[str]) -> int:
    """Run the mutants and print each result. Returns the exit status."""
    chosen = [one for one in mutants() if not parts or any(part in one.path or part in one.breaks for part in parts)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        free: queue.Queue[Path] = queue.Queue()
        for at in range(COPIES):
            free.put(copy_tree(Path(folder) / str(at)))
        sound = sorted({test for one in chosen for test in one.tests})
        if not tests_pass(Path(folder) / "0", sound):
            print("the tests fail without any mutation: mend that first")
            return 2

        def run_mutant(one: Mutant) -> bool:
            root = free.get()
            try:
                return killed(root, one)
            finally:
                free.put(root)

        with ThreadPoolExecutor(COPIES) as pool:
            found = []
            for one, died in zip(chosen, pool.map(run_mutant, chosen), strict=True):
                found.append(died)
                word = "killed  " if died else "equal   " if one.equivalent else "SURVIVED"
                print(f"{word} {one.path}: {one.breaks}", flush=True)
    return _summary(chosen, found, time.monotonic() - began)


def _summary(chosen: Sequence[Mutant], found: Sequence[bool], took_s: float) -> int:
    counted = [(one, died) for one, died in zip(chosen, found, strict=True) if not one.equivalent]
    died = sum(died for _, died in counted)
    share = 100 * died / len(counted) if counted else 100.0
    for one, died in zip(chosen, found, strict=True):
        if died and (one.equivalent or one.survives):
            print(f"the table says that no test kills it, one does: {one.path}: {one.breaks}")
        elif not died and not one.equivalent and not one.survives:
            print(f"no test holds this rule: {one.path}: {one.breaks}\n  {one.old!r}\n  {one.new!r}")
    print(f"{len(chosen)} mutants in {took_s:.0f} s: {died} of {len(counted)} killed, {share:.1f} %; "
          f"{len(chosen) - len(counted)} equivalent")  # fmt: skip
    wrong = any(died and (one.equivalent or one.survives) for one, died in zip(chosen, found, strict=True))
    return int(share < MIN_KILLED_PCT or wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
