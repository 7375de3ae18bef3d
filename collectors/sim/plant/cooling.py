"""Cooling loops: one CDU for every four racks, whose water temperature follows the power of the racks.

A loop that trips loses its flow within a minute; its supply then warms over many minutes, and its GPUs with it.
Everything is computed on demand from the time of the trip.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from collectors.model import Coolant, Facts

from .hardware import Hardware

RACKS_PER_LOOP = 4
#: Supply temperature in °C, its rise in K with all GPUs at their limit, pressure in bar, and l/min per kW that the
#: racks may draw: 10 K at 4 kJ/kg/K, of which the water takes eight tenths.
SUPPLY_C, RISE_K, BAR, LPM_PER_KW = 28.0, 10.0, 2.4, 1.2
#: Alarm limits: supply and return in °C, and the share of the flow.
SUPPLY_HIGH, RETURN_HIGH, FLOW_SHARE = 34.0, 50.0, 0.6
#: Without a pump: the share of the flow that convection keeps, the seconds until it has fallen, and by how many K and
#: with which time constant the water warms.
CONVECTION_SHARE, FLOW_FALL_S, WARMING_K, WARMING_S = 0.1, 60.0, 16.0, 420.0
#: With the pump again: seconds until the flow is restored, and the time constant of the cooling.
FLOW_RISE_S, COOLING_S = 120.0, 240.0
#: K by which a chip warms for each K of its water: less flow also takes less heat away.
CHIP_FACTOR = 2.0
#: Leak detectors of a rack: at its manifold and its tray.
DETECTORS = ("manifold", "tray")


class CooledMachine(Protocol):
    """What the water depends on: the time, the site's loops, and what the PDUs measure."""

    site: Any

    @property
    def now(self) -> float:
        """Unix time."""

    def pdus(self) -> Mapping[tuple[str, str], float]:
        """Watts by rack and PDU."""


class SimLoop(Struct, gc=False):
    """One CDU and the racks that it cools."""

    name: str
    racks: tuple[str, ...]
    flow_lpm: float
    """Nominal flow, with the pump."""
    tripped: float | None = None
    """Unix time when its pump stopped."""
    restarted: float | None = None
    """Unix time when its pump was restarted."""
    wet: set[str] = field(default_factory=set)
    """Leak detectors that report a leak: `R09 tray`."""
    silent_detectors: set[str] = field(default_factory=set)
    """Leak detectors without a signal."""

    def flow_share(self, at: float) -> float:
        """Share of the nominal flow at that time."""
        if self.tripped is None or at < self.tripped:
            return 1.0
        if self.restarted is not None and at >= self.restarted:
            return min(1.0, CONVECTION_SHARE + (1 - CONVECTION_SHARE) * (at - self.restarted) / FLOW_RISE_S)
        return max(CONVECTION_SHARE, 1 - (1 - CONVECTION_SHARE) * (at - self.tripped) / FLOW_FALL_S)

    def excess_c(self, at: float) -> float:
        """K by which the water is warmer than normal."""
        if self.tripped is None or at < self.tripped:
            return 0.0
        until = at if self.restarted is None else min(at, self.restarted)
        warmed = WARMING_K * (1 - math.exp((self.tripped - until) / WARMING_S))
        return warmed if at == until else warmed * math.exp((until - at) / COOLING_S)

    def chip_excess_c(self, at: float) -> int:
        """K by which the chips are hotter than normal."""
        return 0 if self.tripped is None else round(CHIP_FACTOR * self.excess_c(at))

    def supply_c(self, at: float) -> float:
        """Supply temperature in °C."""
        wobble = zlib.crc32(b"%d/%s" % (int(at) // 60, self.name.encode())) % 5 / 10
        return round(SUPPLY_C + wobble + self.excess_c(at), 1)


def build_loops(racks: Mapping[str, int], gpus: int, hardware: Hardware) -> dict[str, SimLoop]:
    """The loops of a room by name: four racks on each, in order. `racks` holds the number of nodes of each rack."""
    made: dict[str, SimLoop] = {}
    names = list(racks)
    for number, first in enumerate(range(0, len(names), RACKS_PER_LOOP), 1):
        fed = tuple(names[first : first + RACKS_PER_LOOP])
        kw = sum(racks[rack] for rack in fed) * (hardware.host_w + hardware.limit_w * gpus) / 1000
        loop = SimLoop(name=f"cdu-{number:02d}", racks=fed, flow_lpm=round(kw * LPM_PER_KW))
        # Silent detectors are a fault of nearly every large room.
        if number % 3 == 2:
            loop.silent_detectors.add(f"{fed[-1]} tray")
        made[loop.name] = loop
    return made


def read(machine: CooledMachine) -> dict[str, Coolant]:
    """All readings of all loops, as `collectors.prometheus.plant.cooling` would return them."""
    at, drawn = machine.now, _drawn(machine)
    found: dict[str, Coolant] = {}
    for loop in machine.site.loops.values():
        supply, back, flow, bar = _points(loop, at, drawn)
        before = at - 600
        trend = round(6 * (loop.supply_c(at) - loop.supply_c(before)), 1) if loop.tripped is not None else 0.0
        for what, value, low, high in (
            ("supply", supply, None, SUPPLY_HIGH),
            ("return", back, None, RETURN_HIGH),
            ("flow", flow, round(FLOW_SHARE * loop.flow_lpm), None),
            ("pressure", bar, None, None),
        ):
            row = Coolant(
                loop=loop.name, what=what, value=value, low=low, high=high, racks=loop.racks, sampled_at=int(at),
                trend_h=trend if what in {"supply", "return"} else None,
            )  # fmt: skip
            found[row.key] = row
        for rack in loop.racks:
            every = [f"{rack} {place}" for place in DETECTORS]
            wet, blind = (
                [one for one in every if one in loop.wet],
                [one for one in every if one in loop.silent_detectors],
            )
            row = Coolant(
                loop=loop.name, what="leak", at=rack, value=None if len(blind) == len(every) else float(len(wet)),
                detectors=len(every), unknown=len(blind), wet=tuple(wet), racks=loop.racks, sampled_at=int(at),
            )  # fmt: skip
            found[row.key] = row
    return found


def exposition(machine: CooledMachine) -> str:
    """The exposition of the CDUs and of the racks' leak detectors."""
    families: dict[str, list[str]] = {name: [] for name in _HELP}
    drawn = _drawn(machine)
    for loop in machine.site.loops.values():
        for name, value in zip(_HELP, _points(loop, machine.now, drawn), strict=False):
            families[name].append(f'{name}{{cdu="{loop.name}"}} {value:g}')
        name = "redfish_leak_detector_state"
        for rack in loop.racks:
            for place in DETECTORS:
                one = f"{rack} {place}"
                state = "NaN" if one in loop.silent_detectors else int(one in loop.wet)
                families[name].append(f'{name}{{cdu="{loop.name}",rack="{rack}",detector="{one}"}} {state}')
    return "".join(
        "\n".join([f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge", *lines]) + "\n"
        for name, lines in families.items()
    )


_HELP = {
    "cdu_supply_temperature_celsius": "Coolant to the racks.",
    "cdu_return_temperature_celsius": "Coolant from the racks.",
    "cdu_flow_liters_per_minute": "Flow of the coolant.",
    "cdu_pressure_bar": "Pressure of the coolant.",
    "redfish_leak_detector_state": "State of a leak detector: 0 OK, 1 warning, 2 critical.",
}


def _drawn(machine: CooledMachine) -> Mapping[str, float]:
    """Watts by rack."""
    found: dict[str, float] = {}
    for (rack, _), watts in machine.pdus().items():
        found[rack] = found.get(rack, 0.0) + watts
    return found


def _points(loop: SimLoop, at: float, drawn: Mapping[str, float]) -> tuple[float, float, float, float]:
    """Supply and return in °C, flow in l/min, pressure in bar."""
    watts, most = sum(drawn.get(rack, 0.0) for rack in loop.racks), loop.flow_lpm / LPM_PER_KW * 1000
    share, supply = loop.flow_share(at), loop.supply_c(at)
    # At low flow the water stays longer in the cold plates, and returns warmer.
    rise = RISE_K * min(1.2, watts / most) * (1 + 0.8 * (1 - share))
    return supply, round(supply + rise, 1), round(loop.flow_lpm * share, 0), round(BAR * (0.3 + 0.7 * share**2), 2)


def _facts(machine: Any) -> Facts:
    return Facts(cooling=read(machine))


SOURCE = "prom.cooling", 15.0, _facts
