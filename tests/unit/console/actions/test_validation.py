"""What is typed and what is sent at the last door: options, counts, racks, ids, reservations, programs, the ramp."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Load, Rights
from collectors.site_command import template_fault
from collectors.slurm import operations
from collectors.slurm.operations import calls
from console.actions.option_parsing import parse_option
from console.actions.refusals import rights_refusal
from console.actions.registry import BY_ID
from console.actions.targets import resolve, resolve_jobs, resolve_nodes
from console.actions.waves import earliest_start, node_power
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.act_terminal import Terminal
from tests.support.gate_world import small
from tests.support.make import change_of

RACKS = make.cluster(nodes=[make.node("n1", rack="R01"), make.node("n2", rack="R02")])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("for", "59s", "from a minute to a year"), ("for", "366d", "from a minute to a year"),

        ("next", "idle", "comes back as resume or down"), ("failed", "undrain", "can drain or stay"),
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused(name, text, says):
    with pytest.raises(ValueError, match=says):
        parse_option(name, text)


def test_an_option_says_what_it_says():
    assert parse_option("failed", "drain") == {"redrain": True} and parse_option("failed", "stay") == {"redrain": False}
    assert parse_option("for", "60s") in ({"seconds": 60}, {"resume_after_s": 60})
    assert parse_option("priority", "1") == {"value": "1"} and parse_option("next", "down") == {"next_state": "DOWN"}


@pytest.mark.parametrize("word", ["@rack:R01,R09", "@rack:R09,R01", "@rack:R[01-03]"])
def test_an_unknown_rack_among_known_ones_refuses_the_whole(word):
    assert resolve_nodes("@rack:R01,R02", RACKS) == ("n1", "n2")
    with pytest.raises(ValueError, match=r"no rack R0[39] is known"):
        resolve_nodes(word, RACKS)


def test_the_number_of_a_job_never_means_another_that_begins_with_it():
    """A person who types 104 means job 104, its array tasks or its components: never 1041."""
    tasks = make.cluster(jobs=[make.job(id) for id in ("104_1", "104_2", "1041", "1041_1", "1042+0", "10", "4")])
    assert resolve_jobs(["104"], tasks) == ("104_1", "104_2") and resolve_jobs(["1041"], tasks) == ("1041",)
    assert resolve_jobs(["1042"], tasks) == ("1042+0",) and resolve_jobs(["10"], tasks) == ("10",)
    assert resolve("job", ["104"], make.cluster(jobs=[make.job("1041")])) == ("104",), "the gate refuses it by name"
    itself = make.cluster(jobs=[make.job(id) for id in ("104", "104_1", "1041")])
    assert resolve_jobs(["104"], itself) == ("104",)


@pytest.mark.parametrize("id", ["101_*", "101_[1-2]", "101_", "*", "101+", "-1"])
def test_an_id_is_of_one_job_or_one_task(id):
    with pytest.raises(ValueError):
        calls(change_of(action="cancel", kind="job", targets=(id,)))


def test_a_fold_that_would_mean_other_names_is_not_sent(monkeypatch):
    monkeypatch.setattr(operations, "fold_for_slurm", lambda names: "n[1-2]")
    assert operations.folded(("n1", "n3")) == "n1,n3"
    assert operations.folded(("n1", "n2")) == "n[1-2]"


def reserve(**said: str) -> tuple[str, ...]:
    settings = {"name": "fw", "start": "now", "for": "3600", "users": "alice", **said}
    given = {key: text for key, text in settings.items() if text}
    name = settings["name"]
    ((argv, _),) = calls(change_of(action="reserve", kind="node", targets=("n1",), settings=given, values={"n1": name}))
    return argv


def test_a_reservation_is_sent_for_somebody_under_a_name_and_no_shorter_than_was_asked():
    assert "Duration=60" in reserve() and "Duration=2" in reserve(**{"for": "90"}), "in whole minutes, upwards"
    assert "Accounts=ml" in reserve(users="", accounts="ml")
    with pytest.raises(ValueError, match="for users or accounts"):
        reserve(users="")
    for name in ("ALL", "all"):
        with pytest.raises(ValueError, match="none is called ALL"):
            reserve(name=name)


def test_a_program_is_given_what_was_confirmed():
    assert template_fault("node", ["/bin/x", "{node}"]) is None
    assert "it acts on what was confirmed" in (template_fault("node", ["/bin/x", "{reason}"]) or "")


def test_a_step_begins_as_soon_as_the_ramp_allows_it():
    """10 kW a minute: 6 kW sent at 0 and 4 at 30; 5 more fit once the first of them no longer counts."""
    assert earliest_start([(0.0, 6.0), (30.0, 4.0)], 5.0, 10.0) == 60.0
    assert earliest_start([(0.0, 6.0), (30.0, 4.0)], 7.0, 10.0) == 90.0
    assert earliest_start([(0.0, 3.0)], 5.0, 10.0) == float("-inf")


@pytest.mark.parametrize(("count", "exit"), [(1, 2), (2, 0), (3, 2)])
def test_the_count_of_a_shell_is_the_exact_number(tmp_path, count, exit):
    act = Terminal(small(tmp_path))
    assert act("drain", "gpu[0001-0002]", reason="x", count=count) == exit
    assert len(act.world.sent) == (exit == 0)
    assert (f"--count {count}: it would act on 2" in act.err.getvalue()) is (exit == 2)


def test_a_shell_reads_what_a_preflight_needs_and_nothing_where_it_is_read_only(tmp_path):
    act, asked = Terminal(small(tmp_path)), []

    def look(names):
        asked.append(tuple(names))
        return PreflightReads(faults=("the GPUs were not read",))

    act("undrain", "gpu0003", yes=True, dry_run=True, look=look)
    assert asked == [("gpu0003",)] and "the GPUs were not read" in act.out.getvalue()
    act("undrain", "gpu0003", yes=True, look=look, gate={"read_only": True})
    assert len(asked) == 1


def test_slurms_rights_say_nothing_of_a_sites_own_program():
    poor = Rights(user="alice", level="no admin", nodes=False, jobs=False)
    own = msgspec.structs.replace(BY_ID["drain"], id="ticket-vendor", argv=("/bin/x", "{node}"))
    assert rights_refusal(BY_ID["drain"], poor) is not None and rights_refusal(own, poor) is None


def test_what_an_idle_node_draws_is_no_measure_of_work():
    nodes = [make.node(name, gpus=8) for name in ("n1", "n2", "n3")]
    loads = [Load(node="n1", power_w=6000.0, sampled_at=1100), Load(node="n2", power_w=300.0, sampled_at=1100)]
    cluster = make.cluster(nodes=nodes, jobs=[make.job("1", nodes="n1")], loads=loads)
    acting = {"n3": nodes[2]}
    assert node_power(acting, cluster, 0.0, 1100.0, 0.0)[0] == {"n3": 6.0}
    assert node_power(acting, cluster, 8.0, 1100.0, 0.0)[0] == {"n3": 8.0}, "the configured figure comes first"
