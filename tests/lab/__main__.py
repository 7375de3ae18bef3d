"""`python3 -m tests.lab up|down|status|env`: a live Slurm to try the console on, until `down`."""

from __future__ import annotations

import argparse
import sys
import time

from . import place, slurm
from .roots import SUITES, LabError, lab_unsupported, locked


def main(words: list[str] | None = None) -> int:
    """Exit 0 when done, 1 when it could not be, 2 on a wrong command line."""
    options = _parser().parse_args(words)
    reason = lab_unsupported()
    try:
        if reason:
            raise LabError(reason)
        result: int = options.act(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description=__doc__)
    acts = parser.add_subparsers(required=True, metavar="up|down|status|env")
    up = acts.add_parser("up", help="start a lab that stays")
    up.add_argument("--suite", choices=SUITES, default="trixie", help="trixie is Slurm 24.11, forky 26.05")
    up.add_argument("--nodes", type=int, default=64)
    up.add_argument("--jobs", type=int, default=0, help="submit that many, of which a few run")
    up.add_argument("--name", help="default: the suite")
    up.add_argument("--no-slurmd", action="store_true", help="a controller alone: for 12000 nodes, jobs never run")
    up.add_argument("--accounting", action="store_true", help="with slurmdbd: bob an Operator, carol an Administrator")
    up.add_argument("--rest", action="store_true", help="with slurmrestd, on a unix socket and on a port")
    up.set_defaults(act=_up)
    down = acts.add_parser("down", help="stop a lab")
    down.add_argument("--name", help="default: all that `up` started")
    down.add_argument("--all", action="store_true", help="all that `up` started (labs of running tests stay)")
    down.set_defaults(act=_down)
    acts.add_parser("status", help="list the labs").set_defaults(act=_status)
    env = acts.add_parser("env", help="print export lines for a shell to eval")
    env.add_argument("--name", help="default: the only one that `up` started")
    env.set_defaults(act=_env)
    return parser


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    lab = slurm.Lab(
        options.suite,
        nodes=options.nodes,
        name=options.name or options.suite,
        slurmd=not options.no_slurmd,
        max_jobs=max(20_000, 2 * options.jobs),
        stays=True,
        accounting=options.accounting,
        restd=options.rest,
    ).start()
    if options.jobs:
        _fill(lab, options.jobs)
    print(f"lab {lab.name}: Slurm {lab.version}, cluster {lab.cluster}, {lab.nodes} nodes, {options.jobs} jobs", end="")
    print(f", up in {time.monotonic() - began:.1f} s")
    print(f"\n  PATH={lab.bin_dir}:$PATH wacht\n")
    print(f'or, for this shell: eval "$(python3 -m tests.lab env --name {lab.name})"')
    print(f"as an unprivileged user: PATH={lab.bin_dir_as('alice')}:$PATH")
    print(f"stop it: make lab-down, or python3 -m tests.lab down --name {lab.name}")
    return 0


def _fill(lab: slurm.Lab, jobs: int) -> None:
    """A tenth (at most a hundred) are jobs of their own of many sizes, the rest two arrays of two users."""
    own = min(100, max(1, jobs // 10))
    for number in range(own):
        size = 1 + number % max(1, lab.nodes // 8)
        user, gpus = ("alice", "bob")[number % 2], (8, 4, 8, 1)[number % 4]
        lab.submit(user=user, nodes=size, gpus=gpus, seconds=3600, name=f"train-{number:03d}", account="ml")
    rest = jobs - own
    for user, size in (("alice", rest // 2), ("bob", rest - rest // 2)):
        if size:
            lab.submit(user=user, array=f"0-{size - 1}", nodes=2, seconds=3600, name="sweep")
    if lab.slurmd:
        place.wait_for(lambda: "" if "RUNNING" in lab.job_states().values() else "no job runs", 60)


def _down(options: argparse.Namespace) -> int:
    if options.name:
        slurm.Lab.attach(options.name).stop()
        return 0
    for state in place.all_labs():
        if state.stays and state.alive():
            slurm.stop(state)
            print(f"lab {state.name} is down")
    with locked("labs.lock"):
        place.sweep()
    return 0


def _status(_: argparse.Namespace) -> int:
    labs = place.all_labs()
    for state in labs:
        life = ("stays" if state.stays else f"of process {state.owner[0]}") if state.alive() else "dead"
        ports = f"ports {state.port}-{state.port + state.ports - 1}"
        print(f"{state.name}: Slurm {SUITES[state.suite]}, {state.nodes} nodes, {ports}, {life}, {state.folder}")
    if not labs:
        print("no lab is running")
    return 0


def _env(options: argparse.Namespace) -> int:
    names = [options.name] if options.name else [lab.name for lab in place.all_labs() if lab.stays and lab.alive()]
    if len(names) != 1:
        raise LabError(f"which one? --name {' | '.join(names)}" if names else "no lab is running")
    lab = slurm.Lab.attach(names[0])
    print(f"export PATH='{lab.bin_dir}':\"$PATH\"\nexport WACHT_LAB='{lab.name}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
