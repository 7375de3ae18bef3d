"""Two live clusters in one console, both through Slurm's own commands: what is done to one never reaches the other.

Each is told by its `conf` alone. The commands on PATH ask the lab that SLURM_CONF names, and fail where it names none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from collectors.slurm import SlurmSettings
from console.app import cluster_switching
from console.app.app import WachtApp
from console.config.settings import ClusterConfig, Config
from console.journal.chain import read
from console.session import cluster_sources
from tests.support.operator import Operator

from .running import running
from .slurm import COMMANDS, Lab

A, B = "lab-forky", "leeuwarden"


@pytest.fixture(scope="module")
def second() -> Iterator[Lab]:
    """A small Slurm of the other version, beside the session's."""
    yield from running("trixie", nodes=4, cluster=B)


def commands(folder: Path, labs: dict[str, Lab]) -> dict[str, str]:
    """Put the commands there. Returns each cluster's `conf`."""
    confs = {name: str(folder / name / "slurm.conf") for name in labs}
    for command in COMMANDS:
        cases = "".join(
            f'{shlex.quote(confs[name])}) exec {lab.bin_dir}/{command} "$@";;\n' for name, lab in labs.items()
        )
        path = folder / command
        path.write_text(
            f'#!/bin/sh\nasked="$SLURM_CONF"\nunset SLURM_CONF\ncase "$asked" in\n{cases}'
            'esac\necho "which cluster? SLURM_CONF=$asked" >&2\nexit 1\n'
        )
        path.chmod(0o755)
    return confs


@pytest.fixture
async def op(lab_forky: Lab, second: Lab, tmp_path, monkeypatch) -> AsyncIterator[Operator]:
    """An operator at a console that knows both."""
    lab_forky.reset()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr(cluster_switching, "OPEN_OTHERS_S", 0.1)
    confs = commands(tmp_path, {A: lab_forky, B: second})
    slurm = {name: SlurmSettings(conf=conf, share=False) for name, conf in confs.items()}
    config = Config(clusters={name: ClusterConfig(name=name, sources={"slurm": one}) for name, one in slurm.items()})
    first = cluster_sources.choose(config, None)
    app = WachtApp(first, config, others=cluster_sources.other_clusters(config, first))
    try:
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            operator = Operator(app, pilot)
            await operator.arrive({"nodes", "jobs", "diag"})
            yield operator
    finally:
        app.stop_reading()


def received(lab: Lab) -> dict[str, int]:
    """How many of each request its controller was sent, as it counts itself."""
    return {name: int(count) for name, count in re.findall(r"(\w+)\s+\(\s*\d+\)\s+count:(\d+)", lab.check(["sdiag"]))}


async def test_a_drain_on_one_reaches_no_other(op: Operator, lab_forky: Lab, second: Lab) -> None:
    app = op.app
    await op.until(
        lambda: B in app.fleet.sessions and "nodes" in app.fleet.sessions[B].newest.known, "the other is read"
    )
    assert set(app.fleet.sessions[A].newest.nodes) == set(lab_forky.node_names)
    assert set(app.fleet.sessions[B].newest.nodes) == set(second.node_names)
    assert not app.fleet.sessions[B].newest.known & {"jobs", "partitions"}, "only what rings is read of it"

    before = received(lab_forky)
    await op.command(f"cluster {B}")
    await op.until(lambda: app.session.name == B and "jobs" in op.cluster.known, "it is shown")
    await op.press("2")
    await op.select("gpu0002")
    await op.press("d")
    await op.confirm(reason="bad DIMM", answer="y")
    await op.until(lambda: any(one.message.startswith(f"{B}: drained: gpu0002") for one in app._notifications), "seen")
    assert second.node_states()["gpu0002"] == "IDLE+DRAIN"
    assert lab_forky.node_states()["gpu0002"] == "IDLE", "the node of the same name there is as it was"
    assert before, "it counts"
    changes = {name for name in received(lab_forky) if "UPDATE" in name or "CANCEL" in name or "KILL" in name}
    for name in changes:
        assert received(lab_forky)[name] == before.get(name, 0), "its slurmctld was sent nothing"
    assert received(second)["REQUEST_UPDATE_NODE"] >= 1

    lines = read(app.fleet.sessions[B].journal_path)
    assert {line["cluster"] for line in lines} == {B}
    (argv,) = lines[0]["argv"]
    assert f"SLURM_CONF={app.fleet.sessions[B].site.slurm.conf}" in argv, (
        "the command names its cluster where people read it"
    )
    assert not app.fleet.sessions[A].journal_path.exists()
    await op.press("Z")
    await op.confirm(answer="y")
    await op.until(lambda: second.node_states()["gpu0002"] == "IDLE", "it is back there")


async def test_a_controller_that_hangs_is_told_of_beside_the_other(op: Operator, second: Lab) -> None:
    app = op.app
    await op.until(
        lambda: B in app.fleet.sessions and "nodes" in app.fleet.sessions[B].newest.known, "the other is read"
    )
    collector = app.fleet.sessions[B].poller._collectors["slurm.nodes"].reader
    collector._settings = msgspec.structs.replace(collector._settings, conf="/nowhere/slurm.conf")
    app.fleet.sessions[B].poller.refresh_now(["slurm.nodes"])
    await op.until(lambda: f"{B} slurm " in op.screen().split("\n")[0], "the chip says that it does not answer")
    assert all(one.ok for one in op.cluster.sources.values() if one.tried), "this one reads on"
