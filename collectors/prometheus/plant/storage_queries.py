"""The queries of shared file systems: how nodes see them (node_exporter), and their servers (their exporters).

node_exporter sets `node_filesystem_device_error` where statfs fails, and from 5 s on where it hangs: then it leaves the
mount alone until it answers. Lustre's servers are read through lustre_exporter, WEKA's through its own exporter, NFS
servers that do not answer through `node_mountstats_nfs_*` (off by default).
"""

from __future__ import annotations

from collectors.prometheus.query import Query

from . import PlantSource

ERROR, READONLY = "node_filesystem_device_error", "node_filesystem_readonly"
SIZE, AVAIL = "node_filesystem_size_bytes", "node_filesystem_avail_bytes"
LUSTRE, LUSTRE_HEALTH = "lustre_capacity_kibibytes", "lustre_health_check"
WEKA_UP, WEKA_ALL, WEKA_RISK = "weka_num_servers_active", "weka_num_servers_total", "weka_protection"
NFS = "node_mountstats_nfs_operations_major_timeouts_total"

_SHARED = 'fstype=~"$fstypes"'
_BY = "mountpoint, fstype, device"
_MOUNT = ("node", "mountpoint")
_HOST = "node_labels"
_TARGETS = (
    f'count by (fs) (label_replace(max by (target) (<{LUSTRE} component=~"ost|mdt">),'
    ' "fs", "$1", "target", "(.+)-(?:OST|MDT).*"))'
)
#: Placeholder values for the documentation, before anything is known of a site.
WORDS = {"expected": "/scratch"}


def _what(word: str, expr: str) -> str:
    return f'label_replace({expr}, "what", "{word}", "", "")'


SOURCE = PlantSource(name="prom.storage", subject="the shared file systems", reader="storage:StorageReader")
QUERIES: tuple[Query, ...] = (
    Query(
        name="mounts", unit="nodes", by=("mountpoint", "fstype", "device", "what"), series=(ERROR, READONLY),
        about="the shared file systems that nodes have mounted: on how many, and of these those whose view of it hangs "
              "or fails, and those that see it read-only",
        expr=" or ".join((
            _what("all", f"topk($mounts, count by ({_BY}) (<{ERROR} {_SHARED}>))"),
            _what("hung", f"topk($mounts, count by ({_BY}) (<{ERROR} {_SHARED}> == 1))"),
            _what("readonly", f"topk($mounts, count by ({_BY}) (<{READONLY} {_SHARED}> == 1))"),
        )),
    ),
    Query(
        name="mounts_of_day", unit="nodes", by=("mountpoint",), series=(ERROR,), asked="each hour",
        about="the most nodes that had a file system mounted at an hour of the last day",
        expr=f"max_over_time((topk($mounts, count by (mountpoint) (<{ERROR} {_SHARED}>)))[1d:1h])",
    ),
    Query(
        name="mount_nodes", unit="nodes", by=(), series=(ERROR,),
        about="the nodes whose mounts are reported at all", expr=f"count(count by ($exported) (<{ERROR}>))",
    ),
    Query(
        name="mount_space", unit="bytes", by=("mountpoint", "what"), series=(SIZE, AVAIL), high=1e21,
        about="size and free space of the shared file systems, as any node sees them",
        expr=_what("size", f"topk($mounts, max by (mountpoint) (<{SIZE} {_SHARED}>))")
             + " or " + _what("avail", f"topk($mounts, min by (mountpoint) (<{AVAIL} {_SHARED}>))"),
    ),
    Query(
        name="mounts_hung", by=_MOUNT, series=(ERROR,), host=_HOST,
        about="the nodes on which a shared file system hangs or fails",
        expr=f"topk($most, <{ERROR} {_SHARED}> == 1)",
    ),
    Query(
        name="mounts_missing", by=_MOUNT, series=(ERROR,), host=_HOST,
        asked="each reading, for each file system that nodes should have",
        about="nodes that report their mounts, without this one",
        expr=f'label_replace(topk($most, count by ($exported) (<{ERROR}>) unless on ($exported) '
             f'<{ERROR} mountpoint="$expected">), "mountpoint", "$expected", "", "")',
    ),
    Query(
        name="mounts_sampled", unit="s", by=(), series=(ERROR,),
        about="when the newest sample of a mount was taken", expr=f"max(timestamp(<{ERROR} {_SHARED}>))",
    ),
    Query(
        name="storage_targets", unit="targets", by=("fs", "what"), series=(LUSTRE, LUSTRE_HEALTH, WEKA_UP, WEKA_ALL),
        about="targets or servers behind a file system that answer, and of WEKA's all; unhealthy ones of Lustre's",
        expr=" or ".join((
            _what("up", _TARGETS),
            _what("up", f'max by (fs) (label_replace(<{WEKA_UP}>, "fs", "$1", "cluster", "(.*)"))'),
            _what("all", f'max by (fs) (label_replace(<{WEKA_ALL}>, "fs", "$1", "cluster", "(.*)"))'),
            _what("risk", f'sum by (fs) (label_replace(<{WEKA_RISK} numFailures!="0"> > 0,'
                          ' "fs", "$1", "cluster", "(.*)"))'),
            _what("ill", f"count(<{LUSTRE_HEALTH}> == 0)"),
        )),
    ),
    Query(
        name="storage_targets_of_day", unit="targets", by=("fs",), series=(LUSTRE,), asked="each hour",
        about="the most targets of a Lustre file system that answered at an hour of the last day",
        expr=f"max_over_time(({_TARGETS})[1d:1h])",
    ),
    Query(
        name="nfs_silent", unit="nodes", by=("export",), series=(f"{NFS} (off by default)",),
        about="NFS exports of which nodes had requests run into a major time-out in the last ten minutes, and how many "
              "nodes",
        expr=f"count by (export) (sum by ($exported, export) (<{NFS}> - <{NFS}> offset 10m) > 0)",
    ),
    Query(
        name="node_mounts", by=("node", "mountpoint", "fstype", "device"), series=(ERROR,), host=_HOST,
        asked="for the node on the screen", about="the shared file systems of some nodes, and whether they hang",
        expr=f"<{ERROR} {_SHARED}>",
    ),
)  # fmt: skip
