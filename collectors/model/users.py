"""Users as slurmdbd has them, with their submit limits; read by name."""

from __future__ import annotations

from msgspec import Struct


class Association(Struct, frozen=True, gc=False, kw_only=True):
    """A user in one account (and, if the site says so, in one partition): limits are set on it."""

    account: str
    partition: str = ""
    """"" for every partition."""
    max_submit: int | None = None
    """Its own MaxSubmitJobs: jobs that may exist at once. None without a limit of its own."""


class User(Struct, frozen=True, gc=False, kw_only=True):
    """One user of one cluster."""

    name: str
    cluster: str
    """slurmdbd's name of the cluster: a change without it would apply to every cluster there."""
    associations: tuple[Association, ...] = ()
    enforced: bool | None = None
    """Whether slurmctld enforces limits (AccountingStorageEnforce); None if unknown."""

    @property
    def blocked(self) -> bool:
        """True if no job may be submitted in any of its accounts."""
        return bool(self.associations) and all(one.max_submit == 0 for one in self.associations)

    @property
    def state(self) -> str:
        """The state in a word, for display."""
        if self.blocked:
            return "blocked"
        shut = [one.account for one in self.associations if one.max_submit == 0]
        return f"blocked in {', '.join(dict.fromkeys(shut))}" if shut else "may submit"
