"""The only code that writes to Alertmanager: a frozen Change creates or expires silences.

Only `console.gate.gate` may import this module; a test enforces it. A request is sent once. Without an answer it may
have been executed, and a second one would create a second silence: the next reading shows the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.clock import Clock, SystemClock
from collectors.http.client import HttpClient
from collectors.http.http_faults import REDIRECTS, HttpRefusal, HttpUnsent
from collectors.model import Change, Sent, SourceFault

from . import AlertmanagerSettings
from .answers import made_id
from .client import open_client
from .requests import SilenceRequest, body, requests_of

#: Statuses that concern the caller or the whole server: the next request would fail too.
_TO_ALL = REDIRECTS | {401, 403, 405, 429, 503}


class AlertWriter:
    """Creates and expires silences in one Alertmanager. Keeps no state between calls."""

    def __init__(self, settings: AlertmanagerSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """The amtool commands with the same effect as `send`. Raises ValueError for a Change that is not plain."""
        return tuple(order.argv for order in requests_of(change, self._settings.url))

    def send(self, change: Change) -> Sequence[Sent]:
        """Send them in order; stop after one that failed because of the server or the caller's rights."""
        asked = requests_of(change, self._settings.url)
        try:
            # A new connection: a kept one may be dead, and a request into it would be in doubt.
            client = open_client(self._settings)
        except SourceFault as error:
            return (_failed(asked[0], str(error.fault), 0.0, fatal=True),)
        ended = []
        try:
            for order in asked:
                ended.append(self._one(client, order))
                if ended[-1].fatal:
                    break
        finally:
            client.close()
        return tuple(ended)

    def _one(self, client: HttpClient, order: SilenceRequest) -> Sent:
        """Send one request and return its result."""
        began = self._clock.mono()
        try:
            if order.new is None:
                client.ask("DELETE", f"/silence/{order.targets[0]}")
            elif made_id(client.ask("POST", "/silences", body=body(order.new, self._clock.now())).content) is None:
                return _unknown(order, "the answer is none of Alertmanager", self._clock.mono() - began)
        except HttpUnsent as error:
            return _failed(order, str(error.fault), self._clock.mono() - began, fatal=True)
        except HttpRefusal as error:
            took = self._clock.mono() - began
            if error.code in _TO_ALL:
                return _failed(order, str(error.fault), took, fatal=True)
            if error.code == 404 and order.new is None:
                return _failed(order, "Alertmanager knows no such silence", took)
            if error.code >= 500:
                # A proxy may have lost the answer.
                return _unknown(order, str(error.fault), took)
            return _failed(order, error.said or error.fault.what, took)
        except SourceFault as error:
            return _unknown(order, str(error.fault), self._clock.mono() - began)
        return Sent(argv=order.argv, targets=order.targets, rc=0, took_s=self._clock.mono() - began)


def _failed(order: SilenceRequest, why: str, took_s: float, fatal: bool = False) -> Sent:
    refused = dict.fromkeys(order.targets, why)
    return Sent(argv=order.argv, targets=order.targets, rc=1, err=why, took_s=took_s, refused=refused, fatal=fatal)


def _unknown(order: SilenceRequest, why: str, took_s: float) -> Sent:
    err = f"no certain answer; it may have been done. {why}"
    return Sent(argv=order.argv, targets=order.targets, rc=None, err=err, took_s=took_s, fatal=True)


def open_writer(settings: AlertmanagerSettings) -> AlertWriter:
    """The writer of one Alertmanager. Connects to nothing."""
    return AlertWriter(settings)
