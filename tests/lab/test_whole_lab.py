"""The whole console on real parts: a live Slurm, and a real Prometheus that scrapes the simulated machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.config.settings import load
from console.session import cluster_sources
from tests.support.operator import console_on

from .prometheus import Monitor
from .slurm import Lab

CONFIG = """
[cluster.groningen]
slurm = {{ transport = "cli" }}
prometheus = {{ url = "{url}", interval_s = 1 }}
racks = {{ pattern = "gpu(?P<n>\\\\d{{4}})", nodes_per_rack = 16 }}
power = {{ budget_mw = 0.6, node_series = "ipmi_dcmi_power_consumption_watts", rack_series = "pdu_power_watts" }}
"""


@pytest.mark.lab
async def test_slurm_and_prometheus_on_every_screen(
    lab_trixie: Lab, prometheus_2: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{lab_trixie.bin_dir}:/usr/bin:/bin")
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(url=prometheus_2.url))
    file.chmod(0o600)
    lab_trixie.reset()
    prometheus_2.backfill(hours=1, nodes=["gpu0003"])
    prometheus_2.settle()
    config = load(str(file), {}, tmp_path / "no-site-file")
    async with console_on(cluster_sources.choose(config, None), (200, 50)) as op:
        await op.until(lambda: {"loads", "xids", "power"} <= op.cluster.known, "telemetry")
        await op.comes("prom ")
        op.sees("groningen", "R01", "PDU", "of 600 kW")
        await op.press("5")
        await op.comes("R04")
        op.sees("Racks", "drained gives back")
        await op.press("4")
        await op.comes("Hottest")
        await op.press("2")
        await op.select("gpu0003")
        await op.press("enter")
        await op.comes("GPU util")
        truth = prometheus_2.machine.gpus("gpu0003")
        await op.comes(f"{truth[0].power_w:.0f}")
        op.sees("1.98 GHz", "R01", "IDLE")
        await op.press("g")
        await op.comes("utilisation and memory  1 h")
        # Slurm and the GPUs are two machines here: where they disagree, the screen must say so.
        await op.press("escape", "i")
        await op.comes("Inconsistencies")
        op.sees("idle in Slurm, XID 48", "Slurm sees 8 GPUs, telemetry sees 7")
