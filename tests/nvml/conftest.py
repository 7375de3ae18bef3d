"""Fixtures: a fake driver in front of the real nvidia-ml-py, and the client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from collectors.nvml import NvmlSettings
from collectors.nvml.client import Nvml

from .driver import NODE, Driver


@pytest.fixture
def driver(tmp_path, monkeypatch) -> Driver:
    """Eight H100."""
    made = Driver(tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.delenv("FAKE_NVML", raising=False)
    return made


@pytest.fixture
def opened() -> Iterator[Callable[..., Nvml]]:
    """Opens clients and ends their children."""
    clients: list[Nvml] = []

    def make(**settings: float) -> Nvml:
        clients.append(Nvml(NODE, NvmlSettings(**settings)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def nvml(driver, opened) -> Nvml:
    """A client of the fake driver."""
    return opened()
