"""Series of dcgm-exporter, and the GPUs that are read from them."""

from __future__ import annotations

from collectors.prometheus.answers import Row
from collectors.prometheus.gpu_rows import gpus_of
from tests.support.make import NOW


def row(field: str, value: object, index: int = 0, **labels: str) -> Row:
    metric = {"__name__": f"DCGM_FI_{field}", "Hostname": "gpu1", "gpu": str(index), "UUID": f"u{index}"}
    return Row(metric={**metric, "modelName": "H100", **labels}, value=(NOW, str(value)))


def gpus(*rows: Row, taken: dict[str, float] | None = None, **options: float):
    times = {"u0": NOW - 3} if taken is None else taken
    samples = [Row(metric={"Hostname": "gpu1", "UUID": uuid}, value=(NOW, str(at))) for uuid, at in times.items()]
    return gpus_of(rows, samples, "Hostname", {"gpu1": "gpu1"}, NOW, 0, options.get("stale_s", 180.0)).get("gpu1", ())
