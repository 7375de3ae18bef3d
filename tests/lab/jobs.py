"""Submitting and following jobs in a lab: a few that run, or ten thousand that wait."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from .place import wait_for
from .roots import LabError


class Jobs:
    """The job half of a Lab; it needs `run` and `check` of the other half."""

    run: Any
    check: Any

    def submit(
        self,
        n: int = 1,
        *,
        user: str = "root",
        nodes: int = 1,
        gpus: int = 8,
        seconds: float = 600,
        name: str | None = None,
        array: str | None = None,
        partition: str | None = None,
        account: str | None = None,
        time_limit: str | None = None,
        exclusive: bool = False,
        hold: bool = False,
        dependency: str | None = None,
        begin: str | None = None,
        nodelist: str | None = None,
        reservation: str | None = None,
        comment: str | None = None,
        requeue: bool = True,
        script: str | None = None,
        extra: Sequence[str] = (),
    ) -> list[str]:
        """Submit `n` like jobs as `user` and return their ids, lowest first; `gpus` are per node, 0 asks for none.

        Each runs `sleep seconds`, or `script`. With `array` ("0-9999%4") the ids are of the arrays, one each.
        Many jobs go through several sbatch at once: about 550 a second on two cores.
        """
        words = ["--parsable", "--chdir=/tmp", "--output=/dev/null", f"--nodes={nodes}"]
        optional = {
            "job-name": name,
            "array": array,
            "partition": partition,
            "account": account,
            "time": time_limit,
            "dependency": dependency,
            "begin": begin,
            "nodelist": nodelist,
            "reservation": reservation,
            "comment": comment,
            "gpus-per-node": f"h100:{gpus}" if gpus else None,
        }
        words += [f"--{key}={value}" for key, value in optional.items() if value is not None]
        words += ["--exclusive"] if exclusive else []
        words += ["--hold"] if hold else []
        words += ["--requeue" if requeue else "--no-requeue"]
        words += [*extra, f"--wrap={script or f'exec sleep {seconds}'}"]
        printed = self.check(["sbatch", *words], user) if n == 1 else self._submit_many(n, words, user)
        return sorted(re.findall(r"^(\d+)", printed, re.MULTILINE), key=int)

    def _submit_many(self, n: int, words: Sequence[str], user: str) -> str:
        """Four loops side by side: sbatch spends most of its time waiting for the controller."""
        loop = (
            'n=$0; for k in 0 1 2 3; do (i=$k; while [ "$i" -lt "$n" ]; do sbatch "$@"; i=$((i+4)); done) & done; wait'
        )
        done: subprocess.CompletedProcess[str] = self.run(
            ["sh", "-c", loop, str(n), *words], user, timeout=60 + n * 0.05
        )
        if done.stderr.strip():
            raise LabError(f"sbatch: {done.stderr.strip().splitlines()[0]}")
        return done.stdout

    def job_states(self, ids: Iterable[str] | None = None) -> dict[str, str]:
        """Each job or array task that squeue still knows (`101_3`) with its long state."""
        only = [f"--jobs={','.join(ids)}"] if ids is not None else []
        # an unknown id makes squeue fail when it stands alone: then it is simply not in the answer
        done = self.run(["squeue", "-h", "-a", "-r", "--states=all", *only, "-o", "%i %T"])
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    def cancel_all(self, timeout: float = 60.0) -> None:
        """Cancel every job of everyone and wait until none is left pending, running or completing."""
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            self.run(["scancel", "--quiet", f"--state={state}"])

        def left() -> str:
            ids = self.check(["squeue", "-h", "-a", "-o", "%i"]).split()
            return f"{len(ids)} jobs are left: {' '.join(ids[:8])}" if ids else ""

        wait_for(left, timeout)

    def wait_jobs(self, state: str, ids: Sequence[str], timeout: float = 60.0) -> None:
        """Until each of these jobs is in that state. Raises LabError with who is not."""

        def missing() -> str:
            seen = self.job_states(ids)
            bad = [f"{job}={seen.get(job)}" for job in ids if seen.get(job) != state]
            return f"{len(bad)} jobs are not {state}: {' '.join(bad[:8])}" if bad else ""

        wait_for(missing, timeout)
