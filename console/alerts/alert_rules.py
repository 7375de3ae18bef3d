"""The alerting rules that ship with wacht, written from the XID policy: collectors/alertmanager/wacht-alerts.yml.

`rule_file_text` writes them for any site; the file is for the default settings and the shipped policy. Every rule sets
the labels that wacht folds and acts by: `severity`, `node`, and `rack` where the series have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

import collectors.alertmanager
from collectors.model import FOLLOWERS
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.dcgm_names import REMAP_FAILED, TEMP, XID, Quantity
from collectors.prometheus.plant.cooling_queries import CoolingLimits, CoolingSettings
from collectors.prometheus.plant.fabric_queries import DOWNED, RATE, STATE
from collectors.prometheus.plant.storage_queries import ERROR
from collectors.prometheus.query_table import SLURMCTLD, XID_COUNT, by_host, quoted
from collectors.prometheus.recording_rules import DEFAULT
from collectors.prometheus.site_queries import FIRST
from console.health import failure_domains
from console.health.xid_policy import Policy, default_policy

SHIPPED_FILE = Path(collectors.alertmanager.__file__).with_name("wacht-alerts.yml")

_HEAD = """\
# Alerting rules of wacht: nodes, GPUs, racks, Slurm. Written by console/alerts/alert_rules.py from the XID policy.
#
# Load this file with rule_files (Prometheus, Mimir, Thanos Rule) or vmalert, evaluate it every 15 to 30 s, and let the
# server send to the Alertmanager that wacht is configured with. Put your own in place of: the jobs that scrape a node
# ({exporters}), pdu_power_watts and what a rack may draw ({rack_w:,} W), the series of the CDUs and
# of the leak detectors with their limits, the runbooks' address. A scrape configuration that gives each target the
# label `rack` lets wacht fold alerts by rack.
"""
_RECORDED = "wacht:gpu_xid:now"


class RuleLimits(Struct, frozen=True, kw_only=True):
    """What a site sets beside the names of its series."""

    exporters: str = 'job=~"dcgm.*|ipmi.*|node.*"'
    """Matchers of the targets that represent a node, one or more per node."""
    slurmctld: str = SLURMCTLD
    """Matchers of the targets that represent slurmctld (25.11 or newer, MetricsType=metrics/openmetrics)."""
    rack_w: int = 130_000
    """Most power of a rack in watts."""
    hot_c: int = 87
    """Degrees at which a GPU is too hot: H100 and H200 slow down from about there on."""
    drained_d: int = 7
    """Days after which a drained node counts as forgotten."""
    runbooks: str = "https://runbooks.example.org"
    """Prefix of the alert's name in `runbook_url`."""
    waits: bool = True
    """False fires at once, for tests."""


class Rule(Struct, frozen=True, kw_only=True):
    """One alerting rule."""

    alert: str
    severity: str
    expr: str
    summary: str
    wait: str = ""
    """How long it must hold before it fires."""
    keep: str = ""
    """How long it keeps firing when it no longer holds."""
    labels: tuple[tuple[str, str], ...] = ()


def rules(settings: PrometheusSettings = DEFAULT, policy: Policy | None = None, limits: RuleLimits | None = None
          ) -> Iterator[Rule]:  # fmt: skip
    """All rules. A series that a site does not have gives no alert."""
    limits = limits or RuleLimits()
    yield from _nodes(settings, limits)
    yield from _gpus(settings, policy or default_policy(), limits)
    yield from _racks(settings.power or PowerSettings(), limits)
    yield from _loops(settings.cooling, settings.matchers)
    yield from _slurm(limits)
    yield from _ports(settings)
    yield from _mounts(settings)


def _nodes(settings: PrometheusSettings, limits: RuleLimits) -> Iterator[Rule]:
    up = f"up{{{limits.exporters}}}"
    down = f"{by_host(up, ('instance',), settings.node, ('node', 'rack'))} == 0"
    silent = f"{by_host(up, ('instance',), settings.node, ('node', 'rack', 'job'))} == 0"
    yield Rule(
        alert="NodeDown", severity="critical", expr=down, wait="1m",
        summary="{{ $labels.node }} does not answer: none of its exporters does",
    )  # fmt: skip
    yield Rule(
        alert="ExporterSilent", severity="warning", expr=f"({silent}) unless on (node) ({down})", wait="5m",
        summary="{{ $labels.job }} of {{ $labels.node }} is silent, the node answers",
    )  # fmt: skip


def _gpus(settings: PrometheusSettings, policy: Policy, limits: RuleLimits) -> Iterator[Rule]:
    classes: dict[str, list[int]] = {"out": [], "act": [], "job": [], "ignore": []}
    for code, advice in sorted(policy.advice.items()):
        word = "out" if advice.drains else "act" if advice.acts else advice.action
        if word in classes:
            classes[word].append(code)
    labels = (("xid", "{{ $value }}"),)
    what = "XID {{ $value }} on GPU {{ $labels.gpu }} of {{ $labels.node }}"
    known = [code for codes in classes.values() for code in codes]
    # Fires until the GPU is reset, as the gauge does; for an hour where the policy only watches the code or does not
    # know it.
    watched = f"({_RECORDED} unless ({_any(known)})) and on (node, gpu) ({_changed(settings, '1h')})"
    yours = f"({_any(classes['job'])}) and on (node, gpu) ({_changed(settings, '10m')})"
    drains = _any(classes["out"])
    # A follow-up XID replaces its cause in the gauge: the earlier one still counts.
    behind = f"max_over_time(({drains})[6h:30s]) and on (node, gpu) ({_any(FOLLOWERS)})"
    kinds = (
        ("critical", f"{drains} or ({behind})", f"{what}: the policy drains the node", "15m"),
        ("warning", f"({_any(classes['act'])}) or ({watched})", what, "15m"),
        ("info", yours, f"{what}: look at the job", ""),
    )
    for severity, expr, summary, keep in kinds:
        yield Rule(alert="GpuXid", severity=severity, expr=expr, summary=summary, keep=keep, labels=labels)
    # The same alert from the exporter's counters, where it has them: of two XIDs between two scrapes the gauge keeps
    # one.
    if classes["out"]:
        told = "XID {{ $labels.xid }} on GPU {{ $labels.gpu }} of {{ $labels.node }}: the policy drains the node"
        counted = _counted(settings, classes["out"])
        yield Rule(alert="GpuXid", severity="critical", expr=counted, summary=told, keep="15m")
    yield Rule(
        alert="GpuRowRemapFailed", severity="critical",
        expr=f"{_by_gpu(settings, REMAP_FAILED)} > 0",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} cannot remap rows of its memory: drain, support",
    )  # fmt: skip
    yield Rule(
        alert="GpuHot", severity="warning", expr=f"{_by_gpu(settings, TEMP)} > {limits.hot_c}", wait="5m",
        summary="GPU {{ $labels.gpu }} of {{ $labels.node }} is at {{ $value }} °C",
    )  # fmt: skip


def _racks(power: PowerSettings, limits: RuleLimits) -> Iterator[Rule]:
    series = power.rack_series
    if series is None:
        return
    rack = power.rack_label
    given = rack if rack == "rack" else f"{rack}, rack"
    draws = f"sum by ({given}) ({series})"
    yield Rule(
        alert="RackPowerHigh", severity="warning", expr=f"{draws} > 0.95 * {limits.rack_w}", wait="5m",
        summary=f"rack {{{{ $labels.{rack} }}}} draws {{{{ $value | humanize }}}}W "
        f"of the {limits.rack_w / 1000:,g} kW that it may",
    )  # fmt: skip
    if series.replace("_", "").replace(":", "").isalnum():
        seen = f"max by ({given}, pdu) (max_over_time({series}[6h])) > 0"
        alive = f"max by ({given}, pdu) ({series}) > 0"
        # All exporters at once: the monitoring itself has failed.
        most = f"count({alive}) > 0.5 * count({seen})"
        yield Rule(
            alert="PduPowerLost", severity="critical", expr=f"(({seen}) unless ({alive})) and on () ({most})",
            wait="30s", summary=f"{{{{ $labels.pdu }}}} of rack {{{{ $labels.{rack} }}}} gives no power any more",
        )  # fmt: skip


def _loops(cooling: CoolingSettings | None, matchers: str) -> Iterator[Rule]:
    """Rules for the cooling loops, by the label `cdu`, under which wacht folds the alerts of a loop."""
    if cooling is None:
        return
    series = dict(cooling.named())
    own = cooling.limits or CoolingLimits()
    at = ", ".join(dict.fromkeys((cooling.loop_label, cooling.rack_label, cooling.place_label)))

    def measured(what: str, worst: str) -> str:
        plain = series[what].replace("_", "").replace(":", "").isalnum()
        chosen = f"{series[what]}{{{matchers}}}" if plain and matchers else series[what]
        expr = f"{worst} by ({at}) ({chosen})"
        if cooling.loop_label == failure_domains.LOOP:
            return expr
        return f'label_replace({expr}, "{failure_domains.LOOP}", "$1", "{cooling.loop_label}", "(.*)")'

    loop = "{{ $labels.cdu }}"
    if "leak" in series:
        place = "".join(f"{{{{ with $labels.{label} }}}} {{{{ . }}}}{{{{ end }}}}"
                        for label in dict.fromkeys((cooling.rack_label, cooling.place_label)))  # fmt: skip
        yield Rule(
            alert="CoolantLeak", severity="critical", expr=f"{measured('leak', 'max')} > {cooling.dry:g}",
            summary=f"{loop}{place} a leak detector is wet",
        )  # fmt: skip
    if "flow" in series and own.flow_low is not None:
        yield Rule(
            alert="CoolantFlowLow", severity="critical", expr=f"{measured('flow', 'min')} < {own.flow_low:g}",
            wait="30s", summary=f"{loop} flows at {{{{ $value }}}} l/min of the {own.flow_low:g} that it needs",
        )  # fmt: skip
    if "supply" in series and own.supply_high is not None:
        yield Rule(
            alert="CoolantSupplyWarm", severity="warning", expr=f"{measured('supply', 'max')} > {own.supply_high:g}",
            wait="2m", summary=f"{loop} supplies {{{{ $value }}}} °C of the {own.supply_high:g} that it may",
        )  # fmt: skip


def _slurm(limits: RuleLimits) -> Iterator[Rule]:
    days = f"{limits.drained_d}d"
    yield Rule(
        alert="SlurmctldSilent", severity="critical", expr=f"up{{{limits.slurmctld}}} == 0", wait="2m",
        summary="slurmctld gives no metrics: {{ $labels.instance }}",
    )  # fmt: skip
    yield Rule(
        alert="NodesLost", severity="critical", expr="slurm_nodes_down - (slurm_nodes_down offset 15m) >= 4",
        summary="Slurm lost {{ $value }} nodes in 15 minutes",
    )  # fmt: skip
    yield Rule(
        alert="DrainedTooLong", severity="warning",
        expr=f"min_over_time(slurm_nodes_drain[{days}]) > 0 and (slurm_nodes_drain offset {days}) > 0",
        summary=f"at least {{{{ $value }}}} nodes have been drained at every moment of {limits.drained_d} days",
    )  # fmt: skip


def _ports(settings: PrometheusSettings) -> Iterator[Rule]:
    """Rules for the InfiniBand ports of nodes. A device that is up on hardly any node has no cable and is left out."""
    keep = ("node", "rack", "device", "port")

    def by_port(expr: str) -> str:
        return by_host(expr, _exported(settings), settings.node, keep)

    state, rate, downed = (_chosen(settings, name) for name in (STATE, RATE, DOWNED))
    cabled = f"count by (device, port) ({state} == 4) > 0.1 * count by (device, port) ({state})"
    port = "{{ $labels.device }} of {{ $labels.node }}"
    yield Rule(
        alert="PortDown", severity="warning", wait="2m",
        expr=f"{by_port(f'{state} != 4')} and on (device, port) ({cabled})", summary=f"port {port} is down",
    )  # fmt: skip
    span = f"{settings.fabric.flaps_s}s"
    yield Rule(
        alert="PortFlapping", severity="warning", expr=by_port(f"{downed} - {downed} offset {span} >= 2"),
        summary=f"port {port} went down {{{{ $value }}}} times within {span}",
    )  # fmt: skip
    usual = f"quantile by (device, port) (0.5, {rate} and ({state} == 4))"
    slow = f"({rate} and ({state} == 4)) < on (device, port) group_left () {usual}"
    yield Rule(
        alert="PortSlow", severity="warning", expr=f"{by_port(slow)} * 8", wait="10m",
        summary=f"port {port} runs at {{{{ $value | humanize }}}}b/s, most of its kind are faster",
    )  # fmt: skip


def _mounts(settings: PrometheusSettings) -> Iterator[Rule]:
    """Rules for shared file systems as nodes see them."""
    errors = _chosen(settings, ERROR, f'fstype=~"{settings.storage.fstypes}"')
    keep = ("node", "rack", "mountpoint")
    yield Rule(
        alert="FileSystemHangs", severity="critical", wait="2m",
        expr=by_host(f"{errors} == 1", _exported(settings), settings.node, keep),
        summary="{{ $labels.mountpoint }} hangs or fails on {{ $labels.node }}",
    )  # fmt: skip
    hosts = ", ".join((*_exported(settings), "rack"))
    for mount in settings.storage.mounts:
        there = _chosen(settings, ERROR, f"mountpoint={quoted(mount)}")
        lacks = f"count by ({hosts}) ({_chosen(settings, ERROR)}) unless on ({hosts}) {there}"
        named = f'label_replace({lacks}, "mountpoint", {quoted(mount)}, "", "")'
        yield Rule(
            alert="FileSystemMissing", severity="warning", wait="10m",
            expr=by_host(named, _exported(settings), settings.node, keep),
            summary="{{ $labels.mountpoint }} is not mounted on {{ $labels.node }}",
        )  # fmt: skip


def _hosts(settings: PrometheusSettings) -> tuple[str, ...]:
    """The labels that hold the host in dcgm-exporter's series."""
    return settings.host_labels or FIRST["host_labels"]


def _exported(settings: PrometheusSettings) -> tuple[str, ...]:
    """The labels that hold the host in node_exporter's series."""
    return settings.node_labels or FIRST["node_labels"]


def _chosen(settings: PrometheusSettings, series: str, more: str = "") -> str:
    """A series with the site's matchers."""
    matchers = ",".join(part for part in (more, settings.matchers) if part)
    return f"{series}{{{matchers}}}" if matchers else series


def _by_gpu(settings: PrometheusSettings, quantity: Quantity) -> str:
    """The largest value of a gauge by node, rack and GPU: jobs and instances that share a GPU give more series."""
    hosts = ", ".join(_hosts(settings))
    expr = quantity.each(f"max by ({hosts}, rack, gpu) ({_chosen(settings, '{}')})")
    return by_host(expr, _hosts(settings), settings.node, ("node", "rack", "gpu"))


def _changed(settings: PrometheusSettings, span: str) -> str:
    """GPUs whose last XID changed within this time."""
    hosts = ", ".join(_hosts(settings))
    # Under either name: a newly upgraded exporter has changes under both.
    expr = " or ".join(f"max by ({hosts}, gpu) (changes({_chosen(settings, name)}[{span}])) > 0" for name in XID.series)
    return by_host(expr, _hosts(settings), settings.node, ("node", "gpu"))


def _counted(settings: PrometheusSettings, codes: Iterable[int]) -> str:
    """The GPUs on which the exporter counted one of these codes in its window, with the label xid."""
    hosts = ", ".join(_hosts(settings))
    series = _chosen(settings, XID_COUNT, f'xid=~"{"|".join(map(str, sorted(codes)))}"')
    expr = f"max by ({hosts}, rack, gpu, xid) ({series}) > 0"
    return by_host(expr, _hosts(settings), settings.node, ("node", "rack", "gpu", "xid"))


def _any(codes: Iterable[int]) -> str:
    """The current XIDs that are among these codes; adjacent codes are one comparison."""
    spans: list[list[int]] = []
    for code in sorted(codes):
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    words = (f"{_RECORDED} == {a}" if a == b else f"{_RECORDED} >= {a} <= {b}" for a, b in spans)
    return " or ".join(words) or f"{_RECORDED} < 0"


def rule_file_text(
    settings: PrometheusSettings = DEFAULT, policy: Policy | None = None, limits: RuleLimits | None = None
) -> str:
    """The rule file for a site."""
    limits = limits or RuleLimits()
    lines = [_HEAD.format(exporters=limits.exporters, rack_w=limits.rack_w) + "groups:"]
    lines += ["  - name: wacht-alerts", "    rules:"]
    lines += [f"      - record: {_RECORDED}", "        expr: |-", f"          {_by_gpu(settings, XID)} > 0"]
    for rule in rules(settings, policy, limits):
        lines += [f"      - alert: {rule.alert}", "        expr: |-", f"          {rule.expr}"]
        if rule.wait and limits.waits:
            lines.append(f"        for: {rule.wait}")
        if rule.keep and limits.waits:
            lines.append(f"        keep_firing_for: {rule.keep}")
        labels = (("severity", rule.severity), *rule.labels)
        lines += ["        labels:", *(f"          {name}: {_quoted(value)}" for name, value in labels)]
        runbook = f"{limits.runbooks.rstrip('/')}/{rule.alert}"
        lines += ["        annotations:", f"          summary: {_quoted(rule.summary)}"]
        lines.append(f"          runbook_url: {_quoted(runbook)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """A text quoted for YAML, whatever it contains."""
    return json.dumps(value, ensure_ascii=False)
