"""The results of nodes' own checks and their versions, in one reading: a row for each node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from collectors.clean import clean
from collectors.model import Checkup, Facts
from collectors.nodeset import natural_key
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.dcgm_names import TEMP
from collectors.prometheus.host_labels import HostFamilies
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.values import NODE_NAME, Notes, number

from .checkup_queries import DIAG, DRIVER, DRIVER_NEW, NHC, VBIOS

if TYPE_CHECKING:
    from collectors.prometheus.answers import Row

#: Firmware texts that mean "no value".
_NOTHING = frozenset({"", "n/a", "na", "none", "unknown", "not specified", "to be filled by o.e.m.", "default string"})
#: From this value on a part has failed, not only a warning (dcgm-exporter's values).
_FAILS = 20
_LONGEST = 80

LabelledValue = tuple[Mapping[str, str], float]
"""Labels, `node` among them, and the value."""


class CheckupReader:
    """Reads the checks of all nodes; nodes with the same versions share one mapping."""

    def __init__(self, book: SiteQueries, client: PrometheusClient, mono: Callable[[], float]) -> None:
        self.hosts = HostFamilies(
            book, client, mono, host_labels=("versions and health of GPUs", TEMP.series),
            # Not ipmi_bmc_info: a BMC may have its own domain and is no second host.
            node_labels=("versions and checks", ("node_uname_info", "node_dmi_info", NHC, DIAG)),
        )  # fmt: skip
        self._alike: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def read(self) -> Facts:
        """One reading; no checkups if none are exported. Raises SourceFault."""
        notes = Notes()
        versions, serials = self._versions(notes)
        nhc, nhc_at = self._nhc(notes)
        diag = self._diag(notes)
        health = self._health(notes)
        names = versions.keys() | serials.keys() | nhc.keys() | diag.keys() | health.keys()
        rows = {}
        for name in names:
            result, at = diag.get(name, (None, None))
            rows[name] = Checkup(
                node=name,
                nhc=nhc.get(name),
                nhc_at=nhc_at.get(name),
                diag=result,
                diag_at=at,
                health=health.get(name),
                serial=serials.get(name),
                versions=self._one(versions.get(name, {})),
            )
        return Facts(checkups=rows, warnings=tuple(notes.said))

    def _one(self, versions: Mapping[str, str]) -> Mapping[str, str]:
        return self._alike.setdefault(tuple(sorted(versions.items())), versions)

    # -- each part -----------------------------------------------------------------------------------------------------

    def _versions(self, notes: Notes) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """Node to its versions, and to its serial number."""
        told: dict[str, dict[str, set[str]]] = {}
        serials: dict[str, str] = {}

        def take(labels: Mapping[str, str], what: str, *names: str) -> None:
            value = next((text for name in names if (text := _text(labels.get(name, ""))) is not None), None)
            if value is not None:
                told.setdefault(labels["node"], {}).setdefault(what, set()).add(value)

        for labels, _ in self._rows("gpu_versions", notes):
            take(labels, "driver", DRIVER_NEW, DRIVER)
            take(labels, "vbios", VBIOS)
        for labels, _ in self._rows("kernel", notes):
            take(labels, "kernel", "release")
        for labels, _ in self._rows("dmi", notes):
            take(labels, "bios", "bios_version")
            if (serial := _text(labels.get("product_serial", ""))) is not None:
                serials[labels["node"]] = serial
        for labels, _ in self._rows("bmc", notes):
            take(labels, "bmc", "firmware_revision")
        return {
            node: {what: " + ".join(sorted(values, key=natural_key)) for what, values in found.items()}
            for node, found in told.items()
        }, serials

    def _nhc(self, notes: Notes) -> tuple[dict[str, str], dict[str, int]]:
        values = self._rows("nhc", notes)
        if not values:
            return {}, {}
        failed = _named(self._rows("nhc_failed", notes), "check")
        at = {labels["node"]: int(value) for labels, value in self._rows("nhc_at", notes) if value > 0}
        return {
            (node := labels["node"]): "ok" if value == 1 else ", ".join(failed.get(node, ())) or "failed"
            for labels, value in values
        }, at

    def _diag(self, notes: Notes) -> dict[str, tuple[str, int | None]]:
        """Node to its newest diagnosis and its time; of two at once the one of the higher level."""
        values = self._rows("diag", notes)
        if not values:
            return {}
        tests: dict[tuple[str, str], list[str]] = {}
        for labels, _ in self._rows("diag_failed", notes):
            if (test := _text(labels.get("test", ""))) is not None:
                tests.setdefault((labels["node"], labels.get("level", "")), []).append(test)
        at = {(labels["node"], labels.get("level", "")): int(value) for labels, value in self._rows("diag_at", notes)}
        best: dict[str, tuple[int, str, str]] = {}
        for labels, value in values:
            node, level = labels["node"], labels.get("level", "")
            began = at.get((node, level)) or at.get((node, "")) or 0
            word = f"r{clean(level[:8])} " if level else ""
            failed = ", ".join(sorted(tests.get((node, level), ())))
            said = f"{word}pass" if value == 1 else f"{word}failed{f': {failed}' if failed else ''}"
            best[node] = max(best.get(node, (0, "", "")), (began, level, said))
        return {node: (said, began or None) for node, (began, _, said) in best.items()}

    def _health(self, notes: Notes) -> dict[str, str]:
        values = self._rows("gpu_health", notes)
        if not values:
            return {}
        ailing: dict[str, list[str]] = {}
        for labels, value in self._rows("gpu_ailing", notes):
            part = (_text(labels.get("health_watch", "")) or "something").lower()
            ailing.setdefault(labels["node"], []).append(f"{part} {'fails' if value >= _FAILS else 'warns'}")
        return {
            (node := labels["node"]): "ok" if value == 0 else ", ".join(sorted(ailing.get(node, ()))) or "not well"
            for labels, value in values
        }

    def _rows(self, name: str, notes: Notes) -> list[LabelledValue]:
        """Rows of nodes that Slurm could know; a refused query is a named gap."""
        return list(_valued(self.hosts.rows(name, notes), name))


def _valued(rows: Iterable[Row], name: str) -> Iterable[LabelledValue]:
    for row in rows:
        value = None if row.value is None else number(row.value[1], name)
        if value is not None and NODE_NAME.fullmatch(row.metric.get("node", "")):
            yield row.metric, value


def _text(value: str) -> str | None:
    """A version or serial number; None for firmware's words for "no value"."""
    return None if value.strip().lower() in _NOTHING else clean(value.strip()[:_LONGEST])


def _named(rows: Iterable[LabelledValue], label: str) -> dict[str, list[str]]:
    """Node to its names in a label."""
    found: dict[str, list[str]] = {}
    for labels, _ in rows:
        if (name := _text(labels.get(label, ""))) is not None:
            found.setdefault(labels["node"], []).append(name)
    return {node: sorted(names) for node, names in found.items()}
