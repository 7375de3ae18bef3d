"""docs/on-call.md says what the code does: its keys, figures, words and examples are those of the code."""

from __future__ import annotations

import re

import msgspec
import pytest
from msgspec.structs import fields

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.requests import MAX_SILENCE_S
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.actions.options import Guard
from console.actions.registry import ACTIONS, BY_ID, NAVIGATION
from console.alerts import alert_rules
from console.cli.act_command import act
from console.config import settings as config
from console.config.settings import Config, load
from console.gate import preflight_reads
from console.health import failure_domains
from console.journal import writer
from console.pages import oncall
from console.preflight import fitness, job_checks
from tests.support.paths import DOCS

PAGE = (DOCS / "on-call.md").read_text()
#: Without its line breaks: where a sentence breaks is nobody's business.
TEXT = " ".join(PAGE.split())


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M)


def test_it_is_short():
    assert len([line for line in PAGE.splitlines() if not line.startswith("<!--")]) <= 128


def test_the_keys_are_those_of_the_actions():
    assert " ".join(oncall.actions().split()) in TEXT, "write it: console.pages.oncall.actions()"
    named = re.findall(r"`([^`]{1,6})` ([a-z_-]+)", oncall.actions())
    assert named == [(action.key, action.id) for action in ACTIONS if action.key]
    shown = {action.key for action in ACTIONS} | {key.shown for key in NAVIGATION} | {"Tab", "p", "s"}
    for key in re.findall(r"`([A-Za-z0-9?]|Enter|Tab|Esc)`", PAGE):
        assert key in shown, f"no key {key}"


def test_the_figures_of_the_guard():
    assert oncall.guard() in PAGE, "write it: console.pages.oncall.guard()"
    assert re.findall(r"^\| `(\w+)`", oncall.guard(), re.M) == [one.name for one in fields(Guard)]


def test_what_takes_what_back():
    assert oncall.undo() in TEXT, "write it: console.pages.oncall.undo()"
    gone = "cancel, requeue, requeuehold, down and reboot"
    keyed = {one.id for one in ACTIONS if one.key}
    assert (
        f"{gone} have no undo" in TEXT
        and set(re.split(", | and ", gone)) == {one.id for one in ACTIONS if one.irreversible} & keyed
    )


def test_every_pre_flight_is_told():
    week = (DOCS / "week.md").read_text().partition("## What each pre-flight looks at")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([a-z_, -]+) \|", section("What each pre-flight looks at") + week, re.M)
    told = [word for row in rows if row != "action" for word in row.split(", ")]
    assert sorted(told) == sorted(one.id for one in ACTIONS if one.check is not None)


def test_every_alert_is_told():
    told = re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", section("Alert rules").partition("```")[0])
    assert set(told) == {rule.alert for rule in alert_rules.rules()}


def rights_s(settings: SlurmSettings) -> float:
    """Seconds between two readings of the rights."""
    return next(one.floor_s for one in open_sources("x", settings) if one.name == "slurm.rights")


@pytest.mark.parametrize(
    "words",
    [
        f"on at least {failure_domains.MIN_TOGETHER} nodes",
        f"began within {failure_domains.GAP_S // 60} minutes of each other",
        f"a silence of {Guard().take_s // 3600} h with your name",
        f"silences, {Guard().silence_s // 3600} h unless you say otherwise (at most {MAX_SILENCE_S // 86_400} days)",
        f"what none shows within {BY_ID['drain'].verify_s:g} s is called unknown",
        f"(up to {BY_ID['resume'].verify_s / 60:g} min; a reboot up to {BY_ID['reboot'].verify_s / 60:g} min)",
        f"requeued {job_checks.RESTARTS} times or more before",
        f"up to {preflight_reads.NODES_MOST} nodes, the details of up to {preflight_reads.JOBS_MOST} jobs",
        f"no question begins after {preflight_reads.DEADLINE_S:g} s",
        f"samples older than {fitness.SAMPLE_S} s",
        f"every {rights_s(SlurmSettings()) / 60:g} min; behind a sudo prefix",
        f"does not take it within {writer.DEADLINE_S:g} s",
        f"from another host: {writer.ELSEWHERE_S / 60:g} min after its last line, "
        f"{writer.ELSEWHERE_LONG_S / 3600:g} h for several commands",
    ],
)
def test_a_figure_in_the_text(words):
    assert words in TEXT


def test_behind_sudo_it_asks_every_hour():
    assert rights_s(SlurmSettings(prefix=("sudo", "-n"))) == 3600


def test_the_words_of_the_command_line():
    known = {option for one in act.params for option in one.opts}
    typed = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert typed <= known and {"--break-glass", "--count"} <= typed


# -- the configuration -------------------------------------------------------------------------------------------------


def test_the_example_is_a_configuration(tmp_path):
    (example,) = blocks("toml")
    file = tmp_path / "config.toml"
    file.write_text(example)
    file.chmod(0o600)
    found = load(str(file), {}, tmp_path / "no-site-file")
    default = Config()
    assert [getattr(found, key) for key in ("bell", "notify", "links")] == [default.bell, default.notify, default.links]
    assert found.guard == Guard(), "the example shows the defaults"
    assert isinstance(found.clusters["groningen"].sources["alertmanager"], AlertmanagerSettings)
    said = re.search(r"^notify = .*# or (.*): the", example, re.M)
    assert said and {"off", *said[1].split(", ")} == set(config._WORDS["notify"])


def test_every_key_of_the_configuration_is_told():
    told = section("Configuration")
    for one in fields(AlertmanagerSettings):
        assert re.search(rf"\b{one.name}\b", told), one.name
        if one.name in {"timeout_s", "interval_s", "node_labels"}:
            value = re.search(rf"`{one.name} = ([^`]*)`", told)
            assert value and msgspec.convert(msgspec.json.decode(value[1]), one.type) == one.default
    lock = told.partition("`[lock]` table: ")[2]
    assert re.findall(r"`(\w+) = ", lock) == list(config._LOCKABLE)


def test_the_example_makes_rules(tmp_path, capsys):
    (example,) = blocks("python")
    own = tmp_path / "xid-policy.toml"
    own.touch(mode=0o600)
    made = example.replace("/etc/wacht/xid-policy.toml", str(own))
    assert made != example
    exec(compile(made, "docs/on-call.md", "exec"), {})
    told = capsys.readouterr().out
    assert "0.95 * 120000" in told and 'runbook_url: "https://wiki.example/runbooks/NodeDown"' in told
