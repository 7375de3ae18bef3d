"""The `:` commands and the palette: which controller carries out what, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from collectors import process
from console.app.command_line import CommandLine
from console.app.command_runs import CommandRuns
from console.app.navigation import Navigation
from console.app.palette import found
from console.config.commands import CommandError, parse
from tests.support.fake_app import B, Desk


class Commands(Desk):
    """A console whose controllers take down what they are called for."""

    def __init__(self, *others: str) -> None:
        super().__init__(None, *others)
        self.calls: list[tuple[object, ...]] = []

        def taker(*names: str) -> SimpleNamespace:
            return SimpleNamespace(
                **{name: lambda *given, _name=name, **more: self.calls.append((_name, *given)) for name in names}
            )

        self.app.leave = lambda: self.calls.append(("leave",))
        self.app.exports = taker("carry_out", "vendor")
        self.navigation = Navigation(self.fleet, self.notifications, self.input, self.acting.refusal, self.app)
        self.own = CommandRuns(self.fleet, self.notifications, self.input, self.app, {})
        self.line = CommandLine(
            self.fleet, self.notifications, self.input, self.navigation, self.acting, taker("undo"), taker("seek"),
            taker("show", "close", "go_to"), self.looks, self.own, self.app,
        )  # fmt: skip

    def run(self, text: str) -> list[tuple[object, ...]]:
        self.line.run(parse(text, ()))
        return self.calls


@pytest.fixture
def console(state) -> Commands:
    made = Commands(B)
    made.show("n1")
    return made


@pytest.mark.parametrize(
    ("text", "call"),
    [("quit", ("leave",)), ("undo", ("undo",)), ("at 03:12", ("seek", "at", "03:12")), ("next", ("seek", "next", "")),
     (f"cluster {B}", ("show", B)), (f"close {B}", ("close", B)), ("vendor", ("vendor", ""))],
)  # fmt: skip
def test_a_command_goes_to_its_controller(console: Commands, text: str, call: tuple[str, ...]) -> None:
    assert console.run(text) == [call]


@pytest.mark.parametrize(
    ("text", "why"),
    [("node n9", "no node n9 is known|not"), ("job nonsense", "no job nonsense is known"), ("theme nonsense", ""),
     ("filter state=idle", "can be filtered"), ("progress", "nothing is being sent"), ("common [", "[")],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(console: Commands, text: str, why: str) -> None:
    with pytest.raises(CommandError) as error:
        console.run(text)
    assert any(part in str(error.value) for part in why.split("|"))


def test_the_prompt_closes_or_says_why_not(console: Commands) -> None:
    told, closed = [], []
    prompt = SimpleNamespace(is_open=True, show_message=told.append, close=lambda: closed.append(True))
    console.line.submit(SimpleNamespace(kind="/", value="quit", prompt=prompt))
    console.line.submit(SimpleNamespace(kind=":", value="node n9", prompt=prompt))
    assert (len(told), closed, console.calls) == (1, [], [])
    console.line.submit(SimpleNamespace(kind=":", value="undo", prompt=prompt))
    assert closed == [True] and console.calls == [("undo",)]


def test_the_palette_finds_by_name_and_offers_what_is_refused_last_with_the_reason(console: Commands) -> None:
    every = list(console.line.palette_entries())
    assert found(every, "drain node", ())[0].name == "Drain node"
    refused = next(one for one in every if one.name == "Resume node")
    assert refused.refused and refused.description == "not now: refused here"
    assert found(every, f"cluster {B[:4]}", ())[0].name == f"Cluster {B}"
    assert not [one for one in Commands().line.palette_entries() if one.name.startswith("Cluster ")]


async def test_what_was_chosen_runs_after_the_palette_has_closed(console: Commands) -> None:
    every = {one.name: one for one in console.line.palette_entries()}
    await console.line._run_entry(every[f"Cluster {B}"])
    await console.line._run_entry(every["Filter the rows"])
    assert console.calls == [("go_to", B)] and console.app.posted == ["screen.filter"]
    await console.line._run_entry(every["Show jobs"])
    assert console.app.screen == "jobs"


def test_the_view_before_comes_back_and_nodes_are_compared_from_two_on(console: Commands) -> None:
    console.navigation.go_back()
    assert "there is no view before this one" in console.notes[-1]
    console.navigation.go("jobs")
    console.navigation.go_back()
    assert console.app.screen == "nodes"
    console.navigation.compare(("n1", "n9"))
    assert "mark two or more" in console.notes[-1]


def test_ssh_goes_to_a_known_node_only_and_to_none_of_the_simulated_cluster(console: Commands, monkeypatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(process, "run_in_foreground", lambda argv: started.append(argv) or 255)
    console.navigation.ssh("n9")
    console.navigation.ssh("-oProxyCommand=x")
    assert all("is no node that ssh could go to" in note for note in console.notes) and not started
    console.navigation.ssh("n1")
    assert started == [["ssh", "--", "n1"]] and "back from n1: ssh ended with 255" in console.notes[-1]
    console.session.cluster = msgspec.structs.replace(console.session.cluster, demo=True)
    console.navigation.ssh("n1")
    assert len(started) == 1 and "has no nodes to ssh to" in console.notes[-1]
