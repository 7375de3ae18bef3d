"""What may change about a target between preview and confirmation, and the default rule for each change (exceptions:
`Action.drift`). Data only; `console.actions.drift.find_drift` finds the changes.

A target is dropped if the harm grew or another person changed it. It is confirmed again if the action became safer or
more needed. It is sent if the harm shrank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Drift = Literal[
    "gone", "no_effect", "kills", "edited", "value", "reason", "reboot", "undrained", "returned", "new_job",
    "next_down", "next_resume", "other_job", "restarted", "requeued", "started", "held", "silenced",
]  # fmt: skip
#: `goes`: it is sent as confirmed. `asks`: it is not sent; the change is shown in a new preview. `drops`: it is not
#: sent, and that is reported.
DriftRule = Literal["goes", "asks", "drops"]

RULES: Mapping[Drift, DriftRule] = {
    "gone": "drops",  # Slurm no longer lists it, the alert is over
    "no_effect": "drops",  # the action would do nothing there now, or Slurm would refuse (`Action.refuse`)
    "kills": "drops",  # it would kill jobs now, and did not in the preview
    "edited": "drops",  # another person changed the partition, the reservation, the user or the silence
    "value": "drops",  # another person changed the value that the action sets
    "reason": "drops",  # the node has a new reason that speaks against the action (`drift.reason_replaced`)
    "reboot": "goes",  # a reboot of the node was requested
    "undrained": "goes",  # another person undrained the node
    "returned": "goes",  # the node was out of service, and is back
    "new_job": "drops",  # a job started on a node whose jobs are killed
    "next_down": "asks",  # it would come back DOWN from the reboot, not in service: it went out meanwhile
    "next_resume": "drops",  # it would come back in service from the reboot, not DOWN
    "other_job": "drops",  # the id belongs to the job of another user now
    "restarted": "drops",  # the job was requeued and runs again: other work than in the preview
    "requeued": "drops",  # the job was requeued and waits
    "started": "goes",  # the job waited, and runs
    "held": "goes",  # the job was held, or held for another reason
    "silenced": "drops",  # another silence of the alert began
}

#: For actions that take out a node that may be out already: another person returned it, or it is healthy again. For a
#: drain the latter asks instead, since a drain may be meant for such a node.
TAKES_OUT: Mapping[Drift, DriftRule] = {"undrained": "drops", "returned": "drops"}
DRAINS: Mapping[Drift, DriftRule] = {**TAKES_OUT, "returned": "asks"}
#: For actions that return a node: they would cancel a reboot that another person requested.
PUTS_BACK: Mapping[Drift, DriftRule] = {"reboot": "drops"}
#: For actions that end a job: a job that waits again loses nothing; one that has started would lose its work.
ENDS_JOB: Mapping[Drift, DriftRule] = {"requeued": "asks", "started": "drops"}
#: For values set on a waiting job: it waits again.
WAITS: Mapping[Drift, DriftRule] = {"requeued": "asks"}
#: For a time limit: its effect on a running job differs from that on a waiting one.
LIMITS: Mapping[Drift, DriftRule] = {"requeued": "asks", "started": "asks"}
#: For actions that weaken or end a hold: another person, or Slurm, holds the job now.
EASES_HOLD: Mapping[Drift, DriftRule] = {"held": "drops"}
