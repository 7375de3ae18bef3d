"""A site whose exporters are renewed to dcgm-exporter 4.9: under older names, newer ones and both it is one machine, on
real servers: in readings, charts, energy and alerts. Recorded series of a mixed site: test_prometheus_lab."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from collectors.clock import SystemClock
from collectors.model import Cluster, Load
from collectors.prometheus import PowerSettings
from collectors.prometheus.probe import DcgmNames, missing_series, probe_prometheus
from collectors.prometheus.sources import Loads, PowerSource, open_telemetry
from collectors.sim.exporters.dcgm import ExporterOptions
from console.ingest.poller import read
from console.ingest.reduce import reduce

from .gpu_truth import POWER, assert_same_gpus, assert_true, settings, turn_odd
from .prometheus import ENGINES, Monitor
from .promtool import promtool
from .roots import SUITES
from .running import monitoring


@pytest.fixture(params=ENGINES)
def prometheus(request: pytest.FixtureRequest) -> Iterator[Monitor]:
    """Each engine, for itself: VictoriaMetrics may find for minutes what has ended under the newer names, and other
    tests are of a site that never had them."""
    yield from monitoring(request.param)


def cluster_of(monitor: Monitor) -> Cluster:
    """What a console holds of it after a reading."""
    cluster = Cluster(name="x")
    for source in (Loads(settings(monitor, power=POWER)), PowerSource(settings(monitor, power=PowerSettings()))):
        cluster, _ = reduce(cluster, read("x", source, SystemClock()))
    return cluster


def bare(load: Load) -> Load:
    """Without what is looked at by itself: when it was sampled, and the memory, which instances hold in whole MiB."""
    return replace(load, sampled_at=None, gpu_memory_pct=None)


def test_older_newer_and_mixed_are_the_same_machine(prometheus: Monitor) -> None:
    names = list(prometheus.machine.loads())
    half, (both, cut, shared) = frozenset(names[::2]), names[:3]
    older, telemetry = cluster_of(prometheus), open_telemetry("x", settings(prometheus))
    assert older.power is not None and older.power.site_w
    assert telemetry.gpus(names).keys() == set(names)
    for newer in (half, frozenset(names)) if prometheus.engine == "prometheus-3" else (half,):
        # One node has an exporter of either release, one is cut up, one has GPUs that jobs share.
        turn_odd(prometheus, ExporterOptions(
            newer=newer, two_exporters=frozenset({both}), mig=frozenset({cut}), jobs=True, shared=frozenset({shared}),
        ))  # fmt: skip
        found = cluster_of(prometheus)
        assert_true(prometheus, Loads(settings(prometheus)).collect())
        assert found.loads.keys() == older.loads.keys() and found.xids.keys() == older.xids.keys()
        for name, load in older.loads.items():
            assert bare(found.loads[name]) == bare(load), name
            assert found.loads[name].gpu_memory_pct == pytest.approx(load.gpu_memory_pct, abs=0.1), name
        assert found.power is not None and found.power.site_w == pytest.approx(older.power.site_w)
        assert [source.warnings for source in found.sources.values()] == [(), ()]
        telemetry.gpus(names)  # those that spell their label differently now are looked for anew the next time
        seen = telemetry.gpus(names)
        assert seen.keys() == set(names)
        for name in names:
            assert_same_gpus(seen[name], prometheus.machine.gpus(name))
        spoken = probe_prometheus(settings(prometheus)).names
        assert spoken == DcgmNames(older=len(names) - len(newer) + 1, newer=len(newer))
    missing = missing_series(settings(prometheus), [f'{label}="{names[4]}"' for label in ("Hostname", "hostname")])
    assert missing and "DCGM_FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS" in missing
    assert not {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO"}.intersection(missing)


def test_charts_and_energy_go_on_over_the_day_it_was_renewed(prometheus_3: Monitor) -> None:
    prometheus_3.reset()
    machine, name = prometheus_3.machine, list(prometheus_3.machine.loads())[1]
    prometheus_3.backfill(hours=3, nodes=[name])
    prometheus_3.settle()  # a server that was just started does not know what it scraped before
    since = int(machine.now) - 7200
    turn_odd(prometheus_3, ExporterOptions(newer=frozenset({name})))
    for chart in open_telemetry("x", settings(prometheus_3)).history(name, 6 * 3600):
        assert sum(value is not None for _, value in chart.points) >= 80, f"{chart.name}: of before, by another label"
    by_instance = open_telemetry("x", settings(prometheus_3, host_labels=("instance",)))
    used = by_instance.energy_j([name], since)
    assert used == pytest.approx(machine.energy([name], since), rel=0.05), "in mJ then, in J now"


#: Series of either release, and how often each alert rings then, by the label that tells them apart.
_OLD, _NEW = '{Hostname="gpu0007",gpu="%d"}', '{hostname="gpu0007",gpu="%d"}'


@pytest.mark.lab
@pytest.mark.parametrize("suite", SUITES)
def test_alerts_ring_under_either_name_and_go_on_over_the_renewal(suite: str, tmp_path) -> None:
    def renewed(old: str, new: str, index: int, before: int, after: int) -> list[dict[str, str]]:
        return [
            {"series": old + _OLD % index, "values": f"{before}x9 stale"},
            {"series": new + _NEW % index, "values": f"_x9 {after}x90"},
        ]

    def ringing(name: str, at: str, *gpus: int, severity: str = "") -> dict[str, object]:
        chosen = f',severity="{severity}"' if severity else ""
        samples = [{"labels": f'{{gpu="{index}",node="gpu0007"}}', "value": 1} for index in gpus]
        expr = f'count by (node, gpu) (ALERTS{{alertname="{name}",alertstate="firing"{chosen}}})'
        return {"expr": expr, "eval_time": at, "exp_samples": samples}

    xids = ("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERROR")
    series = [
        *renewed("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS", 0, 91, 91),
        *renewed("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS", 1, 60, 60),
        *renewed("DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ROW_REMAP_FAILED", 2, 0, 1),
        *renewed(*xids, 3, 79, 79),
        *renewed(*xids, 4, 31, 31),  # the user's code, long ago: a new name is no new XID
        {"series": xids[1] + _NEW % 5, "values": "_x9 0x20 13x60"},
    ]
    tests = [
        ringing("GpuHot", "8m", 0), ringing("GpuHot", "14m", 0), ringing("GpuHot", "60m", 0),
        ringing("GpuRowRemapFailed", "8m"), ringing("GpuRowRemapFailed", "14m", 2),
        *(ringing("GpuXid", at, 3, severity="critical") for at in ("8m", "10m", "11m", "30m")),
        ringing("GpuXid", "12m", severity="info"), ringing("GpuXid", "33m", 5, severity="info"),
    ]  # fmt: skip
    body = json.dumps({
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    })  # fmt: skip
    assert "SUCCESS" in promtool(suite, tmp_path.name, "test", "rules", "@/tests.yml", tests=body)
