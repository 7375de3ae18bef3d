"""Alertmanager's answers as alerts and silences: typed, cleaned, and row by row if one row is invalid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.decoding import from_json, json_decoder
from collectors.hosts import FOREIGN, UNNAMED, HostMatch, NodeNames
from collectors.model import Alert, Matcher, Silence, SourceFault

from . import AlertmanagerSettings

#: Annotations that summarise an alert, the best first.
_SUMMARIES = ("summary", "message", "description")
_UNNAMED = "unnamed alert"
#: One matcher in the setting `matchers`: name, operator, value in quotes.
_CONDITION = re.compile(r'([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*"((?:\\.|[^"\\])*)"')

T = TypeVar("T")


class _AlertStatus(Struct):
    state: str
    silencedBy: tuple[str, ...] | None = None  # noqa: N815 - Alertmanager's own name
    inhibitedBy: tuple[str, ...] | None = None  # noqa: N815 - Alertmanager's own name


class _Alert(Struct):
    fingerprint: str
    labels: dict[str, str]
    status: _AlertStatus
    annotations: dict[str, str] | None = None
    startsAt: datetime | None = None  # noqa: N815 - Alertmanager's own name


class _AlertState(Struct):
    state: str


class _Matcher(Struct):
    name: str
    value: str
    isRegex: bool = False  # noqa: N815 - Alertmanager's own name
    isEqual: bool = True  # noqa: N815 - Alertmanager's own name


class _Silence(Struct):
    id: str
    status: _AlertState
    matchers: tuple[_Matcher, ...]
    startsAt: datetime | None = None  # noqa: N815 - Alertmanager's own name
    endsAt: datetime | None = None  # noqa: N815 - Alertmanager's own name
    createdBy: str = ""  # noqa: N815 - Alertmanager's own name
    comment: str = ""


class _SilenceAnswer(Struct):
    silenceID: str  # noqa: N815 - Alertmanager's own name


def conditions(settings: AlertmanagerSettings) -> list[tuple[str, str]]:
    """The setting `matchers` as request parameters: one `filter` for each."""
    return [("filter", f'{name}{sign}"{value}"') for name, sign, value in _CONDITION.findall(settings.matchers)]


class AlertAnswers:
    """Decodes the answers of one Alertmanager."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._labels = settings.node_labels
        self._rule = None if settings.node is None else re.compile(settings.node)
        self.names = UNNAMED
        self._fits: dict[str, HostMatch] = {}
        self.seen: dict[str, HostMatch] = {}
        """The hosts that the last alerts are about, and what they are."""
        self._own = {
            name: re.sub(r"\\(.)", r"\1", value)
            for name, sign, value in _CONDITION.findall(settings.matchers)
            if sign == "="
        }

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self.names, self._fits = names, {}

    def alerts(self, content: bytes) -> tuple[dict[str, Alert], tuple[str, ...]]:
        """Alerts by fingerprint, and warnings about skipped rows. Raises SourceFault if it is no list."""
        rows, warnings = _rows(content, _ALERTS, _Alert, "alert")
        self.seen = {}
        return {alert.id: alert for alert in map(self._alert, rows)}, warnings

    def silences(self, content: bytes) -> tuple[dict[str, Silence], tuple[str, ...]]:
        """Silences by id, without expired ones and other clusters', and warnings about skipped rows. Raises
        SourceFault."""
        rows, warnings = _rows(content, _SILENCES, _Silence, "silence")
        standing = (_silence(row) for row in rows if row.status.state != "expired")
        return {one.id: one for one in standing if self._may_be_ours(one)}, warnings

    def _alert(self, row: _Alert) -> Alert:
        labels = {clean(name): clean(value) for name, value in row.labels.items()}
        annotations = {clean(name): clean(value) for name, value in (row.annotations or {}).items()}
        return Alert(
            id=clean(row.fingerprint),
            name=labels.get("alertname") or _UNNAMED,
            severity=labels.get("severity") or None,
            state=clean(row.status.state),
            node=self.node_of(labels),
            starts=_epoch(row.startsAt),
            summary=next((annotations[name] for name in _SUMMARIES if annotations.get(name)), None),
            labels=labels,
            annotations=annotations,
            silenced_by=tuple(map(clean, row.status.silencedBy or ())),
            inhibited_by=tuple(map(clean, row.status.inhibitedBy or ())),
        )

    def node_of(self, labels: Mapping[str, str]) -> str | None:
        """The node of an alert: from the first label that names one of Slurm's; else the host as labelled. None for an
        IP address that is no node's, and for a host that matches several nodes."""
        best: HostMatch | None = None
        for label in self._labels:
            if value := labels.get(label):
                fit = self._fits.get(value) or self._fits.setdefault(value, self.names.fit(value, self._rule))
                best = fit if best is None or fit.node is not None else best
                if fit.node is not None:
                    break
        if best is None:
            return None
        self.seen[best.host] = best
        return best.node or (best.host if best.how == FOREIGN else None)

    def _may_be_ours(self, silence: Silence) -> bool:
        """False for a silence that names another cluster. Alertmanager's own filter would also hide those without a
        cluster."""
        return all(
            one.regex or (one.value == self._own[one.name]) is one.equal
            for one in silence.matchers
            if one.name in self._own
        )


def silence_of(content: bytes) -> Silence | None:
    """The requested silence; None if it has expired. Raises SourceFault."""
    try:
        row = from_json(content, _Silence)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(content, error) from None
    return None if row.status.state == "expired" else _silence(row)


def made_id(content: bytes) -> str | None:
    """The id of the new silence; None if the answer is not Alertmanager's."""
    try:
        return clean(from_json(content, _SilenceAnswer).silenceID) or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _silence(row: _Silence) -> Silence:
    return Silence(
        id=clean(row.id),
        state=clean(row.status.state),
        matchers=tuple(Matcher(clean(one.name), clean(one.value), one.isRegex, one.isEqual) for one in row.matchers),
        starts=_epoch(row.startsAt),
        ends=_epoch(row.endsAt),
        by=clean(row.createdBy),
        comment=clean(row.comment),
    )


def _epoch(when: datetime | None) -> int | None:
    """The epoch, None for Go's zero time (year 1)."""
    if when is None or when.year < 1970 or when.tzinfo is None:
        return None
    return int(when.timestamp())


_ALERTS = json_decoder(list[_Alert])
_SILENCES = json_decoder(list[_Silence])
_RAW = json_decoder(list[msgspec.Raw])


def _rows(
    content: bytes, whole: msgspec.json.Decoder[list[T]], kind: type[T], what: str
) -> tuple[Sequence[T], tuple[str, ...]]:
    """All rows decoded at once; individually if one of them is invalid."""
    try:
        return whole.decode(content), ()
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(content, error) from None
    try:
        raw: list[Any] = _RAW.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(content, error) from None
    rows, first, strange = [], "", 0
    for one in raw:
        try:
            rows.append(from_json(one, kind))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            strange += 1
            first = first or clean(str(error)[:200])
    if not rows:  # it must not look like an empty list
        raise SourceFault("malformed", f"not one of {strange} {what}s can be read: {first}",
                          "is this a version of Alertmanager that wacht knows?")  # fmt: skip
    return rows, (f"{strange} {what}{'s' if strange > 1 else ''} left out: {first}",)


def _malformed(content: bytes, error: Exception) -> SourceFault:
    begins = clean(content[:60].decode("utf-8", "replace"))
    told = f"the answer is none of Alertmanager: {clean(str(error)[:200])}; it begins with {begins!r}"
    return SourceFault("malformed", told, "does url end where /api/v2 begins?")
