"""The simulated exporters speak as the real ones do, and what they say is the machine's truth."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from math import isnan

import pytest

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.exporters.dcgm import RENAMED, ExporterOptions
from collectors.sim.exporters.exporters import Exporter
from collectors.sim.machine import Machine
from collectors.sim.plant.sensors import OFF_THE_BUS
from tests.support.exporter_text import _LABEL, Series, parsed
from tests.support.paths import ROOT

#: What shared/reference/telemetry.md lists as on by default.
DEFAULT_ON = {
    *(f"DCGM_FI_DEV_{name}" for name in (
        "SM_CLOCK", "MEM_CLOCK", "MEMORY_TEMP", "GPU_TEMP", "POWER_USAGE", "TOTAL_ENERGY_CONSUMPTION",
        "PCIE_REPLAY_COUNTER", "GPU_UTIL", "MEM_COPY_UTIL", "XID_ERRORS", "FB_FREE", "FB_USED", "FB_RESERVED",
        "NVLINK_BANDWIDTH_TOTAL", "UNCORRECTABLE_REMAPPED_ROWS", "CORRECTABLE_REMAPPED_ROWS", "ROW_REMAP_FAILURE",
    )),
    *(f"DCGM_FI_PROF_{name}" for name in (
        "GR_ENGINE_ACTIVE", "PIPE_TENSOR_ACTIVE", "DRAM_ACTIVE", "PCIE_TX_BYTES", "PCIE_RX_BYTES",
    )),
}  # fmt: skip
LABELS = ["gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"]


def by(series: Series, *labels: str) -> dict[tuple[str, ...], list[float]]:
    """Values by some of their labels."""
    found: dict[tuple[str, ...], list[float]] = {}
    for key, value in series.items():
        found.setdefault(tuple(dict(key).get(label, "") for label in labels), []).append(value)
    return found


def made(nodes: int = 64, **odd: object) -> Exporter:
    clock = ManualClock()
    exporter = Exporter(Machine(SimSettings(nodes=nodes), clock), ExporterOptions(**odd))  # type: ignore[arg-type]
    exporter.clock = clock  # type: ignore[attr-defined]
    return exporter


def read(exporter: Exporter, path: str) -> dict[str, Series]:
    answer = exporter.answer(path)
    assert answer is not None
    return parsed(answer)


def busy_node(exporter: Exporter) -> str:
    nodes = exporter.machine.nodes()
    return next(name for name, node in nodes.items() if node.display == "allocated" and exporter.gpus(name))


@pytest.mark.parametrize("nodes", [1, 7, 64])
@pytest.mark.parametrize("gpus", [1, 4, 8])
def test_every_size_parses(nodes, gpus):
    exporter = Exporter(
        Machine(SimSettings(nodes=nodes, gpus_per_node=gpus), ManualClock()), ExporterOptions(extra=True)
    )
    found = read(exporter, "/dcgm/metrics")
    assert found.keys() >= DEFAULT_ON
    parsed(exporter.answer("/ipmi/metrics") or "")
    parsed(exporter.answer("/pdu/metrics") or "")


def test_names_labels_and_order_are_the_real_ones():
    exporter = made()
    text = exporter.answer("/dcgm/gpu0001/metrics") or ""
    assert parsed(text).keys() >= DEFAULT_ON
    assert not any("ECC" in name or "DCGM_EXP" in name for name in parsed(text))
    line = next(line for line in text.splitlines() if line.startswith("DCGM_FI_DEV_GPU_UTIL"))
    assert [key for key, _ in _LABEL.findall(line)] == LABELS
    assert "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter" in text
    assert "# TYPE DCGM_FI_DEV_GPU_UTIL gauge" in text
    assert re.search(r'DCGM_FI_DEV_POWER_USAGE{.*,device="nvidia3",.*} \d+\.\d{6}$', text, re.MULTILINE)


def test_every_value_is_the_machines():
    exporter = made(64, extra=True)
    machine = exporter.machine
    found = read(exporter, "/dcgm/metrics")
    truth = {(gpu.node, str(gpu.index)): gpu for node in machine.site.by_name for gpu in machine.gpus(node)}
    alive = {key: gpu for key, gpu in truth.items() if gpu.lost is None}
    assert len(alive) > 400

    def check(name, value, among=alive, scale=1.0):
        said = by(found[name], "Hostname", "gpu")
        assert said.keys() == among.keys(), name
        for key, gpu in among.items():
            assert said[key] == [pytest.approx(value(gpu) * scale, abs=1e-5)], (name, key)

    check("DCGM_FI_DEV_GPU_UTIL", lambda gpu: gpu.util_pct)
    check("DCGM_FI_DEV_FB_USED", lambda gpu: gpu.memory_used_mb)
    check("DCGM_FI_DEV_GPU_TEMP", lambda gpu: gpu.temp_c)
    check("DCGM_FI_DEV_MEMORY_TEMP", lambda gpu: gpu.memory_temp_c)
    check("DCGM_FI_DEV_POWER_USAGE", lambda gpu: gpu.power_w)
    check("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", lambda gpu: gpu.energy_j, scale=1000)
    check("DCGM_FI_DEV_SM_CLOCK", lambda gpu: gpu.sm_clock_mhz)
    check("DCGM_FI_DEV_ROW_REMAP_FAILURE", lambda gpu: gpu.remap_failed)
    check("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", lambda gpu: gpu.ecc_uncorrected)
    check("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", lambda gpu: gpu.tensor_pct, scale=0.01)
    check("DCGM_FI_DEV_XID_ERRORS", lambda gpu: gpu.xid or 0, among=truth)
    assert 48.0 in found["DCGM_FI_DEV_XID_ERRORS"].values()
    parts = [by(found[f"DCGM_FI_DEV_FB_{part}"], "Hostname", "gpu") for part in ("USED", "FREE", "RESERVED")]
    assert all(sum(part[key][0] for part in parts) == gpu.memory_mb for key, gpu in alive.items())


def test_a_node_that_is_down_says_nothing_and_never_zero():
    exporter = made()
    machine = exporter.machine
    name = busy_node(exporter)
    machine.break_node(name)
    down = {node for node, row in machine.nodes().items() if row.state == "DOWN"}
    quiet = down | {host.name for host in machine.site.hosts if host.exporter_down}
    assert name in down and len(quiet) > len(down)
    for node in quiet:
        assert exporter.answer(f"/dcgm/{node}/metrics") is None and exporter.gpus(node) == ()
    assert not {node for (node,) in by(read(exporter, "/dcgm/metrics")["DCGM_FI_DEV_XID_ERRORS"], "Hostname")} & quiet
    # A node whose DCGM alone is silent still has its BMC.
    for node in quiet:
        assert (exporter.answer(f"/ipmi/{node}/metrics") is None) == (node in down)
    for path in ("/dcgm/gpu9999/metrics", "/ipmi/gpu9999/metrics", "/", "/metrics", "/dcgm/gpu0001/2/metrics"):
        assert exporter.answer(path) is None


def test_a_lost_gpu_has_its_xid_and_nothing_else():
    exporter = made()
    name = busy_node(exporter)
    exporter.machine.failures.report_xid(exporter.machine.host(name), 79, 3)
    lost = exporter.gpus(name)[3]
    assert (lost.lost, lost.xid, lost.util_pct, lost.recovery) == (OFF_THE_BUS, 79, None, "reboot")
    for family, series in read(exporter, f"/dcgm/{name}/metrics").items():
        said = by(series, "gpu")
        assert (("3",) in said) == (family == "DCGM_FI_DEV_XID_ERRORS"), family
    assert exporter.series() == len(read(exporter, "/dcgm/metrics")["DCGM_FI_DEV_FB_USED"])


# -- odd cases ---------------------------------------------------------------------------------------------------------


def test_the_host_label_is_spelt_otherwise_or_missing():
    assert ("gpu0001",) in by(read(made(hostname="hostname"), "/dcgm/metrics")["DCGM_FI_DEV_GPU_UTIL"], "hostname")
    alone = read(made(hostname=""), "/dcgm/gpu0001/metrics")["DCGM_FI_DEV_GPU_UTIL"]
    assert len(alone) == 8 and not any({"Hostname", "hostname"} & dict(key).keys() for key in alone)


def test_job_mapping_gives_a_series_a_job():
    exporter = made(jobs=True)
    name = busy_node(exporter)
    exporter.options = ExporterOptions(jobs=True, shared=frozenset({name}))
    util = by(read(exporter, "/dcgm/metrics")["DCGM_FI_DEV_GPU_UTIL"], "Hostname", "gpu", "hpc_job")
    for gpu in exporter.gpus(name):
        mine = {job: values for (node, index, job), values in util.items() if (node, index) == (name, str(gpu.index))}
        assert len(mine) == 2 and gpu.job in mine
        assert all(values == [gpu.util_pct] for values in mine.values())
    idle = next(gpu for node in exporter.machine.site.by_name for gpu in exporter.gpus(node) if gpu.job is None)
    assert (idle.node, str(idle.index), "") in util
    assert len(by(read(exporter, "/dcgm/metrics")["DCGM_FI_DEV_GPU_UTIL"], "Hostname", "gpu")) < len(util)


def test_a_gpu_that_was_cut_up_has_an_instance_each_and_no_utilisation():
    exporter = made(mig=frozenset({"gpu0001"}))
    truth = {str(gpu.index): gpu for gpu in exporter.gpus("gpu0001")}
    found = read(exporter, "/dcgm/metrics")
    assert ("gpu0001",) not in by(found["DCGM_FI_DEV_GPU_UTIL"], "Hostname")
    used = by(found["DCGM_FI_DEV_FB_USED"], "Hostname", "gpu")
    watts = by(found["DCGM_FI_DEV_POWER_USAGE"], "Hostname", "gpu")
    for index, gpu in truth.items():
        assert sum(used["gpu0001", index]) == gpu.memory_used_mb
        assert watts["gpu0001", index] == [gpu.power_w] * 2
    parts = by(found["DCGM_FI_DEV_FB_USED"], "Hostname", "GPU_I_PROFILE", "GPU_I_ID")
    assert {key for key in parts if key[0] == "gpu0001"} == {("gpu0001", "3g.40gb", "1"), ("gpu0001", "3g.40gb", "2")}
    assert len(used["gpu0002", "0"]) == 1


def test_targets_name_every_node_and_the_second_exporter_of_one():
    exporter = made(4, two_exporters=frozenset({"gpu0002"}), silent=frozenset({"gpu0003"}))
    targets = json.loads(exporter.answer("/targets/dcgm") or "")
    paths = {row["labels"]["instance"]: row["labels"]["__metrics_path__"] for row in targets}
    assert paths["gpu0002:9400"] == "/dcgm/gpu0002/metrics" and paths["gpu0002:9401"] == "/dcgm/gpu0002/2/metrics"
    assert len(paths) == 5
    assert exporter.answer(paths["gpu0002:9400"]) == exporter.answer(paths["gpu0002:9401"])
    assert exporter.answer(paths["gpu0003:9400"]) is None
    assert len(json.loads(exporter.answer("/targets/ipmi") or "")) == 4


def test_values_that_are_no_numbers():
    found = read(made(nan=frozenset({"gpu0001"})), "/dcgm/gpu0001/metrics")
    assert all(isnan(value) for value in found["DCGM_FI_DEV_GPU_UTIL"].values())
    assert not any(isnan(value) for value in found["DCGM_FI_DEV_FB_USED"].values())


def test_counted_xids_are_of_the_last_five_minutes():
    exporter = made(extra=True)
    name = busy_node(exporter)
    for code in (31, 31, 43):
        exporter.machine.failures.report_xid(exporter.machine.host(name), code, 2)
    counted = by(read(exporter, f"/dcgm/{name}/metrics")["DCGM_EXP_XID_ERRORS_COUNT"], "gpu", "xid")
    assert counted == {("2", "31"): [2.0], ("2", "43"): [1.0]}
    assert by(read(exporter, f"/dcgm/{name}/metrics")["DCGM_FI_DEV_XID_ERRORS"], "gpu")["2",] == [43.0]
    exporter.clock.advance(301)  # type: ignore[attr-defined]
    assert "DCGM_EXP_XID_ERRORS_COUNT" not in read(exporter, f"/dcgm/{name}/metrics")
    assert by(read(exporter, f"/dcgm/{name}/metrics")["DCGM_FI_DEV_XID_ERRORS"], "gpu")["2",] == [43.0]


def test_only_the_fields_that_were_asked_for():
    machine = Machine(SimSettings(nodes=2), ManualClock())
    exporter = Exporter(machine, fields=["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"])
    assert list(read(exporter, "/dcgm/metrics")) == ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"]
    with pytest.raises(KeyError):
        Exporter(machine, fields=["DCGM_FI_DEV_NONSENSE"])


# -- power -------------------------------------------------------------------------------------------------------------


def test_power_units_and_bmcs_measure_what_the_machine_draws():
    exporter = made()
    machine = exporter.machine
    power, loads = machine.power(), machine.loads()
    racks = {
        rack: sum(watts) for (rack,), watts in by(read(exporter, "/pdu/metrics")["pdu_power_watts"], "rack").items()
    }
    assert racks == power.rack_w and sum(racks.values()) == power.site_w
    bmc = by(read(exporter, "/ipmi/metrics")["ipmi_dcmi_power_consumption_watts"], "instance")
    for name, load in loads.items():
        assert bmc[f"{name}:9290",] == [load.power_w]
        assert read(exporter, f"/ipmi/{name}/metrics")["ipmi_dcmi_power_consumption_watts"] == {(): load.power_w}


def test_a_dead_power_unit_is_a_gap():
    clock = ManualClock()
    exporter = Exporter(Machine(SimSettings(nodes=64, incident="pdu"), clock))
    before = read(exporter, "/pdu/metrics")["pdu_power_watts"]
    clock.advance(60)
    after = read(exporter, "/pdu/metrics")["pdu_power_watts"]
    (gone,) = before.keys() - after.keys()
    assert dict(gone)["pdu"] == exporter.machine.host(exporter.machine.incidents.affected[0]).pdu


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def get(url: str, timeout: float = 10) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.read().decode()


def test_it_answers_over_http():
    with made(3, silent=frozenset({"gpu0002"})) as exporter:
        here = f"http://127.0.0.1:{exporter.port}"
        status, kind, text = get(f"{here}/dcgm/gpu0001/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert text == exporter.answer("/dcgm/gpu0001/metrics")
        status, _, text = get(f"{here}/dcgm/gpu0002/metrics")
        assert status == 404 and "DCGM" not in text
        assert get(f"{here}/targets/dcgm")[1] == "application/json"
        assert exporter.requests["/dcgm/gpu0001/metrics"] == 1
    with pytest.raises(urllib.error.URLError):
        get(f"{here}/dcgm/metrics")


def test_one_that_hangs_holds_nobody_else_and_lets_go():
    with made(3, hangs=frozenset({"gpu0002"})) as exporter:
        here = f"http://127.0.0.1:{exporter.port}"
        with pytest.raises(TimeoutError):
            get(f"{here}/dcgm/gpu0002/metrics", timeout=0.3)
        assert get(f"{here}/dcgm/gpu0001/metrics")[0] == 200
        exporter.options = ExporterOptions()
        assert get(f"{here}/dcgm/gpu0002/metrics")[0] == 200
    assert not [thread for thread in threading.enumerate() if thread.name == f"exporter-{exporter.port}"]


def test_it_runs_as_a_program():
    words = [sys.executable, "-m", "collectors.sim.exporters.exporters", "--nodes=3", "--port=0", "--hostname=hostname"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            said = re.search(r"http://\S+", server.stdout.readline())
            assert said and ("gpu0001",) in by(parsed(get(said[0])[2])["DCGM_FI_DEV_GPU_UTIL"], "hostname")
        finally:
            server.terminate()


def test_newer_exporters_say_the_same_in_other_words():
    older = made(hostname="Hostname", extra=True)
    nodes = [name for name in older.machine.site.by_name if older.gpus(name)]
    half = frozenset(nodes[::2])
    mixed = made(hostname="Hostname", extra=True, newer=half, two_exporters=frozenset(nodes[:1]))
    before, after = read(older, "/dcgm/metrics"), read(mixed, "/dcgm/metrics")
    for old, new in RENAMED.items():
        was, now = by(before[old], "UUID"), by(after[new.name], "UUID")
        assert now.keys() == {(gpu.uuid,) for name in half for gpu in mixed.gpus(name) if (gpu.uuid,) in was}
        for uuid, (value,) in now.items():
            # Joules are whole.
            assert value == pytest.approx(was[uuid][0] * new.factor, abs=1 if "JOULES" in new.name else 1e-9)
        assert by(after[old], "UUID").keys() == was.keys() - now.keys()
    capacity = by(after["DCGM_FI_DEV_FB_CAPACITY_BYTES"], "hostname")
    assert capacity.keys() == {(name,) for name in half} and "DCGM_FI_DEV_FB_CAPACITY_BYTES" not in before
    assert {tuple(dict(key)) for key in after["DCGM_FI_DEV_GPU_TEMP_CELSIUS"]} == {
        tuple(sorted({*LABELS, "hostname", "DCGM_FI_SYSTEM_DRIVER_VERSION", "DCGM_FI_DEV_VBIOS_VERSION"}
                     - {"Hostname", "DCGM_FI_DRIVER_VERSION"}))
    }  # fmt: skip
    first, second = (read(mixed, f"/dcgm/{nodes[0]}/{path}metrics").keys() for path in ("", "2/"))
    assert "DCGM_FI_DEV_FB_USED" in first and "DCGM_FI_DEV_FB_USED_BYTES" in second
    assert not first & second & RENAMED.keys()
