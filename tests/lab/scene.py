"""A small cluster in every state worth seeing: drained, down, busy and completing nodes, jobs waiting for each reason.

Made for the recordings; tests that want a furnished lab can call `furnish` on one of 16 nodes or more.
"""

from __future__ import annotations

from dataclasses import dataclass

from .place import wait_for
from .slurm import RESERVATION, Lab

FENCE = "QWERTYUIOPASDFGH"
"""The fence of the recordings. One hostile name contains it, which a fresh fence per call makes impossible in life."""

HOSTILE_NAMES = {
    "newline": "evil\n99999|RUNNING|root|x|gpu|x|1|1|x|x|x|0|1|0|0|1:00|None|gpu0001|forged",
    "fence": f"half{FENCE[:8]} other ASDFGHJKLQWERTYU",
    "escape": "red\x1b[31;5m\x1b[2Jalarm\x07",
    "osc52": "clip\x1b]52;c;ZXZpbA==\x07board",
    "markup": "[bold red]x[/] [/] [@click=app.quit]y[/]",
    "bidi": "abc\u202egnp.exe\u2066\u200b\u0301\u0301",
    "return": "over\rwritten\ttab",
    "bytes": "latin\udce9\udcff",  # two bytes that are no UTF-8
    "long": "long-" + "x" * 995,
    "wide": "训练🚀 モデル",
    "pipe": "a|b|c||d",
    "empty": "",
}
HOSTILE_REASON = "evil State=IDLE\nNodeName=gpu0001 Arch=x State=DOWN \x1b[31m [/] x=y"
HOSTILE_COMMENT = "first\nNodeName=gpu0002 Arch=x86_64 State=DOWN Reason=forged [root@0]"


@dataclass(frozen=True, slots=True)
class Scene:
    """The ids that a recording asks for by name."""

    running: str
    pending: str
    array: str
    completing: str


def furnish(lab: Lab) -> Scene:
    """Bring a fresh lab into the scene (about 4 s). Raises LabError when it does not come out as meant."""
    _nodes(lab)
    deaf = lab.submit(user="bob", name="deaf", partition="long", script="trap '' TERM; sleep 600 & wait; sleep 600")[0]
    running = lab.submit(user="alice", nodes=2, name="train-llm", account="ml", comment="epoch 3")[0]
    lab.submit(user="bob", nodes=1, gpus=1, name="notebook", partition="debug", time_limit="20:00")
    lab.submit(user="bob", nodes=1, gpus=2, name="eval")
    array = lab.submit(user="alice", array="0-5%2", gpus=4, name="sweep", account="ml")[0]
    on_drained = lab.submit(user="bob", nodes=1, name="on-draining", nodelist="gpu0009")[0]
    wait_for(
        lambda: "" if {lab.job_states().get(i) for i in (running, on_drained, deaf)} == {"RUNNING"} else "idle", 20
    )
    _update_node(lab, "gpu0009", "State=DRAIN", "Reason=NHC: check_gpu_count failed (7 of 8)")
    pending = _waiting(lab, running)
    for name in HOSTILE_NAMES.values():
        lab.submit(user="bob", name=name, nodes=14)
    _settle(lab)
    lab.check(["scancel", deaf])  # ignores SIGTERM, so it stays COMPLETING for KillWait (5 s)
    return Scene(running, pending, array, deaf)


def _nodes(lab: Lab) -> None:
    _update_node(lab, "gpu0010", "State=DRAIN", "Reason=bad DIMM B2, ticket #4711")
    _update_node(lab, "gpu0011", "State=DOWN", "Reason=PSU dead")
    _update_node(lab, "gpu0012", "State=DRAIN", f"Reason={HOSTILE_REASON}")
    _update_node(lab, "gpu0013", f"Comment={HOSTILE_COMMENT}", "Extra=rack=7\nslot=3")
    _update_node(lab, "gpu0014", "State=DRAIN", "Reason=Kill task failed")
    lab.stop_nodes(["gpu0015"])
    _update_node(lab, "gpu0015", "State=DOWN", "Reason=Not responding")


def _update_node(lab: Lab, node: str, *words: str) -> None:
    lab.check(["scontrol", "update", f"NodeName={node}", *words])


def _waiting(lab: Lab, running: str) -> str:
    """One job for each reason to wait; returns the one that waits for Resources."""
    first = lab.submit(user="alice", nodes=7, name="big", account="ml")[0]
    lab.submit(3, user="bob", nodes=6, name="next")
    lab.submit(user="bob", name="after", dependency=f"afterok:{running}")
    lab.submit(user="alice", name="held-by-owner", hold=True)
    held = lab.submit(user="bob", name="held-by-admin", nodes=6)[0]
    lab.check(["scontrol", "hold", held])
    lab.submit(user="alice", name="tonight", begin="now+6hours")
    lab.submit(user="bob", name="wants-drained", nodelist="gpu0010")
    lab.submit(user="bob", name="meets-maintenance", nodelist="gpu0016", partition="long", time_limit="2-00:00:00")
    lab.submit(user="root", name="in-reservation", reservation=RESERVATION, partition="long")
    lab.submit(user="alice", name="too-long", partition="debug", time_limit="10:00:00")
    again = lab.submit(user="alice", name="requeued", gpus=1)[0]
    wait_for(lambda: "" if lab.job_states().get(again) == "RUNNING" else "the job to requeue does not run", 60)
    lab.check(["scontrol", "requeuehold", again])
    return first


def _settle(lab: Lab) -> None:
    """Reasons are written by the schedulers' next passes: wait until those that the recording needs are there."""
    needed = {"Resources", "Priority", "Dependency", "JobHeldUser", "JobHeldAdmin", "BeginTime", "JobArrayTaskLimit"}

    def missing() -> str:
        seen = lab.check(["squeue", "-h", "-a", "-r", "-t", "PENDING", "-O", "Reason:|,Name:END"])
        reasons = {row.split("|")[0].strip().split(",")[0] for row in seen.split("END\n")}
        lacking = needed - reasons
        return f"no job waits for {', '.join(sorted(lacking))}: only {reasons}" if lacking else ""

    wait_for(missing, 60)
