"""What is shown before anything is sent, action by action, and that it stays short and readable at 80 columns."""

from __future__ import annotations

import time

import msgspec
import pytest

from collectors.model import Association, Load, Matcher, Partition, Silence, Source, User
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Refusal
from console.actions.registry import BY_ID
from console.gate.planning import make_plan
from console.gate.preview import CHECKS_SHOWN, LABEL, rows, text, title
from console.health.xid_policy import default_policy
from console.preflight.checks import Check, PreflightReads
from console.preflight.sentences import GpuFact
from tests.support import make
from tests.support.make import NOW
from tests.support.previews import lines, plan
from tests.support.yardstick import cost

HOUR = 3600


def site(*nodes, jobs=(), alerts=(), silences=(), **facts):
    source = Source(name="slurm.all", ok=True, read_mono=500.0)
    return make.cluster("groningen", [source], NOW, nodes=nodes, jobs=jobs, alerts=alerts, silences=silences, **facts)


def alert(node="gpu0001", name="NodePowerLost", **more):
    return make.alert(name, node, **more)


def many(number, state="IDLE", **more):
    return [make.node(f"gpu{at:04d}", state, **more) for at in range(1, number + 1)]


# -- the pre-flight ---------------------------------------------------------------------------------------------------


def test_equal_checks_are_one_line_the_worst_come_first_each_with_a_sign_and_a_word():
    made = plan(site(*many(4, "IDLE+DRAIN")), "resume", checks=[
        *(Check(f"gpu000{at}", "ok", "gpus-fit", params={"facts": [(GpuFact.COUNT, (8, 8))]}) for at in (1, 2, 3, 4)),
        Check("gpu0002", "note", "powering-up"), Check("", "unknown", "not-read", ("the telemetry is slow",)),
        Check("gpu0003", "warn", "imex", ("down",)), Check("gpu0004", "bad", "diag", ("fails",)),
    ])  # fmt: skip
    shown = [(row.label, row.text, row.role) for row in rows(made) if row.label[:1] in "✖▲?·✓"]
    assert shown == [
        ("✖ against it", "gpu0004: dcgmi diag fails since it booted", "bad"),
        ("▲ warning", "gpu0003: its IMEX service is not up: down", "warn"),
        ("? unknown", "the telemetry is slow; go on?", "warn"),
        ("· note", "gpu0002: it is powering up", ""),
        ("✓ fine", "all 4: GPUs 8 of 8", "good"),
    ]


def test_one_target_is_not_named_again():
    made = plan(site(make.node()), "drain", why="x", checks=[Check("gpu0001", "note", "powering-up")])
    assert lines(made, "· note") == ["it is powering up"]


def test_a_reboot_is_not_called_off_over_what_speaks_against_the_node():
    """Its drain goes too: the node takes work again, so one y is not enough."""
    cluster = site(make.node(state="MIXED+DRAIN+REBOOT_REQUESTED"), loads=[make_load("gpu0001", gpus_seen=7)])
    action, policy = BY_ID["cancel_reboot"], default_policy()
    refused = make_plan(action, ["gpu0001"], cluster, NOW, 500.0, Guard(), policy, Options(), PreflightReads())
    assert isinstance(refused, Refusal) and refused.can_break_glass and "7 of the 8 GPUs" in refused.why
    made = plan(cluster, "cancel_reboot", break_glass=True)
    assert made.confirmation.kind == "break" and made.needs_reason
    assert lines(made, "✖ against it") == ["7 of the 8 GPUs that Slurm counts are seen"]


def test_too_many_findings_are_counted_and_never_the_worst():
    nodes = many(40, "IDLE+DRAIN")
    found = [Check(one.name, "note", "not-read", (f"note {one.name}",)) for one in nodes]
    found += [Check(one.name, "warn", "not-read", (f"warn {one.name}",)) for one in nodes[:3]]
    made = plan(site(*nodes), "resume", checks=found)
    assert lines(made, "▲ warning", 80) == [f"gpu000{at}: warn gpu000{at}" for at in (1, 2, 3)]
    notes = lines(made, "· note", 80)
    assert len(notes) == CHECKS_SHOWN - 3 + 1 and notes[-1] == "and 31 more: 31 note"
    assert len(lines(made, "· note")) == 40


def brief(made, label):
    shown = rows(made, 76, brief=True)
    at = next(at for at, row in enumerate(shown) if row.label == label)
    after = next((one for one in range(at + 1, len(shown)) if shown[one].label), len(shown))
    return [row.text for row in shown[at:after]]


def test_in_the_dialog_checks_that_differ_in_figures_are_one_line_with_count_and_names():
    nodes = many(8, "IDLE+DRAIN")
    found = [Check(one.name, "note", "not-read", (f"note {one.name}",)) for one in nodes]
    found += [Check(one.name, "ok", "cooling-ok", (f"cdu-{at % 2}",)) for at, one in enumerate(nodes)]
    found += [Check(one.name, "bad", "not-read", (f"bad {one.name}",)) for one in nodes[:2]]
    made = plan(site(*nodes), "resume", checks=found)
    assert brief(made, "· note") == ["all 8: e.g. note gpu0001 (8 variants)"]
    assert brief(made, "✓ fine") == ["all 8: e.g. cooling ok (cdu-0) (2 variants)"]
    assert brief(made, "✖ against it") == ["gpu0001: bad gpu0001", "gpu0002: bad gpu0002"]
    six = plan(site(*nodes), "resume", checks=[Check(one.name, "note", "powering-up") for one in nodes[:6]])
    assert brief(six, "· note") == ["6 nodes, gpu[0001-0006]: it is powering up"]


def test_in_the_dialog_many_jobs_are_one_line_before_the_checks():
    jobs = [make.job(str(at), nodes=f"gpu000{at}", user=f"u{at % 2}", started=int(NOW) - HOUR) for at in range(1, 7)]
    made = plan(site(*many(6, "ALLOCATED"), jobs=jobs), "down", why="x")
    labels = [row.label for row in rows(made, 76, brief=True) if row.label]
    assert labels.index("kills") == labels.index("now") + 1
    assert brief(made, "kills")[0] == "6 jobs of 2 users, 48 GPUs: 48.0 GPU-hours of work at risk"


def test_an_array_is_named_with_the_number_of_its_tasks():
    jobs = [make.job(f"101_{at}", "PENDING") for at in range(6)]
    made = plan(site(jobs=[*jobs, make.job("7", "PENDING")]), "hold", targets=[one.id for one in jobs])
    assert title(made) == "Hold 6 tasks of array 101 on groningen" and lines(made, "array") == ["101: 6 tasks"]


def test_what_speaks_against_it_leaves_the_node_alone_unless_the_glass_is_broken():
    nodes = [make.node("gpu0001", "IDLE+DRAIN"), make.node("gpu0002", "IDLE+DRAIN")]
    loads = {"loads": [make_load("gpu0001"), make_load("gpu0002", gpus_seen=7)]}
    cluster = site(*nodes, **loads)
    assert lines(plan(cluster, "resume"), "left alone") == [
        "1 of 2: gpu0002: 7 of the 8 GPUs that Slurm counts are seen"
    ]
    made = plan(cluster, "resume", break_glass=True)
    first = rows(made)[0]
    assert (first.label, first.role) == ("BREAK GLASS", "bad") and "the pre-flight speaks against it" in first.text
    assert lines(made, "reason") == ["not given yet"] and lines(made, "left alone") == []
    assert lines(made, "✖ against it") == ["gpu0002: 7 of the 8 GPUs that Slurm counts are seen"]


def make_load(name, **more):
    return Load(node=name, sampled_at=int(NOW - 20), **({"gpus_seen": 8, "util_gpus": 8, "gpus_idle": 8} | more))


def test_without_telemetry_a_resume_asks_whether_to_go_on():
    made = plan(site(*many(2, "IDLE+DRAIN")), "resume")
    assert lines(made, "? unknown") == ["all 2: GPUs unknown: no telemetry; go on?"] and not made.skipped


def test_who_drained_it_and_why_is_told_before_a_resume():
    out = make.node(state="IDLE+DRAIN", gpus=0, reason="bad DIMM", reason_by="jdv", reason_at=int(NOW - HOUR))
    made = plan(site(out), "resume")
    assert lines(made, "· note") == ['drained by jdv (human) 1h 00m ago: "bad DIMM"']


# -- what goes out, and comes back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "role", "sign"), [(2, "", "gpu:"), (6, "warn", "▲ gpu:"), (21, "bad", "✖ gpu:")])
def test_the_guard_says_how_bad_a_share_is(number, role, sign):
    made = plan(site(*many(100)), "drain", [f"gpu{at:04d}" for at in range(1, number + 1)], why="x")
    (share,) = [row for row in rows(made) if row.label == "takes out"]
    assert share.role == role and share.text.startswith(sign) and f"{number} of 100 healthy nodes" in share.text
    loud = [row.text for row in rows(made) if row.label == "BREAK GLASS"]
    assert loud == (["✖ it takes 21 % of gpu out, more than 20 %"] if role == "bad" else [])
    lax = plan(site(*many(100)), "drain", [f"gpu{at:04d}" for at in range(1, number + 1)], guard=Guard(share_nodes=50))
    assert next(row for row in rows(lax) if row.label == "takes out").role == ""


def test_a_drain_that_ends_by_itself_says_when_in_two_time_zones():
    made = plan(site(make.node()), "drain", why="x", resume_after_s=2 * HOUR)
    (back,) = lines(made, "comes back")
    assert back.startswith("by itself after 2h 00m, at 2026-11-18 ") and back.endswith(" UTC)") and ":" in back
    assert time.strftime("(%H:%M UTC)", time.gmtime(NOW + 2 * HOUR)) in back


def test_a_reboot_says_how_each_comes_back_and_why():
    drained = make.node("gpu0002", "IDLE+DRAIN", reason="XID 79", reason_by="jdv")
    job = make.job("7", nodes="gpu0001", started=int(NOW - HOUR), time_limit_s=3 * HOUR, node_count=1)
    cluster = site(make.node("gpu0001", "ALLOCATED"), drained, jobs=[job])
    made = plan(cluster, "reboot", why="firmware")
    assert lines(made, "comes back") == [
        "gpu0001: in service (RESUME)", 'gpu0002: DOWN: it is drained by jdv "XID 79"',
    ]  # fmt: skip
    assert "each node reboots after its last job" in lines(made, "running there")[-1]
    assert "within 2h 00m" in lines(made, "running there")[-1]
    asked = [
        row for row in rows(plan(cluster, "reboot", ["gpu0002"], next_state="RESUME")) if row.label == "comes back"
    ]
    assert asked[0].role == "warn" and 'drained by jdv "XID 79" is cleared, as asked' in asked[0].text
    down = plan(cluster, "reboot", ["gpu0001"], next_state="DOWN")
    assert lines(down, "comes back") == ["gpu0001: DOWN, as asked"]


def test_a_reason_that_is_kept_stands_with_its_nodes():
    down = make.node("gpu0002", "DOWN", reason="Not responding", reason_by="slurm")
    made = plan(site(make.node("gpu0001"), down), "drain", why="PDU b")
    assert lines(made, "reason") == ["PDU b", "gpu0002: PDU b [was by slurm: Not responding]"]


def test_a_down_says_how_many_die_and_what_is_lost():
    job = make.job("7", nodes="gpu0001", started=int(NOW - HOUR), node_count=1)
    made = plan(site(make.node(state="ALLOCATED"), jobs=[job]), "down", why="smoke")
    assert lines(made, "▲ warning") == ["1 job dies at once, on all its nodes"]
    assert lines(made, "kills")[-1] == "8.0 GPU-hours of work at risk" and made.confirmation == Confirmation("count", 1)


def test_many_reasons_to_leave_nodes_alone_stay_readable():
    nodes = [make.node(f"gpu{at:04d}", "IDLE+DRAIN", reason=f"reason {at}", reason_by="jdv") for at in range(1, 31)]
    made = plan(site(*nodes, make.node("gpu0099")), "drain", why="x")
    told = lines(made, "left alone", 200)
    assert len(lines(made, "left alone")) == 30
    assert told[0] == '30 of 31: gpu0001: already drained by jdv "reason 1"'
    assert len(told) == 6 and told[-1] == "and 25 more like it"


@pytest.mark.parametrize(("action", "label"), [
    ("down", "kills"), ("reboot-now", "kills"), ("drain", "running there"), ("reboot", "running there"),
    ("powerdown", "running there"),
])  # fmt: skip
def test_jobs_that_are_not_shown_are_unknown_and_never_none(action, label):
    hidden = "unknown on gpu0001: Slurm says that it works, and shows you no job there"
    made = plan(site(make.node(state="MIXED")), action, why="x")
    assert lines(made, label) == [hidden]
    assert lines(plan(site(make.node(state="IDLE")), action, why="x"), label) == ["no job"]
    job = make.job("7", nodes="gpu0002", started=int(NOW - HOUR), time_limit_s=3 * HOUR, node_count=1)
    some = plan(site(make.node(state="MIXED"), make.node("gpu0002", "ALLOCATED"), jobs=[job]), action, why="x")
    assert hidden in lines(some, label) and "7 alice train" in lines(some, label)[0]
    assert some.empty_in_s is None, "nobody knows when the last ends"


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_requeue_shows_the_look_at_the_job_and_the_work_that_is_lost():
    job = make.job("7", nodes="gpu0001", started=int(NOW - 2 * HOUR), node_count=1, restarts=4)
    made = plan(site(jobs=[job]), "requeue")
    assert lines(made, "▲ warning") == ["it was requeued 4 times before"]
    assert lines(made, "? unknown") == ["whether it can be requeued was not read; go on?"]
    assert lines(made, "kills")[-1] == "16.0 GPU-hours of work at risk"


def test_priorities_are_shown_from_and_to():
    jobs = [
        make.job(str(at), "PENDING", reason="Priority", priority=was) for at, was in ((1, 100), (2, 100), (3, None))
    ]
    made = plan(site(jobs=jobs), "priority", value="5000")
    assert lines(made, "priority") == ["1, 2: 100 → 5,000", "3: unknown → 5,000"]
    undone = plan(site(jobs=jobs), "priority", ["1", "2"], values={"1": "7", "2": "8"})
    assert lines(undone, "priority") == ["1: 100 → 7", "2: 100 → 8"]


def test_a_hold_tells_of_the_polite_one():
    made = plan(site(jobs=[make.job("1", "PENDING", reason="Priority")]), "hold")
    assert "U, the user hold, is the polite one" in lines(made, "· note")[0] and lines(made, "kills") == []


def test_a_reservation_and_a_partition_tell_what_is_not_shown():
    hidden = "unknown on gpu0001: Slurm says that it works, and shows you no job there"
    nodes = [make.node(state="MIXED"), make.node("gpu0002", "IDLE", partitions=("debug",))]
    parts = {name: Partition(name=name, state="UP") for name in ("gpu", "debug")}
    cluster = site(*nodes, partitions=parts, reservations={})
    said = {"seconds": HOUR, "settings": {"name": "fw", "start": "now", "flags": "IGNORE_JOBS", "users": "jdv"}}
    assert lines(plan(cluster, "reserve", ["gpu0001"], why="x", **said), "crosses it") == [hidden]
    assert lines(plan(cluster, "reserve", ["gpu0002"], why="x", **said), "crosses it") == ["no job"]
    shut = lines(plan(cluster, "partition-down", ["gpu"], why="x"), "goes on")
    assert shut == ["0 jobs of gpu, until they end: nothing is killed", f"more of gpu: {hidden}"]
    assert len(lines(plan(cluster, "partition-down", ["debug"], why="x"), "goes on")) == 1
    alice = PreflightReads(
        rows={"alice": User(name="alice", cluster="groningen", associations=(Association(account="ml"),))}
    )
    told = lines(plan(cluster, "block", ["alice"], why="x", extra=alice), "goes on")
    assert told[-1] == "whether more goes on is unknown: of what runs on 1 node no job is shown to you"


# -- alerts and silences ----------------------------------------------------------------------------------------------


def test_alerts_go_by_their_names_and_never_by_their_ids():
    eight = [alert(f"gpu{at:04d}") for at in range(1, 9)]
    made = plan(site(alerts=eight), "take")
    assert title(made) == "Take 8 alerts: NodePowerLost on groningen"
    assert lines(made, "alerts") == ["8 NodePowerLost (critical)  gpu[0001-0008]"]
    assert lines(made, "quiet for")[0].startswith("1h 00m, until 2026-11-18 ")
    assert lines(made, "signed") == ["jdv: taken: I'm on it"]
    assert all("alertname=" in one for one in lines(made, "silences")) and lines(made, "silences")
    assert "fp-" not in "\n".join(text(made)) and "job" not in "\n".join(text(made))
    assert title(plan(site(alerts=eight), "take", [eight[0].id])) == "Take 1 alert: NodePowerLost on groningen"


def test_a_silence_says_how_long_of_what_and_why():
    made = plan(
        site(alerts=[alert(), alert("gpu0002", "GpuXid", severity=None)]), "silence", why="PDU swap", seconds=2 * HOUR
    )
    assert title(made) == "Silence 2 alerts: NodePowerLost, GpuXid on groningen"
    assert lines(made, "alerts") == ["1 NodePowerLost (critical)  gpu0001", "1 GpuXid  gpu0002"]
    assert lines(made, "quiet for")[0].startswith("2h 00m, until ") and lines(made, "signed") == ["jdv: PDU swap"]
    assert lines(made, "reason") == ["PDU swap"]


def test_an_alert_that_is_quiet_already_is_left_alone_by_its_name():
    quiet = Silence(id="s-1", state="active", matchers=(), by="carol", comment="known")
    made = plan(site(alerts=[alert(), alert("gpu0002", silenced_by=("s-1",))], silences=[quiet]), "silence", why="x")
    (left,) = lines(made, "left alone")
    assert left == "1 of 2: NodePowerLost gpu0002: silenced already by carol: known"


def test_lifting_says_whose_silence_it_is_and_what_rings_again():
    one = Silence(id="s-1", state="active", matchers=(Matcher("alertname", "NodePowerLost"),), ends=int(NOW + HOUR),
                  by="carol", comment="PDU swap")  # fmt: skip
    cluster = site(alerts=[alert(silenced_by=("s-1",)), alert("gpu0002", silenced_by=("s-1", "s-2"))], silences=[one])
    made = plan(cluster, "lift")
    assert title(made) == "Lift the silence of carol on groningen"
    assert lines(made, "now")[0].startswith("active, by carol: PDU swap; would end 2026-11-18 ")
    assert lines(made, "it is of") == ['alertname="NodePowerLost"']
    assert lines(made, "rings again") == ["1 alert: NodePowerLost  gpu0001"]
    more = [msgspec.structs.replace(one, id=f"s-{at}") for at in range(10)]
    assert title(plan(site(silences=more), "lift")) == "Lift the silence of carol (10 silences) on groningen"
    assert lines(plan(site(silences=more), "lift"), "now", 200)[-1] == "and 4 silences more"
    assert len(lines(plan(site(silences=more), "lift"), "now")) == 10


# -- size -------------------------------------------------------------------------------------------------------------


def test_at_80_columns_every_word_is_there():
    nodes = many(40, "DOWN", reason="Low RealMemory (reported:1 < 100 % of configured)", reason_by="slurm",
                 reason_at=int(NOW - HOUR))  # fmt: skip
    made = plan(site(*nodes), "drain", why="x" * 200 + " because of the PDU in the fourth rack of the second row")
    narrow = rows(made, 76)
    assert max(len(row.text) for row in narrow) <= 76 - LABEL
    assert "".join("".join(row.text for row in narrow).split()) == "".join("".join(lines(made)).split())
    assert all(len(row.label) < LABEL for row in narrow)


def test_without_a_width_nothing_is_left_out_and_on_a_screen_it_stays_readable():
    jobs = [make.job(str(at), nodes="gpu0001", started=int(NOW - HOUR), node_count=1) for at in range(1, 401)]
    made = plan(site(make.node(state="ALLOCATED"), jobs=jobs), "cancel")
    calls = tuple(("scancel", ",".join(made.change.targets[at : at + 50])) for at in range(0, 400, 50))
    made = msgspec.structs.replace(made, commands=calls)
    assert lines(made, "runs") == [" ".join(one) for one in calls]
    assert lines(made, "now") == [f"400 RUNNING  {', '.join(made.change.targets)}"]
    assert [one.split()[0] for one in lines(made, "kills")[:-1]] == list(made.change.targets)
    assert [one.strip() for one in text(made)[1:]] == [f"{row.label:<{LABEL}}{row.text}".strip() for row in rows(made)]
    assert len(rows(made, 76)) < 30 and lines(made, "kills", 76)[-2] == "and 391 jobs more"
    out = [make.node(f"gpu{at:04d}", "DOWN", reason=f"fault {at}", reason_by="jdv") for at in range(1, 21)]
    drained = plan(site(*out), "drain", why="PDU b")
    assert len(lines(drained, "reason")) == 21 and lines(drained, "reason", 120)[-1] == "and 15 more like it"


def test_scattered_names_do_not_push_the_rest_off_the_screen():
    made = plan(site(*many(3000, "IDLE+DRAIN")), "resume", [f"gpu{at:04d}" for at in range(1, 3000, 2)])
    names = rows(made, 76)[:12]
    assert names[-1].text.startswith("… ") and names[-1].text.endswith("with `wacht act … --dry-run`")
    assert [row.label for row in rows(made, 76)[11:13]] == ["", "in waves"]
    assert "gpu[0001,0003," in text(made)[1] and ",2999]" in text(made)[1]


def test_a_whole_machine_is_shown_while_somebody_waits():
    nodes = [
        make.node(f"gpu{at:05d}", "IDLE+DRAIN", reason=f"reason {at % 900}", reason_by="jdv") for at in range(12_000)
    ]
    made = plan(site(*nodes), "resume")
    shown = rows(made, 76)
    assert len(shown) < 60 and len(title(made)) < 90, f"{len(shown)} lines"
    assert cost(lambda: rows(made, 76)) < 13  # 4.1 where it was measured
