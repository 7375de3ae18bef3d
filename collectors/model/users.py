"""Who may submit how much: users as slurmdbd keeps them, asked for by name."""

from __future__ import annotations

from msgspec import Struct


class Association(Struct, frozen=True, gc=False, kw_only=True):
    """A user in one account (and, where the site says so, in one partition): what limits are set on."""

    account: str
    partition: str = ""
    """"" where it holds in every partition."""
    max_submit: int | None = None
    """MaxSubmitJobs of its own: jobs that may be there at once. None where it has no limit of its own."""


class User(Struct, frozen=True, gc=False, kw_only=True):
    """One user of one cluster."""

    name: str
    cluster: str
    """As slurmdbd calls the cluster: a change without it would be one of every cluster there."""
    associations: tuple[Association, ...] = ()
    enforced: bool | None = None
    """Whether slurmctld holds to limits at all (AccountingStorageEnforce); None is not known."""

    @property
    def blocked(self) -> bool:
        """True where no job may be submitted in any of its accounts."""
        return bool(self.associations) and all(one.max_submit == 0 for one in self.associations)

    @property
    def state(self) -> str:
        """As people say it."""
        if self.blocked:
            return "blocked"
        shut = [one.account for one in self.associations if one.max_submit == 0]
        return f"blocked in {', '.join(dict.fromkeys(shut))}" if shut else "may submit"
