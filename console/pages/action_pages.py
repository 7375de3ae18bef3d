"""docs/actions.md: every action: what it sends over each transport, its confirmation and refusals, and how
to undo it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from collectors.alertmanager.requests import INCIDENT
from collectors.alertmanager.requests import requests_of as alert_orders
from collectors.model import TAKEN, Change, Matcher, NewSilence
from collectors.slurm import operations, transport
from collectors.slurm.native.requests import calls as native_calls
from collectors.slurm.rest import requests as rest
from console.actions import incident
from console.actions.action import Action
from console.actions.drift_rules import Drift, DriftRule
from console.actions.incident import DURATION_S
from console.actions.registry import ACTIONS
from console.config.privileges import NEEDS

#: Targets of the examples.
REASON = "bad DIMM"
_TARGETS: Mapping[str, tuple[str, ...]] = {
    "node": ("gpu0001", "gpu0002"), "job": ("4711", "4712"), "alert": ("6e2d4a5b8c1f0937",),
    "silence": ("3f1c09aa-7c31-4a52-9d7e-5b8e0c4f6a21",), "partition": ("gpu",), "reservation": ("maint",),
    "user": ("alice",),
}  # fmt: skip
#: Changes of a target between preview and send: the kinds of targets, and the text.
_DRIFTS: Mapping[Drift, tuple[str, str]] = {
    "gone": ("", "Slurm no longer lists it; the alert or the silence is over"),
    "no_effect": ("", "the action would do nothing there now, or Slurm would refuse"),
    "kills": ("node", "it would kill jobs now, and did not in the preview"),
    "new_job": ("node", "a job started on a node whose jobs are killed"),
    "reason": ("node", "the node has a new reason: of a person; for what puts it back also of an automation"),
    "returned": ("node", "the node was out of service, and is back"),
    "undrained": ("node", "another person undrained the node"),
    "reboot": ("node", "another person requested a reboot"),
    "next_down": ("node", "the node went out of service, and would come back DOWN from its reboot"),
    "next_resume": ("node", "it would come back in service from its reboot, not DOWN as shown"),
    "other_job": ("job", "the id belongs to the job of another user now"),
    "requeued": ("job", "the job was requeued and waits"),
    "restarted": ("job", "the job was requeued and runs again"),
    "started": ("job", "the job waited, and runs"),
    "held": ("job", "the job was held, or is held for another reason"),
    "silenced": ("alert", "another silence of the alert began"),
    "edited": ("silence partition reservation user", "another person changed it"),
    "value": ("", "another person changed the value that the action sets"),
}
_HEAD = """\
# Actions

Everything that changes the machine, from the table of actions and the code that spells what is sent (`make docs`). Any
way to an action (key, mouse, palette, `:` command, `wacht act`, undo) goes through one gate: it freezes the targets,
shows who is affected, asks, reads the targets again, writes the intent, sends once, and a later reading gives the
outcome. [on-call.md](on-call.md) has the pre-flights and figures, [keys.md](keys.md) all keys and how to move them.

**Confirmation.** `y` answers for one target of what loses nothing; for more, and always where the table says *count*,
the count of targets is typed. Where too much of a partition would go out, its name is typed too (break-glass).

**Rights.** wacht asks for none beyond yours. A key that Slurm would refuse is grey, and `?` says why.

"""


def page() -> str:
    """The whole page."""
    lines = [
        _HEAD.rstrip() + "\n",
        "| key | action | targets | asks for | taken back by | needs |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {_key(one)} | [{one.id}](#{one.id}) | {one.kind}s | {_asks(one)} | {_back(one)} | {_needs(one)} |"
              for one in ACTIONS]  # fmt: skip
    lines += ["\nJobs of one's own need no level, but for lifting an administrator's hold and for a higher priority."
              " Which transports can do what with which version: [slurm.md](slurm.md).\n"]  # fmt: skip
    lines += [*_changed()]
    for action in ACTIONS:
        lines += [f"## {action.id}\n", f"{_key(action)}, `:{action.id} TARGETS{_typed(action)}`, "
                  f"`wacht act {action.id}`: {action.help}.\n"]  # fmt: skip
        lines += [*_sent(action)]
        if action.left_alone:
            lines.append(f"Left alone: {action.left_alone}.\n")
        if action.irreversible:
            lines.append(action.irreversible[0].upper() + action.irreversible[1:] + ".\n")
    lines += ["## Rights\n", "| way | to | least |", "|---|---|---|"]
    lines += [f"| {one.way} | {one.to} | {one.least} |" for one in NEEDS if "read" not in one.to.split()[0]]
    return "\n".join(lines).rstrip() + "\n"


def _changed() -> Iterator[str]:
    """What happens to a target that changed between preview and send."""
    yield "## Changed since the preview\n"
    yield (
        "Just before sending the targets are read again. More harm than was shown, and another person's change, drop a"
        " target, and that is said. What makes the action safer or more needed is shown and asked again: in the console"
        " as a new preview, by `wacht act` at its terminal. An answer given in advance (`--yes`, `--count N`) does for"
        " the new question where it asks for no more; else nothing is sent to these targets, and it says what changed"
        " and which answer goes on. Less harm than was shown stops nothing.\n"
    )
    yield "| change | asked again | dropped |"
    yield "|---|---|---|"
    for drift, (kinds, words) in _DRIFTS.items():
        those = [one for one in ACTIONS if one.kind in kinds.split() or not kinds]
        those = [one for one in those if (drift != "value" or one.value is not None) and _can(one, drift)]
        yield f"| {words} | {_ruled(those, drift, 'asks')} | {_ruled(those, drift, 'drops')} |"
    yield ""


def _can(action: Action, drift: Drift) -> bool:
    """Whether this change can happen to this action's targets."""
    match drift:
        case "next_down" | "next_resume":
            return "next_state" in action.option_fields
        case "new_job" | "kills":
            return action.takes_out
    return True


def _ruled(actions: Sequence[Action], drift: Drift, rule: DriftRule) -> str:
    those = [one.id for one in actions if one.rule(drift) == rule]
    if len(those) == len(actions) > 3:
        return "all"
    left = [one.id for one in actions if one.rule(drift) != rule]
    if len(those) > len(left) > 0:
        return f"all but {', '.join(left)}"
    return ", ".join(those) or "—"


def _key(action: Action) -> str:
    return f"`{action.key}`" if action.key else "—"


def _typed(action: Action) -> str:
    return " VALUE" * (action.value is not None) + " REASON" * action.needs_reason


def change(action: Action, **more: object) -> Change:
    """An example change of the action."""
    targets = _TARGETS[action.kind]
    given: dict[str, object] = {
        "action": action.id,
        "operation": action.operation,
        "kind": action.kind,
        "targets": targets,
    }
    if action.needs_reason and action.kind == "node":
        given["reason"] = REASON
    if action.sample:
        given["values"] = dict.fromkeys(targets, action.sample)
    given["settings"] = action.sample_settings
    if "next_state" in action.option_fields:
        given["next_state"] = dict.fromkeys(targets, "RESUME")
    if action.kind == "alert":
        matchers = tuple(Matcher(name=name, value=value, regex=False, equal=True)
                         for name, value in (("alertname", "NodeDown"), ("node", "gpu0001")))  # fmt: skip
        settings = TAKEN.strip(": ") if action.marks_taken else REASON
        seconds = 3600 if action.marks_taken else 14_400
        given["silences"] = (
            NewSilence(alerts=targets, matchers=matchers, seconds=seconds, by="alice", comment=settings),
        )
    if action.creates is incident.CREATION:
        mark = (Matcher(name=INCIDENT, value="R07-R10"),)
        settings = f"incident R07-R10: {REASON} nodes gpu[0001-0002]"
        given["silences"] = (NewSilence(alerts=(), matchers=mark, seconds=DURATION_S, by="alice", comment=settings),)
    return Change(**{**given, **more})  # type: ignore[arg-type]


def native(one: Change) -> str:
    """The calls that pyslurm gets for this change, as text; or why pyslurm cannot make it."""
    if refused := transport.unsupported_targets("native", one):
        return f"no: {next(iter(refused.values()))}"
    return "; ".join(shlex.join(["write_worker", *words]) for words, _ in native_calls(one, one.targets))


def _sent(action: Action) -> Iterator[str]:
    for said, more in [("", {}), *action.samples]:
        one = change(action, **more)
        yield f"{said[:1].upper()}{said[1:]}:\n" if said else f"For {_for(action)}:\n"
        yield "```"
        if action.result_kind not in {"alert", "silence"}:
            for words, _ in operations.calls(one):
                yield f"cli      {shlex.join(words)}"
            yield from (f"rest     {line}" for line in _rest(one))
            yield f"native   {native(one)}"
        else:
            for order in alert_orders(one, "https://alertmanager.example"):
                yield shlex.join(order.argv)
        yield "```\n"
        if action.result_kind in {"alert", "silence"}:
            how = "DELETE /api/v2/silence/ID" if action.kind == "silence" else "POST /api/v2/silences"
            yield f"It is sent as `{how}`; the line above does the same by hand.\n"


def _rest(one: Change) -> list[str]:
    if refused := transport.unsupported_targets("rest", one):
        return [f"no: {next(iter(refused.values()))}"]
    limits = (limit for limit in transport.LIMITS if limit.transport == "rest" and limit.what == one.operation)
    limit = next(limits, None)
    note = ""
    if limit is not None:  # only some can
        note = f"   (from v0.0.{limit.since} on)" if limit.since else "   (only where slurmdbd keeps the accounts)"
    return [f"{order.method} /slurm/v0.0.N/{order.path} {order.sent.decode()}{note}" for order in rest.requests_of(one)]


def _for(action: Action) -> str:
    return f"two {action.kind}s" if action.kind in {"node", "job"} else f"one {action.kind}"


def _asks(action: Action) -> str:
    count = action.danger == "kills" or action.count_confirmed
    words = ["a reason"] * action.needs_reason + ["the count"] * count
    words += ["its name where it holds most of the machine"] * action.name_confirmed
    words += [f"a {action.value.noun}"] if action.value is not None else []
    return ", ".join(words) or "y"


def _back(action: Action) -> str:
    return f"`Z`: {action.inverse}" if action.inverse else "nothing"


def _needs(action: Action) -> str:
    return action.admin_level or "what the proxy before Alertmanager asks"
