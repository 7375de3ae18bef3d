"""docs/states.md: the meaning of each state word, sign and colour of nodes and jobs, and the possible actions."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Cluster, Job, Node
from collectors.nodestate import DISPLAYS, UNAVAILABLE, display_word, parse_state
from console.actions.registry import keys_for
from themes.roles import JOB_LOOK, STATE_LOOK, UNKNOWN_JOB_LOOK, UNKNOWN_STATE_LOOK

#: Display word to the Slurm states shown so, and the meaning.
NODES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "down": (("DOWN", "DOWN*", "DOWN+DRAIN"), "Slurm has given it up, or a user set it down"),
    "failed": (("IDLE+FAIL",), "marked as failed, no job is left"),
    "invalid": (("IDLE+DRAIN+INVALID_REG",), "it registered with less than slurm.conf says: fewer GPUs, less memory"),
    "unknown": (("UNKNOWN", "ALLOCATED*", "ERROR"), "Slurm does not know, or it works and has stopped answering"),
    "drained": (("IDLE+DRAIN",), "taken out of service, no job is left"),
    "draining": (("MIXED+DRAIN", "ALLOCATED+DRAIN", "IDLE+COMPLETING+DRAIN"), "no new work, jobs still run"),
    "failing": (("ALLOCATED+FAIL",), "marked as failed, jobs still run"),
    "rebooting": (
        ("DOWN^", "IDLE^", "IDLE@"),
        "a reboot was issued, or waits for nothing more; down once it is overdue (`slurm.reboot_s`)",
    ),
    "resuming": (("IDLE*",), "resumed, its slurmd has not registered yet"),
    "powering": (("IDLE#", "IDLE%"), "on its way up or down, by Slurm's power saving"),
    "powered off": (("IDLE~", "IDLE!"), "off by Slurm's power saving: work wakes it"),
    "maintenance": (("IDLE$", "ALLOCATED$"), "in a reservation for maintenance"),
    "completing": (("IDLE+COMPLETING", "MIXED+COMPLETING"), "a job is ending: its processes or the epilog"),
    "reserved": (("IDLE+RESERVED",), "idle, and held for a reservation"),
    "planned": (("IDLE-",), "idle, and kept by the scheduler for a job that comes"),
    "blocked": (("IDLE+BLOCKED",), "idle, and kept free by a job that runs alone in its topology"),
    "mixed": (("MIXED",), "jobs hold a part of it"),
    "allocated": (("ALLOCATED",), "jobs hold all of it"),
    "idle": (("IDLE",), "free"),
    "future": (("FUTURE",), "in slurm.conf for later; it is not there"),
}
#: Job state to its meaning.
JOBS: Mapping[str, str] = {
    "RUNNING": "it runs",
    "PENDING": "it waits; the last column says why",
    "COMPLETING": "it is ending",
    "CONFIGURING": "its nodes are being made ready, or powered up",
    "STAGE_OUT": "its files are being written back",
    "SUSPENDED": "stopped, and keeps its nodes",
    "STOPPED": "stopped by a signal, and keeps its CPUs",
    "REQUEUED": "on its way back into the queue",
    "REQUEUE_HOLD": "back in the queue, and held",
    "SPECIAL_EXIT": "back in the queue, and held, marked by the site",
    "HELD": "it waits and is held: Slurm says PENDING with a reason such as JobHeldAdmin, or priority 0",
    "COMPLETED": "it ended well",
    "CANCELLED": "a user ended it",
    "FAILED": "it ended with another code than 0",
    "TIMEOUT": "its time limit ended it",
    "NODE_FAIL": "it died with a node",
    "OUT_OF_MEMORY": "it asked for more memory than it had",
    "BOOT_FAIL": "its nodes did not come up",
    "DEADLINE": "it could not end before its deadline",
    "PREEMPTED": "another job took its place",
    "REVOKED": "another cluster of the federation runs it",
}
_HEAD = """\
# States

What the console shows of a node and of a job: always a sign, a word and a colour, so that none of them alone has to be
understood. Made by `make docs` from the code that reads, paints and refuses; a test shows each state of Slurm's to it.

## Nodes

Since 20.02 a node of Slurm's has one base state and any number of flags. The word is the worst that is true of it; the
list is in the order of totals, worst first. "Out" counts as out of service: no new work starts there. *Keys* are the
actions that would do something on a node that is only this; where a job is hit, how, says the preview.

| sign | word | Slurm says, for example | what it means | out | keys |
|---|---|---|---|---|---|
"""
_SUFFIXES = """
Behind a state `sinfo` puts a sign of its own: `*` does not answer, `~` powered off, `#` powering up, `%` powering down,
`!` to be powered off, `$` maintenance, `@` reboot asked for, `^` reboot issued, `-` planned. A flag that this version
does not know is kept and shown on the node's own screen. A word that has no sign yet is shown as"""
_LATER = """
While an action is under way the row says what is being done (`draining…`) until a reading proves it; see
[on-call.md](on-call.md). Facts of a source that failed or is late stay, dimmed, with their age in the top line: a state
that is shown dim is one that was, and nothing is acted on before it was read again.

## The map

On the map of the overview and of the GPU screen ink is where the fault is. A healthy node is a low, dim block: `▃`
allocated, `▂` mixed, `▁` idle. A node at fault is a solid bright cell with a glyph in it: that of its state where the
state is the fault (down, failed, failing, invalid; unknown in amber), else `!` for a fault and `▲` for something to
check that Slurm does not know of: an XID, an alert, an inconsistency, a bad port, whatever the attention list names in
red or amber. A node that was taken out of service (drained, draining, rebooting) keeps the glyph of its state, in
grey: it is known, unless a red line of the list names it. Faults lie over every measure (`m`). Figures have ten steps
of one hue, dim to bright, and the height of the block; a full GPU is no fault. Red and amber are for faults and limits
alone: `°` is a GPU over 85 °C, and in a rack's GPUs `▲` is one that is slowed by heat, a power brake or the hardware.

Where the nodes do not fit, each rack is a tile: the glyph of its worst state and the number of its nodes at fault, as
far as there is room (`+`: ten or more), in a figure the mean of its nodes, for temperature its hottest GPU. 750 racks
fit 120x40. Enter, `z` or a second click opens the rack under the cursor, Esc, `z` or a click on "whole machine" leaves
it.

Why so: three designs were drawn for 64 nodes at 80x24, 1,000 at 200x50 and 12,000 at 120x40, and looked at side by
side: a tall dim wall with solid faults, low dim blocks with bright glyphs, and low dim blocks with solid faults. Of
the light that the map gives off over its ground, faults gave 15, 2 and 27 % in the first, 8, 1 and 13 % in the second,
27, 4 and 41 % in the third, which was kept. In the first the wall competes with the faults, in the second a fault has
less ink than the nodes beside it. In the third the faults are what is seen first, at each size. It was the judgement
of pictures and that figure, not a trial with people.

## Jobs

| sign | state | what it means | keys |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD.rstrip()]
    for word in DISPLAYS:
        said, means = NODES[word]
        slurm = ", ".join(f"`{one}`" for one in said)
        lines.append(f"| {STATE_LOOK[word][0]} | {word} | {slurm} | {means} | {'out' if word in UNAVAILABLE else ''} | "
                     f"{_node_keys(said[0], word)} |")  # fmt: skip
    lines.append(f"{_SUFFIXES} `{UNKNOWN_STATE_LOOK[0]}`.")
    lines.append(_LATER.rstrip())
    lines += [f"| {glyph} | {state} | {JOBS[state]} | {_job_keys(state)} |" for state, (glyph, _) in JOB_LOOK.items()]
    lines.append(f"\nA state that this version does not know has the sign `{UNKNOWN_JOB_LOOK[0]}`.")
    return "\n".join(lines) + "\n"


def _node_keys(text: str, word: str) -> str:
    base, flags = parse_state(text)
    assert display_word(base, flags) == word
    node = Node(name="n", state=base, flags=flags, display=word)
    return _acts("node", node)


def _job_keys(state: str) -> str:
    shown = {"HELD": ("PENDING", "JobHeldAdmin")}.get(state, (state, None))
    return _acts("job", Job(id="1", name="j", user="u", state=shown[0], reason=shown[1]))


def _acts(kind: str, row: Node | Job) -> str:
    none = Cluster(name="none")
    return " ".join(f"`{one.key}`" for one in keys_for("node" if kind == "node" else "job")
                    if one.key and one.refuse(none, row) is None)  # fmt: skip
