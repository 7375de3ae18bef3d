"""The Alerts screen, in an operator's words."""

from __future__ import annotations

import re
import shlex

import msgspec
import pytest
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from collectors.model import SourceFault
from collectors.nodeset import expand
from collectors.sim.machine import Machine
from console.screens.alerts import AlertsScreen
from console.session.cluster_sources import ClusterSources
from tests.faults import fault
from tests.support.operator import console
from widgets.terminal.screen_diff import TerminalScreen

SMALL, LARGE = (80, 24), (200, 50)


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def alerts(op) -> AlertsScreen:
    assert isinstance(op.app.screen, AlertsScreen)
    return op.app.screen


async def arrive(op, seconds=90):
    """On the Alerts screen, after the incident has happened."""
    await op.until(lambda: "alerts" in op.cluster.known, "alerts")
    await op.press("6")
    op.app.clock.advance(seconds)
    await op.look_again()
    await op.until(lambda: alerts(op).cluster is op.cluster, "the screen shows it")


def power_unit(op):
    """Key of the group of the PDU that died, and the nodes on it."""
    hit = set(op.machine.incidents.affected)
    key = next(key for key in alerts(op).table.keys if key.startswith("pdu="))
    return key, hit


async def raise_(op, name, severity="critical", summary="what happened", **labels):
    """One more alert in Alertmanager, and a reading that finds it."""
    key = op.machine.alert_store.raise_(name, severity, summary, op.app.clock.now(), labels)
    op.app.session.poller.refresh_now()
    await op.until(lambda: key in op.cluster.alerts and alerts(op).cluster is op.cluster, "the alert is read")
    return key


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_power_unit_that_dies_is_one_line_that_says_what_it_hits(size):
    async with console(size, incident="pdu") as op:
        await arrive(op)
        key, hit = power_unit(op)
        assert alerts(op).table.keys[0] == key, "the newest critical one stands first"
        await op.press("home")
        op.sees("Alerts", "✖ critical", f"{key[4:]}: PduPowerLost", "lost its input", "all 8 nodes are out already")
        op.sees("https://runbooks.example.org/PduPowerLost", "NodeDown ×8, PduPowerLost", "Silences")
        assert set(alerts(op).targets("node")) == hit
        assert sum("NodeDown on" in line and "R03" in line for line in op.screen().splitlines()) == 0
        if size == LARGE:
            op.sees("users", "GPUs", "racks", "summary", "Not responding")


async def test_enter_goes_to_the_nodes_of_a_group_and_to_the_one_node():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        key, hit = power_unit(op)
        alerts(op).table.select(key)
        await op.press("enter")
        assert set(op.list.table.keys) == hit == set(expand(op.list.filter.text))
        await op.press("6")
        single = next(key for key in alerts(op).table.keys if len(alerts(op).table.row_of(key).nodes) == 1)
        (name,) = alerts(op).table.row_of(single).nodes
        alerts(op).table.select(single)
        await op.press("enter")
        op.sees(name, "Jobs here")


async def test_what_a_key_takes_are_the_nodes_the_alerts_and_the_silences_of_what_is_marked():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        screen = alerts(op)
        key, hit = power_unit(op)
        quiet = next(key for key in screen.table.keys if screen.table.row_of(key).state == "silenced")
        screen.table.mark({key, quiet})
        (other,) = screen.table.row_of(quiet).nodes
        assert set(screen.targets("node")) == {*hit, other}
        ids = screen.targets("alert")
        assert len(ids) == 10
        assert [op.cluster.alerts[one].state for one in ids] == ["active"] * 9 + ["suppressed"]
        assert screen.targets("silence") == screen.table.row_of(quiet).silences == tuple(op.cluster.silences)
        assert screen.targets("job") == ()
        await op.press("tab")
        assert screen.focused is screen.silences
        assert screen.targets("silence") == tuple(op.cluster.silences)
        assert screen.targets("node") == screen.targets("alert") == ()
        screen.table.focus()
        await op.press("escape")
        assert not screen.table.marked


async def test_the_reason_of_a_drain_begins_with_the_alert():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        key, _ = power_unit(op)
        alerts(op).table.select(key)
        reason = alerts(op).suggested_reason("drain")
        assert reason.startswith(f"PduPowerLost {key[4:]}: lost its input")
        other = next(one for one in alerts(op).table.keys if one != key)
        alerts(op).table.mark({key, other})
        both = alerts(op).suggested_reason("drain")
        assert f"{key[4:]}: PduPowerLost" in both and len(both) <= 120
        await op.press("escape", "1")
        assert op.app.screen.suggested_reason("drain") is None


async def test_taking_it_is_seen_with_the_name_and_lifting_it_lets_it_ring_again():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        key, _ = power_unit(op)
        alerts(op).table.select(key)
        await op.press("a")
        await op.confirm(answer="y")
        await op.until(lambda: alerts(op).table.row_of(key).state == "taken", "the group is taken")
        assert alerts(op).table.row_of(key).acked_by
        op.sees("◐ taken", "I'm on it")
        assert alerts(op).table.cursor_key == key
        assert set(alerts(op).targets("silence")) == set(alerts(op).table.row_of(key).silences)


async def test_enter_on_a_silence_goes_to_what_it_keeps_quiet():
    async with console((120, 40)) as op:
        await arrive(op)
        await op.press("tab", "enter")
        screen = alerts(op)
        assert screen.focused is screen.table
        assert screen.table.row_of(screen.table.cursor_key).state == "silenced"
        op.sees("fan tray 3 is ordered", "ends in")


async def test_no_answer_from_alertmanager_is_unknown_and_never_no_alerts(monkeypatch):
    def dead(_):
        raise SourceFault("refused", "http://alertmanager:9093 refuses the connection", "is it up?")

    monkeypatch.setattr(Machine, "alerts", dead)
    async with console(SMALL) as op:
        await op.press("6")
        await op.comes("alerts unknown: http://alertmanager:9093 refuses the connection")
        op.sees("Silences  unknown", "Alerts  —")
        op.sees_not("no alerts")


async def test_facts_that_grew_old_stay_and_say_so():
    async with console((120, 40)) as op:
        await arrive(op)
        rows = len(alerts(op).table.keys)

        def dead():
            raise SourceFault("timeout", "no answer within 10 s")

        op.app.session.poller._collectors["alerts.alerts"].collect = dead
        op.app.session.poller.refresh_now(["alerts.alerts"])
        await op.comes("alerts unknown: no answer within 10 s; these are")
        assert alerts(op).table.dimmed and len(alerts(op).table.keys) == rows


async def test_without_an_alertmanager_the_screen_says_how_to_add_one(monkeypatch):
    every = ClusterSources.collectors
    monkeypatch.setattr(
        ClusterSources, "collectors", lambda self: [one for one in every(self) if not one.name.startswith("alerts.")]
    )
    async with console((120, 40)) as op:
        await op.press("6")
        op.sees("no Alertmanager is configured", "[cluster.groningen]", "alertmanager = { url =")
        op.sees_not("no alerts")


async def test_truly_no_alerts_says_so(monkeypatch):
    monkeypatch.setattr(Machine, "alerts", lambda _: {})
    async with console(SMALL) as op:
        await op.until(lambda: "alerts" in op.cluster.known, "alerts")
        await op.press("6")
        op.sees("no alerts: Alertmanager holds none", "Alerts  0")


async def test_hostile_labels_are_shown_and_do_nothing():
    async with console((200, 50)) as op:
        await arrive(op)
        name = 'A[/]"$(reboot);\\b`id`|[@click=app.quit]x'
        key = await raise_(op, name, summary="[bold]'; DROP TABLE", node="gpu0001", pdu='p"$(x)', rack="[/]")
        screen = alerts(op)
        screen.table.select(f"name={name}")
        await op.pilot.pause()
        op.sees("[@click=app.quit]x on gpu0001", "[bold]'; DROP TABLE")
        assert screen.targets("alert") == (key,)
        words = shlex.split(screen.copy_text())
        assert words[:3] == ["amtool", "alert", "query"] and len(words) == 5
        assert words[3] == 'alertname="' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        assert words[4] == 'node="gpu0001"'
        await op.press("y", "enter")
        assert op.app.is_running


async def test_y_copies_the_question_behind_the_line():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        key, _ = power_unit(op)
        screen = alerts(op)
        screen.table.select(key)
        assert shlex.split(screen.copy_text()) == ["amtool", "alert", "query", f'pdu="{key[4:]}"']
        screen.table.select("name=TargetDown")
        assert shlex.split(screen.copy_text())[3] == 'alertname="TargetDown"'
        await op.press("tab")
        assert screen.copy_text() == f"amtool silence query --id={next(iter(op.cluster.silences))}"


async def test_the_cursor_goes_with_the_alerts_when_they_are_folded_otherwise():
    async with console((120, 40)) as op:
        await arrive(op)
        nodes = [one.name for one in op.cluster.nodes.values() if one.rack == "R02"][:4]
        await raise_(op, "NodeHot", node=nodes[0])
        alerts(op).table.select("name=NodeHot")
        for name in nodes[1:]:
            await raise_(op, "NodeHot", node=name)
        group = alerts(op).table.row_of(alerts(op).table.cursor_key)
        assert group.place is not None and set(group.nodes) == set(nodes)
        assert "name=NodeHot" not in alerts(op).table.keys


@fault("people", "1,000 alerts in a second", "one line with their number")
async def test_a_thousand_alerts_in_a_moment_are_one_line():
    async with console((120, 40), nodes=64) as op:
        await arrive(op)
        for at in range(1000):
            op.machine.alert_store.raise_("DiskSlow", "warning", "slow", op.app.clock.now(), {"disk": str(at)})
        op.app.session.poller.refresh_now()
        await op.comes("DiskSlow ×1,000")


async def test_the_bar_shows_the_keys_of_alerts_and_of_nodes():
    async with console((120, 40), incident="pdu") as op:
        await arrive(op)
        keys = [key.key for key in alerts(op).bar.keys]
        assert keys.index("a") < keys.index("s") < keys.index("d") < keys.index("Enter")
        assert "Tab" in keys


async def test_it_is_reached_by_its_words_too():
    async with console(SMALL) as op:
        await op.command("al")
        assert isinstance(op.app.screen, AlertsScreen)


# -- links -------------------------------------------------------------------------------------------------------------


def links_in(glass, strips):
    sent = glass.send([(y, 0, strip) for y, strip in enumerate(strips)], 120, ColorSystem.TRUECOLOR)
    return re.findall(r"\x1b\]8;;(.*?)\x1b\\", sent)


@pytest.mark.parametrize("links", [False, True])
async def test_a_runbook_is_plain_text_and_a_link_only_where_that_is_configured(links):
    async with console((120, 40), incident="pdu") as op:
        op.app.config = msgspec.structs.replace(op.app.config, links=links)
        await arrive(op)
        op.sees("https://runbooks.example.org/")
        glass = TerminalScreen()
        glass.links = links
        found = links_in(glass, op.app.screen._compositor.render_strips(op.app.size))
        assert not links or re.fullmatch(r"https://runbooks\.example\.org/\w+", found[0])
        assert found[1:] == [""] if links else found == [], "the text behind it is none"


@pytest.mark.parametrize(
    "url",
    [
        "http://site/", "javascript:alert(1)", "file:///etc/passwd", "https://a b", "https://ä.site/", "https://",
        "https://x\x1b\\\x1b]52;c;aGk=\x07", "https://" + "x" * 493, "", "x https://site/",
    ],
)  # fmt: skip
def test_no_other_url_is_sent_as_a_link(url):
    glass = TerminalScreen()
    glass.links = True
    assert links_in(glass, [Strip([Segment("runbook", Style(link=url))])]) == []


def test_a_link_begins_and_ends_with_its_text():
    glass = TerminalScreen()
    glass.links = True
    parts = [Segment("see "), Segment("this", Style(link="https://site/a?b=1;c")), Segment(" or that")]
    sent = glass.send([(0, 0, Strip(parts))], 120, ColorSystem.TRUECOLOR)
    plain = re.sub(r"\x1b\[[0-9;]*[mH]", "", sent)
    assert plain == "see \x1b]8;;https://site/a?b=1;c\x1b\\this\x1b]8;;\x1b\\ or that"
