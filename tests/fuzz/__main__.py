"""`python -m tests.fuzz [TARGET…]`: fuzz with atheris, guided by coverage; `make fuzz` does each for SECONDS.

Each target has a process of its own, for libFuzzer ends the one that it runs in. What breaks a target is kept in
.stamps/fuzz; mended, it belongs into tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["collectors", "console"]):
    from tests.fuzz import targets
from tests.fuzz import CORPUS
from tests.support.paths import ROOT

FOUND = ROOT / ".stamps" / "fuzz"


def fuzz(name: str, options: list[str]) -> tuple[bool, list[str]]:
    """Fuzz one target. Whether it broke, and what libFuzzer said."""
    with tempfile.TemporaryDirectory(prefix="wacht-fuzz-") as grown, tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            argv = ["fuzz", f"-artifact_prefix={FOUND}/{name}-", "-timeout=20", "-rss_limit_mb=2048", *options, grown,
                    str(CORPUS / name)]  # fmt: skip
            atheris.Setup(argv, targets.TARGETS[name])
            atheris.Fuzz()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return status != 0, said.read().decode("utf-8", "replace").splitlines()


def main() -> int:
    """Run the targets named, or all; 1 where one of them broke."""
    given = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    given.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(targets.TARGETS))
    given.add_argument("--seconds", type=int, default=0, help="of each target; no end by default")
    given.add_argument("--runs", type=int, default=-1, help="of each target, whatever it takes")
    given.add_argument("--seed", type=int, default=0, help="the same seed, the same inputs; 0 is a new one")
    wanted = given.parse_args()
    options = [f"-max_total_time={wanted.seconds}", f"-runs={wanted.runs}", f"-seed={wanted.seed}"]
    FOUND.mkdir(parents=True, exist_ok=True)
    broken = 0
    for name in wanted.targets or targets.TARGETS:
        broke, lines = fuzz(name, options)
        broken += broke
        last = next((line for line in reversed(lines) if line.startswith("#") and line[1:2].isdecimal()), "")
        print(f"{name}: {'broke' if broke else 'well'}  {' '.join(last.split()[:6])}", flush=True)
        if broke:
            print("\n".join(lines[-40:]), flush=True)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
