"""Start and stop one live Slurm on this machine: `with Lab("trixie") as lab: lab.submit(user="alice")`.

All processes of a lab live in one pid namespace under `init.py`; ending that process ends them all, so a stop is
complete whatever ran inside, and a lab cannot outlive an owner that was killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from . import accounting, conf, place, rest
from .jobs import Jobs
from .nodes import Nodes
from .place import wait_for
from .roots import SUITES, USERS, LabError, lab_unsupported, locked, root_of

COMMANDS = (
    *("squeue", "scontrol", "sinfo", "sdiag", "scancel", "sbatch", "srun", "salloc", "sacct", "sacctmgr"),
    *("sprio", "sreport", "sshare", "sstat", "strigger"),
)
RESERVATION = "lab-maint"


class Lab(Jobs, Nodes):
    """One Slurm of a suite with emulated nodes gpu0001.. of 8 H100 each.

    `slurmd=False` gives a controller at the design point: nodes stay UNKNOWN, jobs stay pending, any number of nodes.
    `stays=True` lets the lab outlive this process (the command line does that); otherwise it ends with it, even by
    SIGKILL. `extra` is appended to slurm.conf. `accounting=True` adds slurmdbd with MariaDB, where bob is an Operator
    and carol an Administrator; `restd=True` adds slurmrestd (`rest.py`). Nothing is touched before `start`.
    """

    def __init__(
        self,
        suite: str = "trixie",
        *,
        nodes: int = 64,
        name: str | None = None,
        cluster: str | None = None,
        slurmd: bool = True,
        max_jobs: int = 20_000,
        stays: bool = False,
        extra: str = "",
        accounting: bool = False,
        restd: bool = False,
    ) -> None:
        self.suite = suite
        self.version = SUITES.get(suite, "")
        self.nodes = nodes
        self.cluster = cluster or f"lab-{suite}"
        self.slurmd = slurmd
        self.max_jobs = max_jobs
        self._name = name or f"{suite}-{os.getpid()}-{secrets.token_hex(2)}"
        self._stays = stays
        self._extra = extra
        self._accounting = accounting
        self._restd = restd
        self._state: place.State | None = None
        self._process: subprocess.Popen[str] | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 60.0) -> Lab:
        """Up when it returns: controller answering, nodes idle, reservation made. Raises LabError, leaving nothing."""
        reason = lab_unsupported()
        if reason:
            raise LabError(reason)
        root_of(self.suite)
        self._state = place.claim(
            self.suite,
            self._name,
            cluster=self.cluster,
            nodes=self.nodes,
            slurmd=self.slurmd,
            stays=self._stays,
            more_ports=self._accounting + self._restd,
        )
        atexit.register(self._stop_at_exit)
        deadline = time.monotonic() + timeout
        try:
            self._lay_out()
            self._start_init()
            self._start_munge()
            if self._accounting:
                accounting.start(self, deadline - time.monotonic())
            self.start_controller(deadline - time.monotonic())
            if self.slurmd:
                self.start_nodes(self.node_names)
                self.wait_nodes("IDLE", deadline - time.monotonic())
            self._reserve()
            if self._restd:
                rest.start(self, deadline - time.monotonic())
        except BaseException as error:
            logs = self._last_words()
            self.stop()
            if isinstance(error, LabError):
                raise LabError(f"{error}{logs}") from error
            raise
        return self

    def stop(self) -> None:
        """End every process of the lab and remove its directory. Harmless when it is not running."""
        atexit.unregister(self._stop_at_exit)
        state, self._state = self._state, None
        process, self._process = self._process, None
        if state is not None:
            stop(state)
        if process is not None:
            if process.stdin:
                process.stdin.close()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def _stop_at_exit(self) -> None:
        if not self._stays or (self._state and not self._state.init):
            self.stop()

    def __enter__(self) -> Lab:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- use ----------------------------------------------------------------------------------------------------------

    @classmethod
    def attach(cls, name: str) -> Lab:
        """A running lab by its name, started by another process; `stop` stops it. Raises LabError if there is none."""
        state = place.find(name)
        if state is None:
            raise LabError(f"no lab called {name} is running")
        lab = cls(
            state.suite, nodes=state.nodes, name=name, cluster=state.cluster, slurmd=state.slurmd, stays=state.stays
        )
        lab._state = state
        return lab

    @property
    def state(self) -> place.State:
        if self._state is None:
            raise LabError("the lab is not running")
        return self._state

    @property
    def name(self) -> str:
        return self._name

    @property
    def root(self) -> Path:
        """The chroot, as the host sees it."""
        return self.state.root

    @property
    def folder(self) -> Path:
        """This lab's own directory (configuration, logs, state), as the host sees it."""
        return self.state.folder

    @property
    def conf(self) -> str:
        """The value of SLURM_CONF inside the chroot."""
        return f"{self.state.place}/slurm.conf"

    @property
    def bin_dir(self) -> Path:
        """Put it first on PATH and `squeue`, `scontrol`... use this lab, as root."""
        return self.folder / "bin"

    def bin_dir_as(self, user: str) -> Path:
        """The same, as another user of the lab (the caller must be root still): `alice` cannot drain a node."""
        return self.folder / f"bin-{user}"

    def run(
        self,
        argv: Sequence[str],
        user: str | None = None,
        *,
        env: dict[str, str] | None = None,
        stdin: str = "",
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the chroot, as root or as `user`. Undecodable bytes come back as surrogates."""
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SLURM_CONF": self.conf, **(env or {})}
        command = [*self._chroot(user), *argv]
        done = subprocess.run(
            command,
            env=clean,
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        # decoded here: text mode would turn a job name's carriage return into a line feed
        out, err = (raw.decode("utf-8", "surrogateescape") for raw in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(command, done.returncode, out, err)

    def check(self, argv: Sequence[str], user: str | None = None, **options: object) -> str:
        """`run`, but raises LabError unless it succeeds; returns the standard output."""
        done = self.run(argv, user, **options)  # type: ignore[arg-type]
        if done.returncode != 0:
            raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    # -- break it -----------------------------------------------------------------------------------------------------

    def start_controller(self, timeout: float = 60.0) -> None:
        """Start slurmctld and wait until it answers."""
        self._inside("/usr/sbin/slurmctld", "-f", self.conf)
        wait_for(lambda: "" if self.run(["scontrol", "ping"]).returncode == 0 else "slurmctld does not answer", timeout)

    def stop_controller(self, timeout: float = 60.0) -> None:
        """End slurmctld as an orderly shutdown does, and wait until its pid file is gone."""
        pid_file = self.folder / "run/slurmctld.pid"
        self.signal_controller(signal.SIGTERM)
        wait_for(lambda: "slurmctld still runs" if pid_file.exists() else "", timeout)

    def signal_controller(self, number: int) -> None:
        """SIGSTOP makes a controller that accepts connections and never answers; SIGCONT heals it."""
        pid = (self.folder / "run/slurmctld.pid").read_text().strip()
        self._inside("/bin/kill", f"-{int(number)}", pid)

    def signal_slurmd(self, node: str, number: int) -> None:
        """SIGSTOP makes a node that does not answer; SIGCONT heals it."""
        self._inside("/bin/kill", f"-{int(number)}", (self.folder / f"run/{node}.pid").read_text().strip())

    # -- inside -------------------------------------------------------------------------------------------------------

    def _chroot(self, user: str | None) -> list[str]:
        if user is None or user == "root":
            return ["chroot", str(self.root)]
        if user not in USERS:  # an account of the root's own: slurm
            return ["chroot", f"--userspec={user}:", str(self.root)]
        uid = USERS[user]
        return ["chroot", f"--userspec={uid}:{uid}", f"--groups={uid}", str(self.root)]

    def _inside(self, *argv: str, **environment: str) -> None:
        """Run a command as root within the lab's namespaces: what it leaves running belongs to the lab."""
        assert self.state.init is not None
        enter = ["nsenter", f"--target={self.state.init[0]}", "--mount", "--uts", "--pid", "chroot", str(self.root)]
        with (self.folder / "log/start.log").open("a+") as log:
            done = subprocess.run(
                [*enter, *argv],
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C",
                    "SLURM_CONF": self.conf,
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
                check=False,
            )
        if done.returncode != 0:
            raise LabError(f"{Path(argv[0]).name} exits {done.returncode} in lab {self.name}")

    def _lay_out(self) -> None:
        """Write the configuration, the keys, the devices and the wrappers into the lab's directory."""
        state, folder = self.state, self.folder
        spec = conf.Spec(
            *(self.cluster, self.nodes, state.port, self.slurmd, self.max_jobs, state.place),
            self._extra + (rest.CONF.format(place=state.place) if self._restd else ""),
            dbd_port=state.port + state.ports - 1 - self._restd if self._accounting else None,
        )
        (folder / "slurm.conf").write_text(conf.slurm_conf(spec))
        (folder / "gres.conf").write_text(conf.gres_conf(spec))
        (folder / "cgroup.conf").write_text(conf.CGROUP_CONF)
        (folder / "reboot").write_text(conf.reboot_script(spec))
        (folder / "reboot").chmod(0o755)
        ids = {line.split(":")[0]: line.split(":")[2:4] for line in (self.root / "etc/passwd").read_text().splitlines()}
        for child, owner in (
            *(("state", "slurm"), ("run", "slurm"), ("log", "slurm"), ("spool", "root")),
            *(("munge", "munge"), ("dev", "root"), ("bin", "root")),
        ):
            (folder / child).mkdir(mode=0o755)
            os.chown(folder / child, *map(int, ids[owner]))
        slurm = (int(ids["slurm"][0]), int(ids["slurm"][1]))
        if self._accounting:
            accounting.lay_out(self, spec, slurm)
        if self._restd:
            rest.lay_out(self, slurm)
        key = folder / "munge/key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        os.chown(key, *map(int, ids["munge"]))
        for gpu in range(conf.GPUS_PER_NODE):
            os.mknod(folder / f"dev/nvidia{gpu}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self._write_wrappers()

    def _write_wrappers(self) -> None:
        """A wrapper is dash, then chroot, then the command: 2 ms. The caller's environment passes through."""
        chroot = shutil.which("chroot")
        for user in USERS:
            folder = self.bin_dir if user == "root" else self.bin_dir_as(user)
            folder.mkdir(exist_ok=True)
            enter = " ".join([str(chroot), *(f"'{word}'" for word in self._chroot(user)[1:])])
            for command in COMMANDS:
                path = folder / command
                path.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.conf}\nexec {enter} /usr/bin/{command} "$@"\n')
                path.chmod(0o755)

    def _start_init(self) -> None:
        """Start process 1 of the lab in its own namespaces and remember its pid as the host sees it."""
        script = Path(__file__).with_name("init.py")
        with (self.folder / "log/init.log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts"),
                    *(sys.executable, "-I", "-S", str(script)),
                    *(str(self.root), self.state.place, conf.HOST, "stays" if self._stays else "owned"),
                ],
                stdin=subprocess.DEVNULL if self._stays else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # a Ctrl-C at the terminal is for the owner to handle
            )
        assert self._process.stdout
        word, _, pid = self._process.stdout.readline().partition(" ")
        if word != "ready":
            raise LabError("process 1 of the lab did not start")
        self.state.init = place.identity(int(pid))
        self.state.save()

    def _start_munge(self) -> None:
        where = f"{self.state.place}/munge"
        files = [f"--{word}={where}/{word.split('-')[0]}" for word in ("key-file", "socket", "pid-file", "log-file")]
        switch = ("/usr/sbin/chroot", "--userspec=munge:", "/")  # munged refuses to run as root
        self._inside(*switch, "/usr/sbin/munged", *files, f"--seed-file={where}/seed")

    def _reserve(self) -> None:
        first, last = conf.layout(self.nodes).reserved
        what = (
            f"ReservationName={RESERVATION} Nodes={conf.node_range(first, last)} StartTime=now+1hour Duration=2:00:00"
        )
        self.check(["scontrol", "create", "reservation", *what.split(), "Users=root", "Flags=MAINT,IGNORE_JOBS"])

    def _last_words(self) -> str:
        words = []
        for log in ("log/init.log", "log/start.log", "log/slurmdbd.log", "log/slurmctld.log", "log/slurmrestd-jwt.log"):
            with contextlib.suppress(OSError, LabError):
                lines = (self.folder / log).read_text(errors="replace").splitlines()
                words += [f"\n  {log}: {line}" for line in lines[-5:]]
        return "".join(words)


def stop(state: place.State) -> None:
    """End a lab, whoever started it. When process 1 was killed itself, its directory is still removed."""
    rest.stop(state.folder)
    if state.init:
        with contextlib.suppress(ProcessLookupError):
            if place.is_alive(state.init):
                os.kill(state.init[0], signal.SIGTERM)
        with contextlib.suppress(LabError):
            wait_for(lambda: "lives" if place.is_alive(state.init) else "", 60)
        if place.is_alive(state.init):
            os.kill(state.init[0], signal.SIGKILL)
    with locked("labs.lock"):
        shutil.rmtree(state.folder, ignore_errors=True)
