"""Plans as the gate makes them, and the lines of their preview."""

from __future__ import annotations

import msgspec

from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.gate.planning import make_plan, with_reason
from console.gate.preview import rows
from console.health.xid_policy import default_policy
from console.preflight.checks import PreflightReads
from tests.support.make import NOW


def plan(cluster, action, targets=None, why=None, checks=None, extra=None, guard=None, **options):
    """A plan as the gate makes it, without its commands."""
    kind = f"{BY_ID[action].kind}s"
    made = make_plan(BY_ID[action], list(getattr(cluster, kind)) if targets is None else targets, cluster, NOW, 500.0,
                     guard or Guard(), default_policy(), Options(**options), extra or PreflightReads())  # fmt: skip
    assert isinstance(made, Plan), made
    made = with_reason(made, why, "jdv")
    return made if checks is None else msgspec.structs.replace(made, checks=tuple(checks))


def lines(made, label=None, cells=None):
    """What stands under a label; all lines without one. `cells` is how wide the screen is."""
    found, under = [], ""
    for row in rows(made, cells):
        under = row.label or under
        if label is None or under == label:
            found.append(row.text)
    return found
