"""Transports over the stand-in of pyslurm, in real child processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectors.slurm import SlurmSettings
from collectors.slurm.native import client, write
from collectors.slurm.native.native_transport import NativeTransport
from tests.support.make import RECORDED

HERE = Path(__file__).parent


class StandIn:
    """What the children meet, and what they did."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.log = folder / "standin.json", folder / "log"
        self.data = RECORDED / "25.11" / "pyslurm.json"
        self.monkeypatch = monkeypatch
        real = client.environment

        def environment() -> dict[str, str]:
            env = real()
            env["PYTHONPATH"] = f"{HERE / 'standin'}:{env['PYTHONPATH']}"
            env.pop("SLURM_CONF", None)
            return env | {"WACHT_STANDIN": str(self.file)}

        monkeypatch.setattr(client, "environment", environment)
        monkeypatch.setattr(write, "environment", environment)
        self.transports: list[NativeTransport] = []
        self.meets()

    def meets(self, faults: dict[str, Any] | None = None, **more: Any) -> None:
        """From its next start a child meets these faults, and no others."""
        self.file.write_text(json.dumps({"data": str(self.data), "log": str(self.log), "faults": faults or {}, **more}))

    def holds(self, **kinds: Any) -> None:
        """The recording, with these kinds of objects in place of its own."""
        self.data = self.file.with_name("data.json")
        recorded = json.loads((RECORDED / "25.11" / "pyslurm.json").read_text())
        self.data.write_text(json.dumps(recorded | kinds))
        self.meets()

    def transport(self, deadline_s: float = 20.0) -> NativeTransport:
        """A transport of its own child."""
        self.transports.append(NativeTransport(SlurmSettings(transport="native", deadline_s=deadline_s)))
        return self.transports[-1]

    @property
    def done(self) -> list[str]:
        """The changes that were made, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def standin(tmp_path, monkeypatch):
    made = StandIn(tmp_path, monkeypatch)
    yield made
    for transport in made.transports:
        transport._client.close()
