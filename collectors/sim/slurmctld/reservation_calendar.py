"""The calendar of reservations: which hosts are reserved when."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Reservation


class SimReservation(Struct):
    """One reservation and its hosts as a bit set."""

    row: Reservation
    mask: int
    starts: float
    ends: float
    maintenance: bool


class Calendar:
    """All reservations that have not ended, by name."""

    def __init__(self) -> None:
        self.reservations: dict[str, SimReservation] = {}

    def reserved_hosts(self, now: float, until: float, unless: str | None = None) -> int:
        """Bit set of hosts that are reserved between `now` and `until`, by others than the reservation `unless`."""
        mask = 0
        for name, booking in self.reservations.items():
            if name != unless and booking.starts < until and booking.ends > now:
                mask |= booking.mask
        return mask

    def active(self, name: str) -> bool:
        """True if this reservation is active."""
        booking = self.reservations.get(name)
        return booking is not None and booking.row.state == "ACTIVE"

    def set_state(self, name: str, state: str) -> None:
        """Set the state of a reservation."""
        booking = self.reservations[name]
        booking.row = replace(booking.row, state=state)

    def rows(self) -> dict[str, Reservation]:
        """All reservations as Slurm shows them."""
        return {name: booking.row for name, booking in self.reservations.items()}
