"""The only code that writes over slurmrestd: a frozen Change becomes the calls of `requests`.

Only `collectors.slurm.writers` may import this module; a test enforces it. A call is sent once. Without an answer it
may have been executed: the next reading shows the result. The body reports errors whatever the status.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.clean import clean
from collectors.http.http_faults import HttpUnsent
from collectors.model import Change, Sent, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import DEADLINE_S, NOT_A_REFUSAL, is_doubtful
from collectors.slurm.transport import unsupported_targets

from .client import Error, RestClient, RestEnvelope, RestRefusal, server_info_of
from .requests import RestRequest, requests_of

_JOB = re.compile(r"JobId=([0-9_+]+)")
#: Errors for cancelling a job that is gone: as with scancel, that is no failure.
_GONE = frozenset({2017, 2021})
#: After these it is unknown whether the controller executed the call.
_GATEWAYS = frozenset({502, 504})
#: Errors of the controller or the token: the next call would fail too.
_TO_ALL = frozenset({1007, 1801, 1802, 1803, 2185, 5005})
#: Errors of the caller's rights: alike for all nodes of a call, not for jobs, some of which may be the caller's own.
_RIGHTS = frozenset({2002, 2010})


class _What(Struct, gc=False):
    string: str | None = None
    code: int | None = None


class _WriteStatus(Struct, gc=False):
    step_id: str | None = None
    error: _What | None = None


class ChangeAnswer(RestEnvelope):
    """The answer to a change: `status` lists the jobs that could not be cancelled."""

    status: list[_WriteStatus] | None = None
    warnings: list[Error] | None = None


class RestWriter:
    """Writes through slurmrestd. Keeps no state between calls."""

    name = "rest"

    def __init__(self, settings: SlurmSettings, deadline_s: float = DEADLINE_S) -> None:
        self._settings = settings
        self._deadline_s = deadline_s

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to the reason why slurmrestd cannot change it. Raises SourceFault if its version is unknown."""
        return unsupported_targets(self.name, change, server_info_of(self._settings, self._deadline_s))

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """Method, path and body of each call; never the token. Raises ValueError, SourceFault."""
        return tuple(self._argv(order, self._parser()) for order in requests_of(change))

    def send(self, change: Change) -> Sequence[Sent]:
        """Send them in order; stop after one that failed because of the controller or the caller's rights."""
        asked = requests_of(change)
        parser = self._parser()
        ended: list[Sent] = []
        # A new connection: a kept one may be dead, and a call into it would be in doubt.
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
        return server_info_of(self._settings, self._deadline_s).parser

    @staticmethod
    def _argv(order: RestRequest, parser: int | None) -> tuple[str, ...]:
        return (order.method, f"/slurm/v0.0.{parser}/{order.path}", order.sent.decode())

    def _one(self, client: RestClient, order: RestRequest, parser: int | None) -> Sent:
        """Send one call and return its result."""
        began = time.monotonic()
        argv = self._argv(order, parser)
        rc: int | None = 0
        refused: dict[str, str] = {}
        fatal = False
        said: list[str] = []
        try:
            answer = client.change(order.method, argv[1], order.sent, ChangeAnswer)
            errors = tuple(answer.errors or ())
            said = [str(one) for one in answer.warnings or ()]
            refused = _named(order, answer.status or ())
            code = 200
        except HttpUnsent as error:
            # The server never saw it: a certain failure for every target.
            said, rc, errors, code = [str(error.fault)], 127, (), 0
            refused, fatal = dict.fromkeys(order.targets, str(error.fault)), True
        except RestRefusal as error:
            errors, code, rc = error.errors, error.code, 1
            if error.fault.kind == "auth" and error.of_token:
                # An unknown caller changes nothing: a certain failure for every target.
                said, errors = [str(error.fault)], ()
                refused, fatal = dict.fromkeys(order.targets, said[0]), True
            elif not errors:
                said = [str(error.fault)]
                # Below 500 it was not passed on; after an internal error its progress is unknown.
                refused, fatal = (dict.fromkeys(order.targets, said[0]), True) if code < 500 else ({}, False)
                rc = rc if code < 500 else None
        except SourceFault as error:
            said, rc, errors, code = [f"{error.fault}; it may have been done"], None, (), 0
        if done := [one for one in errors if NOT_A_REFUSAL in str(one)]:
            said, errors = [*said, *map(str, done)], tuple(one for one in errors if one not in done)
            rc = 0 if not errors else rc
        if errors or refused:
            rc = rc or 1
            said = [*(str(one) for one in errors), *said]
            alike = _TO_ALL if order.path.startswith("job/") else _TO_ALL | _RIGHTS
            refused |= _refusals(order, errors)
            fatal = fatal or (len(refused) == len(order.targets) and any(one.error_number in alike for one in errors))
        if code in _GATEWAYS or any(is_doubtful(str(one)) for one in errors):
            rc, refused, fatal = None, {}, False
        return Sent(argv=argv, targets=order.targets, rc=rc, err="\n".join(said), took_s=time.monotonic() - began,
                    refused=refused, fatal=fatal)  # fmt: skip


def _named(order: RestRequest, status: Sequence[_WriteStatus]) -> dict[str, str]:
    """The jobs that could not be cancelled, except those that are gone already."""
    wanted = frozenset(order.targets)
    return {
        one.step_id: clean(one.error.string or f"error {one.error.code}")
        for one in status
        if one.step_id in wanted and one.error is not None and one.error.code and one.error.code not in _GONE
    }


def _refusals(order: RestRequest, errors: Sequence[Error]) -> dict[str, str]:
    """Target to its error, for targets that certainly failed.

    An error without a name is certain for a single target, and for all if it concerns the caller or the controller.
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
