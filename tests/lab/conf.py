"""The configuration of one lab: slurm.conf, gres.conf and cgroup.conf as text; which node stands where."""

from __future__ import annotations

from dataclasses import dataclass

GPUS_PER_NODE = 8
CPUS_PER_NODE = 112
HOST = "labctl"
"""The host name that all daemons of a lab believe to run on (its own UTS namespace)."""


def node_name(number: int) -> str:
    """`gpu0001` for 1; five digits would sort wrongly beside it, so 12,000 nodes still read gpu12000."""
    return f"gpu{number:04d}"


def node_range(first: int, last: int) -> str:
    """A folded set as Slurm writes it: `gpu[0001-0064]`, `gpu0007`."""
    return node_name(first) if first == last else f"gpu[{first:04d}-{last:04d}]"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which nodes stand where, as (first, last) numbers."""

    gpu: tuple[int, int]
    debug: tuple[int, int]
    long: tuple[int, int]
    reserved: tuple[int, int]


def layout(nodes: int) -> Layout:
    """All but the last eighth in `gpu`; `debug` overlaps its head, `long` its tail; the last of all get reserved."""
    tail = max(1, nodes // 8)
    return Layout(
        gpu=(1, max(1, nodes - tail)),
        debug=(1, max(1, nodes // 16)),
        long=(max(1, nodes - 2 * tail + 1), nodes),
        reserved=(max(1, nodes - max(1, nodes // 32) + 1), nodes),
    )


@dataclass(frozen=True, slots=True)
class Spec:
    """What a lab shall be."""

    cluster: str
    nodes: int
    port: int  # slurmctld's; node k listens on port + k
    slurmd: bool
    max_jobs: int
    place: str  # /lab/NAME, as seen in the chroot
    extra: str = ""
    dbd_port: int | None = None
    """slurmdbd's; None is a lab without accounting."""


def slurm_conf(spec: Spec) -> str:
    """slurm.conf. Without slurmd all nodes share one port on which nobody listens, and Slurm never gives up on them."""
    where = layout(spec.nodes)
    ports = f"[{spec.port + 1}-{spec.port + spec.nodes}]" if spec.slurmd and spec.nodes > 1 else str(spec.port + 1)
    common = (
        f"NodeHostname={HOST} NodeAddr=127.0.0.1 Port={ports} CPUs={CPUS_PER_NODE} Boards=1 SocketsPerBoard=2 "
        f"CoresPerSocket={CPUS_PER_NODE // 2} ThreadsPerCore=1 RealMemory=2000000 "
        f"Gres=gpu:h100:{GPUS_PER_NODE} State=UNKNOWN"
    )
    accounting = ""
    if spec.dbd_port:
        accounting = (
            f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost={HOST}\n"
            f"AccountingStoragePass={spec.place}/munge/socket\nAccountingStoragePort={spec.dbd_port}\nAccountingStorageTRES=gres/gpu\n"
        )
    return f"""\
ClusterName={spec.cluster}
SlurmctldHost={HOST}(127.0.0.1)
SlurmctldPort={spec.port}
AuthType=auth/munge
AuthInfo=socket={spec.place}/munge/socket
CredType=cred/munge
SlurmUser=slurm
StateSaveLocation={spec.place}/state
SlurmctldPidFile={spec.place}/run/slurmctld.pid
SlurmdPidFile={spec.place}/run/%n.pid
SlurmdSpoolDir={spec.place}/spool/%n
SlurmctldLogFile={spec.place}/log/slurmctld.log
SlurmdLogFile={spec.place}/log/%n.log
SlurmctldDebug=info
SlurmdDebug=error
SlurmdParameters=config_overrides
SlurmdTimeout={300 if spec.slurmd else 0}
ReturnToService=1
RebootProgram={spec.place}/reboot
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
PriorityType=priority/basic
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=17000
DefCpuPerGPU=14
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,bf_max_job_test=1000,sched_min_interval=100000
GresTypes=gpu
MaxArraySize={max(10_001, spec.max_jobs + 1)}
MaxJobCount={2 * spec.max_jobs + 10_000}
JobRequeue=1
KillWait=5
NodeName={node_range(1, spec.nodes)} {common}
PartitionName=gpu Nodes={node_range(*where.gpu)} Default=YES DefaultTime=1:00:00 MaxTime=2-00:00:00 State=UP
PartitionName=debug Nodes={node_range(*where.debug)} DefaultTime=10:00 MaxTime=30:00 PriorityTier=10 State=UP
PartitionName=long Nodes={node_range(*where.long)} DefaultTime=1-00:00:00 MaxTime=14-00:00:00 State=UP
{accounting}{spec.extra}"""


def slurmdbd_conf(spec: Spec) -> str:
    """slurmdbd.conf. The database is found by MYSQL_UNIX_PORT: Slurm itself has no word for a socket's path."""
    return f"""\
AuthType=auth/munge
AuthInfo=socket={spec.place}/munge/socket
DbdHost={HOST}
DbdPort={spec.dbd_port}
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm
LogFile={spec.place}/log/slurmdbd.log
PidFile={spec.place}/run/slurmdbd.pid
"""


def gres_conf(spec: Spec) -> str:
    """A GRES without device files is ignored and its node goes INVALID_REG, so every GPU is a /dev/null of its own."""
    if not spec.slurmd:  # nobody opens them
        return ""
    return f"Name=gpu Type=h100 File={spec.place}/dev/nvidia[0-{GPUS_PER_NODE - 1}]\n"


CGROUP_CONF = "CgroupPlugin=disabled\n"


def reboot_script(spec: Spec) -> str:
    """What slurmd runs as RebootProgram: its node is gone for a second and comes back with a newer boot time.

    slurmd tells the script no name before 26.05, so it is read from the slurmd above it. That one ends the script's
    process group as soon as the script ends (26.05): the rest must have a session of its own before.
    """
    return f"""\
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
pid=$PPID
until node=$(grep -zxA1 -e -N "/proc/$pid/cmdline" | tail -zn1 | tr -d '\\0') && [ "$node" ]; do
    pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    [ "$pid" ] || exit 1
done
export node
read -r < <(exec setsid /bin/bash -c '
    echo "$node"
    exec >>{spec.place}/log/reboot.log 2>&1 </dev/null
    sleep 0.2  # slurmd still has to answer the controller
    kill -9 "$(cat "{spec.place}/run/$node.pid")"
    sleep 1  # boot times are whole seconds
    exec slurmd -f {spec.place}/slurm.conf -N "$node" -b')
"""
