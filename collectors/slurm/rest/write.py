"""All that writes over slurmrestd, and nothing else: a frozen Change becomes calls (`orders` says which).

Only `collectors.slurm.commands.write` may import this module; a test holds that. A call is sent once. Where no answer
came it may have been done: what came of it, the next reading says. A body tells of errors whatever its status says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Change, Sent, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import DEADLINE_S, NO_REFUSAL, doubtful

from .client import Error, RestClient, RestEnvelope, RestRefusal, RestUnsent, there_at
from .requests import RestRequest, orders, unable

_JOB = re.compile(r"JobId=([0-9_+]+)")
#: Said of a job to cancel that is gone: scancel is silent about it, since it is as was wished.
_GONE = frozenset({2017, 2021})
#: After these nobody can say whether the controller has done it.
_GATEWAYS = frozenset({502, 504})
#: Numbers of what concerns the controller or the token: the next call would fare alike.
_TO_ALL = frozenset({1007, 1801, 1802, 1803, 2185, 5005})
#: Numbers of what concerns the caller's rights: alike for all nodes, but not for jobs, of which some may be their own.
_RIGHTS = frozenset({2002, 2010})


class _What(Struct, gc=False):
    string: str | None = None
    code: int | None = None


class _WriteStatus(Struct, gc=False):
    step_id: str | None = None
    error: _What | None = None


class Done(RestEnvelope):
    """The answer to a change: `status` names the jobs that could not be cancelled."""

    status: list[_WriteStatus] | None = None
    warnings: list[Error] | None = None


class RestWriter:
    """Writes through slurmrestd. Keeps nothing between calls."""

    name = "rest"

    def __init__(self, settings: SlurmSettings, deadline_s: float = DEADLINE_S) -> None:
        self._settings = settings
        self._deadline_s = deadline_s

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to why slurmrestd cannot do that to it. Raises SourceFault where its version is not told."""
        return unable(change, there_at(self._settings, self._deadline_s))

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Method, path and body of each call; never the token. Raises ValueError, SourceFault."""
        return tuple(self._argv(order, self._parser()) for order in orders(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Send them in order; after one that the controller or the caller's rights failed, the rest is left out."""
        asked = orders(change)
        parser = self._parser()
        ended: list[Sent] = []
        # A fresh connection: one that was kept may be dead, and a call into it would be in doubt.
        client = RestClient(self._settings, self._deadline_s)
        try:
            for order in asked:
                ended.append(self._one(client, order, parser))
                if ended[-1].rc is None or ended[-1].fatal:
                    break
        finally:
            client.close()
        return tuple(ended)

    def _parser(self) -> int | None:
        return there_at(self._settings, self._deadline_s).parser

    @staticmethod
    def _argv(order: RestRequest, parser: int | None) -> tuple[str, ...]:
        return (order.method, f"/slurm/v0.0.{parser}/{order.path}", order.sent.decode())

    def _one(self, client: RestClient, order: RestRequest, parser: int | None) -> Sent:
        """What came of one call."""
        began = time.monotonic()
        argv = self._argv(order, parser)
        rc: int | None = 0
        refused: dict[str, str] = {}
        fatal = False
        said: list[str] = []
        try:
            answer = client.change(order.method, argv[1], order.sent, Done)
            errors = tuple(answer.errors or ())
            said = [str(one) for one in answer.warnings or ()]
            refused = _named(order, answer.status or ())
            code = 200
        except RestUnsent as error:
            # The server never saw it: that much is certain, for every target.
            said, rc, errors, code = [str(error.fault)], 127, (), 0
            refused, fatal = dict.fromkeys(order.targets, str(error.fault)), True
        except RestRefusal as error:
            errors, code, rc = error.errors, error.code, 1
            if error.fault.kind == "auth" and error.of_token:
                # Whoever it does not know changes nothing: that much is certain, for every target.
                said, errors = [str(error.fault)], ()
                refused, fatal = dict.fromkeys(order.targets, said[0]), True
            elif not errors:
                said = [str(error.fault)]
                # Below 500 it was not even handed on; what broke inside, nobody can say how far it came.
                refused, fatal = (dict.fromkeys(order.targets, said[0]), True) if code < 500 else ({}, False)
                rc = rc if code < 500 else None
        except SourceFault as error:
            said, rc, errors, code = [f"{error.fault}; it may have been done"], None, (), 0
        if done := [one for one in errors if NO_REFUSAL in str(one)]:
            said, errors = [*said, *map(str, done)], tuple(one for one in errors if one not in done)
            rc = 0 if not errors else rc
        if errors or refused:
            rc = rc or 1
            said = [*(str(one) for one in errors), *said]
            alike = _TO_ALL if order.path.startswith("job/") else _TO_ALL | _RIGHTS
            refused |= _refusals(order, errors)
            fatal = fatal or (len(refused) == len(order.targets) and any(one.error_number in alike for one in errors))
        if code in _GATEWAYS or any(doubtful(str(one)) for one in errors):
            rc, refused, fatal = None, {}, False
        return Sent(argv=argv, targets=order.targets, rc=rc, err="\n".join(said), took_s=time.monotonic() - began,
                    refused=refused, fatal=fatal)  # fmt: skip


def _named(order: RestRequest, status: Sequence[_WriteStatus]) -> dict[str, str]:
    """The jobs that could not be cancelled, but for those that are gone already."""
    wanted = frozenset(order.targets)
    return {
        one.step_id: clean(one.error.string or f"error {one.error.code}")
        for one in status
        if one.step_id in wanted and one.error is not None and one.error.code and one.error.code not in _GONE
    }


def _refusals(order: RestRequest, errors: Sequence[Error]) -> dict[str, str]:
    """Target to what was said against it, for those it is certain of.

    An error that names nobody is certain for one target, and for all when it speaks of the caller or the controller.
    """
    wanted = frozenset(order.targets)
    found: dict[str, str] = {}
    for one in errors:
        match = _JOB.search(one.description or "")
        why = clean(one.error or one.description or f"error {one.error_number}")
        if match and match[1] in wanted:
            found[match[1]] = why
        elif len(order.targets) == 1 or one.error_number in _TO_ALL | _RIGHTS:
            found |= dict.fromkeys(order.targets, why)
    return found


def open_writer(settings: SlurmSettings) -> RestWriter:
    """The writer of one slurmrestd. Starts nothing."""
    return RestWriter(settings)
