"""Who set a reason, a person or a program: real reasons of both, and what a site adds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.config.settings import ConfigError, load
from console.health import automation, drain_reasons
from console.health.automation import Automation, known_automations
from tests.support import make

#: As the sources of these programs write them (console/health/automation.toml names the files), all as root.
PROGRAMS = [
    "Scheduler health check failed",
    "(Code:InsufficientInstanceCapacity)Failure when resuming nodes",
    "(Code:InsufficientInstanceCapacity)Temporarily disabling node due to insufficient capacity",
    "(Code:VcpuLimitExceeded)Failure when resuming nodes",
    "Static node maintenance",
    "Static node maintenance: unhealthy node is being replaced",
    "Node failing scheduled_events_check",
    "Node failing ec2_health_check",
    "cyclecloud_zombie_node",
    "cyclecloud_node_failure",
    "Healthcheck failures. Run 'health -s' view health report.",
    "GCP Error: ZONE_RESOURCE_POOL_EXHAUSTED",
    "Instance stopped/deleted",
    "[node_problem] Failed ib-gpu-perf: job 12 [slurm_job]",
    "[user_problem] boot_disk_full: disk full [hc_program]",
    "[hardware_problem] gpu health check failed",
    "[compute_maintenance] node replacement process",
    "slurm-operator: Pod default/slurm-worker-0 was evicted",
    "slurm-bridge: removing external node gpu-3",
    "NHC: check_fs_mount:  /scratch not mounted",
    "LBNL NHC: check_ps_loadavg:  1-minute load average too high",
    "Not responding",
    "Kill task failed",
    "Node unexpectedly rebooted",
    "Low RealMemory (reported:1931044 < 100.00% of configured:2000000)",
    "Low TmpDisk",
    "gres/gpu count reported lower than configured (7 < 8)",
    "Prolog error",
    "Job env setup error",
    "Epilog error",
    "Prolog/Epilog failure",
    "batch job complete failure",
    "ResumeTimeout reached",
    "reboot timed out",
    "Reboot ASAP : reboot issued",
    "NO NETWORK ADDRESS FOUND",
    "auto-drain: 3 XIDs in an hour",
    "[gpu-monitor] XID 79",
]
#: What people write as root: about the same things, and with the same words.
PEOPLE = [
    "bad DIMM B2, ticket #4711",
    "kill task failed again, see INC0012",
    "not responding to IPMI, ask Jan",
    "Not responding since the power cut, technician on site",
    "prolog error is ours: testing the new one",
    "NHC is broken here, do not resume",
    "nhc off while we test",
    "disabled check_ps_loadavg until Monday",
    "health check looks wrong, ignore",
    "healthcheck failures on all of rack 7: network, Piet is on it",
    "static node maintenance window with Dell on Friday",
    "node failing burn-in, RMA 4471",
    "scheduler health check failed twice, I keep it out",
    "bios update : reboot issued",
    "reboot after the firmware update",
    "reboot requested by alice for her driver test",
    "power down for PSU swap",
    "slurmd keeps crashing, core dump with SchedMD",
    "low on disk, cleaning /tmp",
    "duplicate jobid investigated by support",
    "auto tests by the driver team",
    "automatic failover test, do not touch",
    "instance stopped by me for the audit",
    "gcp quota raised, wait for it",
    "cyclecloud upgrade today",
    "maintenance",
    "node problem unclear, Ines looks at it",
    "[OPS-12] fan",
    "[check with Jan] do not resume",
    "XID 79 GPU 3 off the bus",
    "resume timeout too short, raised it",
    "slurm-operator upgrade",
    "(code review) leave it to me",
]


@pytest.fixture(autouse=True)
def as_shipped():
    automation.configure(Automation())
    yield
    automation.configure(Automation())


@pytest.mark.parametrize("text", PROGRAMS)
def test_what_a_program_writes_as_root_is_automation(text):
    assert drain_reasons.author_of("root", text) == "automation" and drain_reasons.is_automation("root(0)", text)
    assert (
        drain_reasons.author_of(None, text) == "automation" and drain_reasons.author_of("slurm", text) == "automation"
    )
    assert drain_reasons.author_of("jdv", text) == "human", "what a person signs is a person's"


@pytest.mark.parametrize("text", PEOPLE)
def test_what_a_person_writes_as_root_is_a_persons(text):
    assert drain_reasons.author_of("root", text) == "human"
    assert drain_reasons.author_of(None, text) == "unknown"


@given(st.sampled_from(PROGRAMS), st.sampled_from(["ask Jan first: ", "see INC0012 - ", "me: "]))
def test_a_persons_words_in_front_make_it_a_persons(text, words):
    assert drain_reasons.author_of("root", words + text) == "human"


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.'", min_size=3, max_size=40))
def test_plain_words_are_never_automation_by_chance(text):
    exact = {one.lower() for one in PROGRAMS}
    assert drain_reasons.author_of("root", text) == "human" or text.strip() in exact or not text.strip()


def test_every_automation_says_where_it_was_read_and_its_patterns_are_not_too_wide():
    for one in known_automations():
        assert one.source and (one.logins or one.patterns)
        Automation(logins=one.logins, patterns=one.patterns)  # what a site may not write, wacht does not ship


def test_a_site_adds_its_own(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[automation]\nlogins = ["gpu-janitor"]\npatterns = ["janitor: .*", \'vendor tool v\\d+\']\n')
    site = tmp_path / "site.toml"
    site.write_text('[automation]\npatterns = ["site robot: .*"]\n')
    own = load(str(config), {}, site).automation
    assert own.logins == ("gpu-janitor",) and own.patterns == ("site robot: .*", "janitor: .*", "vendor tool v\\d+")
    assert drain_reasons.classify("janitor: too hot", "root").author == "human"
    automation.configure(own)
    assert drain_reasons.classify("janitor: too hot", "root").author == "automation", "earlier files count no more"
    assert (
        drain_reasons.author_of("root", "Vendor tool v3") == "automation"
        and drain_reasons.author_of("root", "vendor tool v3 looks odd") == "human"
    )
    assert (
        drain_reasons.author_of("gpu-janitor", "anything") == "automation"
        and drain_reasons.author_of("root", "site robot: x") == "automation"
    )
    assert drain_reasons.author_of("root", "Scheduler health check failed") == "automation"


def test_each_pattern_counts_by_itself(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[automation]\npatterns = ['(?i)site check .*', '(?P<a>ab) x', '(?P<a>cd)c\\1 y']\n")
    automation.configure(load(str(config), {}, tmp_path / "none.toml").automation)
    assert [drain_reasons.author_of("root", text) for text in ("Site check 3", "ab x", "cdccd y")] == ["automation"] * 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('patterns = [".*"]', "pattern '.*' is too wide: it matches what people write"),
        ('patterns = ["\\\\w+"]', "is too wide"),
        ('logins = ["a*"]', "login 'a*' is too wide"),
        ('patterns = ["("]', "is no regular expression"),
        ("patterns = 3", "patterns"),
        ('robots = ["x"]', "unknown key; allowed: logins, patterns"),
    ],
)
def test_a_wrong_or_too_wide_pattern_ends_the_start(tmp_path, line, said):
    config = tmp_path / "config.toml"
    config.write_text(f"[automation]\n{line}\n")
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(str(config), {}, tmp_path / "none.toml")


def test_every_question_whether_a_person_did_it_asks_the_same_list():
    """The inbox, the pre-flight and the check before a send: each by its own transport to the answer."""
    from console.actions import drift
    from console.actions.registry import ACTIONS
    from console.preflight import node_checks

    drain = next(one for one in ACTIONS if one.id == "drain")
    text = "(Code:InsufficientInstanceCapacity)Failure when resuming nodes"
    before = make.node("gpu0001", "IDLE")
    for said, by_program in ((text, True), ("bad DIMM, ask Jan", False)):
        now = make.node("gpu0001", "DOWN+DRAIN", reason=said, reason_by="root", reason_at=1)
        (entry,) = drain_reasons.drain_groups(make.cluster(nodes=[now]), 100.0)
        assert (entry.author == "automation") is by_program
        assert drift.reason_replaced(drain, before, now) is not by_program
        assert ("(automation)" in str(node_checks._drain_of(now, _At()))) is by_program
    assert automation.is_automation_reason(text)


class _At:
    now = 100.0
