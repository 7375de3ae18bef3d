"""Reservations: nodes kept free for somebody, now or later."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Reservation


class SimReservation(Struct):
    """One reservation and the nodes it takes, as a bit set."""

    row: Reservation
    mask: int
    starts: float
    ends: float
    maintenance: bool


class Calendar:
    """All reservations."""

    def __init__(self) -> None:
        self.reservations: dict[str, SimReservation] = {}

    def reserved_hosts(self, now: float, until: float, unless: str | None = None) -> int:
        """Nodes on which no job may run from `now` to `until`; `unless` names the reservation that the job is in."""
        mask = 0
        for name, booking in self.reservations.items():
            if name != unless and booking.starts < until and booking.ends > now:
                mask |= booking.mask
        return mask

    def active(self, name: str) -> bool:
        """True while the reservation of that name holds its nodes."""
        booking = self.reservations.get(name)
        return booking is not None and booking.row.state == "ACTIVE"

    def set_state(self, name: str, state: str) -> None:
        """Set its state."""
        booking = self.reservations[name]
        booking.row = replace(booking.row, state=state)

    def rows(self) -> dict[str, Reservation]:
        """All of them as Slurm shows them."""
        return {name: booking.row for name, booking in self.reservations.items()}
