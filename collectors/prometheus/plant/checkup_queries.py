"""The queries of a node's own checks and of the versions that it runs.

Versions are labels of what is exported anyway: the driver is on every series of dcgm-exporter (from 4.9 on under
another name), the VBIOS where its counters file has that row, kernel and BIOS in node_exporter's `node_uname_info` and
`node_dmi_info`, the BMC in ipmi_exporter's `ipmi_bmc_info`.

For Node Health Check and `dcgmi diag` there is no common exporter: sites write the result into a file for
node_exporter's textfile collector. The names here are those that wacht looks for; other names are set in `queries`.
"""

from __future__ import annotations

from collectors.prometheus.dcgm_names import TEMP
from collectors.prometheus.query import Query

from . import PlantSource

HEALTH = "DCGM_EXP_GPU_HEALTH_STATUS"
#: Labels.
DRIVER, DRIVER_NEW, VBIOS = "DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION", "DCGM_FI_DEV_VBIOS_VERSION"
NHC, NHC_AT = "nhc_status", "nhc_last_run_timestamp_seconds"
DIAG, DIAG_AT = "dcgmi_diag_result", "dcgmi_diag_last_run_timestamp_seconds"
_MTIME = "node_textfile_mtime_seconds"
_HOST, _ASKED = "node_labels", "each 5 minutes"
_TOLD = " or ".join(TEMP.each(f'<{{}} {label}!="">') for label in (DRIVER, DRIVER_NEW, VBIOS))

SOURCE = PlantSource(
    name="prom.checkups", subject="versions and health checks of nodes", reader="checkups:CheckupReader", floor_s=300.0
)
QUERIES: tuple[Query, ...] = (
    Query(
        name="gpu_versions", unit="GPUs", by=("node", DRIVER, DRIVER_NEW, VBIOS), asked=_ASKED,
        series=tuple(f"{label} (a label)" for label in (DRIVER, DRIVER_NEW, VBIOS)),
        about="driver and VBIOS of a node's GPUs", expr=f"count by ($host, {DRIVER}, {DRIVER_NEW}, {VBIOS}) ({_TOLD})",
    ),
    Query(
        name="kernel", by=("node", "release"), host=_HOST, series=("node_uname_info",), asked=_ASKED,
        about="the kernel of a node", expr="max by ($exported, release) (<node_uname_info>)",
    ),
    Query(
        name="dmi", by=("node", "bios_version", "product_serial"), host=_HOST, series=("node_dmi_info",), asked=_ASKED,
        about="BIOS and serial number of a node; the serial only where node_exporter runs as root",
        expr="max by ($exported, bios_version, product_serial) (<node_dmi_info>)",
    ),
    Query(
        name="bmc", by=("node", "firmware_revision"), host=_HOST, series=("ipmi_bmc_info",), asked=_ASKED,
        about="the firmware of a node's BMC", expr="max by ($exported, firmware_revision) (<ipmi_bmc_info>)",
    ),
    Query(
        name="nhc", host=_HOST, series=(NHC,), asked=_ASKED,
        about="whether Node Health Check is content with a node: 1 is ok, anything else is not",
        expr=f"min by ($exported) (<{NHC}>)",
    ),
    Query(
        name="nhc_failed", by=("node", "check"), host=_HOST, series=(NHC,), asked=_ASKED,
        about="which checks of Node Health Check failed, where there is a series a check",
        expr=f'count by ($exported, check) (<{NHC} check!=""> != 1)',
    ),
    Query(
        name="nhc_at", unit="s", host=_HOST, series=(NHC_AT, f"{_MTIME} of a file with nhc in its name"), asked=_ASKED,
        about="when Node Health Check ran last",
        expr=f'max by ($exported) (<{NHC_AT}>) or max by ($exported) (<{_MTIME} file=~".*nhc.*">)',
    ),
    Query(
        name="diag", by=("node", "level"), host=_HOST, series=(DIAG,), asked=_ASKED,
        about="what `dcgmi diag` of a level came to: 1 is pass, anything else is not",
        expr=f"min by ($exported, level) (<{DIAG}>)",
    ),
    Query(
        name="diag_failed", by=("node", "level", "test"), host=_HOST, series=(DIAG,), asked=_ASKED,
        about="which tests of `dcgmi diag` failed, where there is a series a test",
        expr=f'count by ($exported, level, test) (<{DIAG} test!=""> != 1)',
    ),
    Query(
        name="diag_at", unit="s", by=("node", "level"), host=_HOST, asked=_ASKED,
        series=(DIAG_AT, f"{_MTIME} of a file with diag in its name"), about="when `dcgmi diag` ran last",
        expr=f'max by ($exported, level) (<{DIAG_AT}>) or max by ($exported) (<{_MTIME} file=~".*diag.*">)',
    ),
    Query(
        name="gpu_health", series=(f"{HEALTH} (off by default)",), asked=_ASKED,
        about="the worst that `dcgmi health` says of a node's GPUs: 0 is well, 10 a warning, 20 a failure",
        expr=f"max by ($host) (<{HEALTH}>)",
    ),
    Query(
        name="gpu_ailing", by=("node", "health_watch"), series=(f"{HEALTH} (off by default)",), asked=_ASKED,
        about="which parts of a node's GPUs `dcgmi health` does not find well",
        expr=f"max by ($host, health_watch) (<{HEALTH}>) > 0",
    ),
)  # fmt: skip
