"""Accounts and their users: resources held, fair shares, usage and limits. Pure.

Resources held come from the jobs of the cluster and are always known; shares and limits come from Slurm's accounting
where it is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Limit, Limits, Share
from console.runtime.memo import remembered

from .limit_hits import accounts_above, accounts_below

NO_ACCOUNT = "no account"
"""Replaces the account of jobs that have none: a Slurm without slurmdbd."""


class HeldResources(Struct, frozen=True):
    """What the jobs of an account or user hold now and request."""

    running: int = 0
    gpus: int = 0
    nodes: int = 0
    pending: int = 0
    gpus_requested: int = 0
    """GPUs that the pending jobs request."""

    def __add__(self, other: HeldResources) -> HeldResources:
        return HeldResources(
            self.running + other.running,
            self.gpus + other.gpus,
            self.nodes + other.nodes,
            self.pending + other.pending,
            self.gpus_requested + other.gpus_requested,
        )


class Holder(Struct, frozen=True):
    """One row: an account with all accounts under it, or a user in it."""

    account: str
    user: str | None
    held: HeldResources
    users: int = 0
    """Of an account: how many users have jobs or a share in it."""
    share: Share | None = None
    nearest: Limit | None = None
    """Of the limits set for it, the one with the largest share in use."""

    @property
    def key(self) -> str:
        """A unique key for the row."""
        return self.account if self.user is None else f"{self.account}/{self.user}"


@remembered("jobs")
def holdings(cluster: Cluster) -> Mapping[tuple[str, str], HeldResources]:
    """Account and user to what that user's jobs hold. One pass over all jobs."""
    counts: dict[tuple[str, str], list[int]] = {}
    for job in cluster.jobs.values():
        one = counts.setdefault((job.account or NO_ACCOUNT, job.user), [0, 0, 0, 0, 0])
        if job.state == "PENDING":
            one[3] += 1
            one[4] += job.gpus or 0
        elif job.nodes is not None:
            one[0] += 1
            one[1] += job.gpus_held or 0
            one[2] += job.node_count or 0
    return {key: HeldResources(*figures) for key, figures in counts.items()}


def account_holders(cluster: Cluster, shares: Sequence[Share], limits: Limits | None) -> dict[str, Holder]:
    """All accounts that hold or wait for something, or have a share or a limit; most GPUs held first."""
    held = holdings(cluster)
    own: dict[str, HeldResources] = {}
    members: dict[str, set[str]] = {}
    for (account, user), one in held.items():
        own[account] = own.get(account, HeldResources()) + one
        members.setdefault(account, set()).add(user)
    by_share = {one.account: one for one in shares if one.user is None}
    for share in shares:
        if share.user is not None:
            members.setdefault(share.account, set()).add(share.user)
    tree = _tree(shares, limits)
    names = {*own, *by_share, *tree.parents, *tree.parents.values()}
    names |= {one.account for one in limits.limits if one.account is not None} if limits is not None else set()
    found = []
    for name in names:
        whole, users = HeldResources(), set[str]()
        for account in accounts_below(name, tree):
            whole += own.get(account, HeldResources())
            users |= members.get(account, set())
        found.append(Holder(name, None, whole, len(users), by_share.get(name), fullest_limit(name, None, limits)))
    # An account precedes those under it where they alone hold what it holds.
    found.sort(
        key=lambda one: (-one.held.gpus, -one.held.gpus_requested, len(accounts_above(one.account, tree)), one.account)
    )
    return {one.key: one for one in found}


def _tree(shares: Sequence[Share], limits: Limits | None) -> Limits:
    """The parents of the accounts, from the limits or the shares."""
    parents = dict(limits.parents) if limits is not None else {}
    parents.update({one.account: one.parent for one in shares if one.user is None and one.parent is not None})
    return Limits(parents=parents)


def account_subtree(account: str, shares: Sequence[Share], limits: Limits | None) -> tuple[str, ...]:
    """An account and all accounts under it."""
    return accounts_below(account, _tree(shares, limits))


def account_users(account: str, cluster: Cluster, shares: Sequence[Share], limits: Limits | None) -> dict[str, Holder]:
    """The users of an account and of all accounts under it; most GPUs held first."""
    names = set(account_subtree(account, shares, limits))
    held = {key: one for key, one in holdings(cluster).items() if key[0] in names}
    by_share = {(one.account, one.user): one for one in shares if one.user is not None and one.account in names}
    found = [
        Holder(
            name,
            user,
            held.get((name, user), HeldResources()),
            0,
            by_share.get((name, user)),
            fullest_limit(name, user, limits),
        )
        for name, user in {*held, *by_share}
    ]
    found.sort(key=lambda one: (-one.held.gpus, -one.held.gpus_requested, one.user or "", one.account))
    return {one.key: one for one in found}


def fullest_limit(account: str, user: str | None, limits: Limits | None) -> Limit | None:
    """The limit with the largest share in use that is set for exactly this account or user."""
    own = limits_of(account, user, limits)
    return max(own, key=lambda one: one.share or 0.0, default=None)


def limits_of(account: str, user: str | None, limits: Limits | None) -> list[Limit]:
    """The limits with counted use that are set for this account, or for this user: in the account, or by a QOS."""
    if limits is None:
        return []
    return [
        one
        for one in limits.limits
        if one.used is not None
        and ((one.account == account and one.user == user) or (user is not None and one.user == user and one.qos))
    ]


def applicable_limits(account: str, limits: Limits | None) -> list[Limit]:
    """The limits that apply to an account: its own and those above it, then those of each QOS; fullest first."""
    if limits is None:
        return []
    names = (account, *accounts_above(account, limits))
    own = [one for one in limits.limits if one.user is None and one.account in names and one.used is not None]
    of_qos = [one for one in limits.limits if one.qos and one.user is None and one.account is None]
    of_qos = [one for one in of_qos if one.used is not None]
    own.sort(key=lambda one: -(one.share or 0.0))
    of_qos.sort(key=lambda one: -(one.share or 0.0))
    return [*own, *of_qos]


def matching_accounts(rows: Mapping[str, Holder], text: str, members: Mapping[str, set[str]]) -> dict[str, Holder]:
    """The accounts whose name, or one of whose users, contains every word of the text."""
    words = text.lower().split()

    def fits(one: Holder) -> bool:
        names = [one.account.lower(), *(user.lower() for user in members.get(one.account, ()))]
        return all(any(word in name for name in names) for word in words)

    return {key: one for key, one in rows.items() if fits(one)}
