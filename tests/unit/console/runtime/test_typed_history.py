"""What was typed outlives the console: kept in one file that several consoles add to, walked with Up, looked through
with Ctrl+R; and what a half typed line may become."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from console.filters import completion
from console.filters.language import compile_filter
from console.runtime.errors import FilterError
from console.runtime.state_files import LONGEST, StateFile, StateFileFault, newest
from tests.support.make import cluster, job, node
from tests.support.operator import Operator, console
from widgets.prompt import MAX_LENGTH as LINE
from widgets.prompt import History


def kept(folder: Path, most: int = 500) -> StateFile:
    return StateFile(folder / "state" / "history", most, newest(most))


def test_it_is_ours_alone_and_in_order(tmp_path):
    one = kept(tmp_path)
    assert one.read() == []
    for line in (":nodes", "/idle", ":jobs", ":nodes"):
        one.add(line)
    assert one.read() == ["/idle", ":jobs", ":nodes"]
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600 and stat.S_IMODE(one.path.parent.stat().st_mode) == 0o700


def test_it_does_not_grow_for_ever(tmp_path):
    one = kept(tmp_path, 10)
    for at in range(100):
        one.add(f":job {at}")
    assert one.read() == [f":job {at}" for at in range(90, 100)]
    assert len(one.path.read_text().splitlines()) <= 21


def test_several_consoles_add_to_it(tmp_path):
    def work(name: str) -> None:
        mine = kept(tmp_path, 30)
        for at in range(40):
            mine.add(f":{name} {at}")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    lines = kept(tmp_path, 30).path.read_text().splitlines()
    assert all(line.split()[0] in {":a", ":b", ":c"} and line.split()[1].isdigit() for line in lines)
    assert len(lines) <= 61 and {line for line in lines if line.endswith(" 39")}, "the newest are there"


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path):
    one = kept(tmp_path)
    one.add(":nodes")
    with one.path.open("ab") as file:
        file.write(b":cut o\xff")
    one.add(":jobs")
    assert one.read()[-1] == ":jobs" and one.read()[0] == ":nodes"


def test_nothing_of_it_steers_a_terminal(tmp_path):
    one = kept(tmp_path)
    one.add(":node x\x1b[2J\x1b]52;c;eA==\x07\nq")
    one.add("x" * (LONGEST + 1))
    one.path.write_bytes(one.path.read_bytes() + b"/\x1b[31mred\n" + b"y" * 10_000 + b"\n")
    assert all(line.isprintable() and len(line) <= LONGEST for line in one.read())
    assert len(one.read()) == 2


@pytest.mark.parametrize("what", ["link", "folder", "open to all"])
def test_what_is_not_ours_is_told_of(tmp_path, what):
    one = kept(tmp_path)
    one.path.parent.mkdir()
    if what == "link":
        one.path.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        one.path.mkdir()
    else:
        one.path.touch()
        one.path.parent.chmod(0o777)
    with pytest.raises(StateFileFault, match=str(one.path)):
        one.add(":nodes")
    assert not (tmp_path / "elsewhere").exists()


def test_looking_for_a_text_in_it():
    history = History([":a", "nodes state=idle", "jobs user=alice", "nodes rack=R07"])
    assert history.older_with("nodes", "nodes") == "nodes rack=R07"
    assert history.older_with("nodes rack=R07", "nodes") == "nodes state=idle"
    assert history.older_with("nodes state=idle", "nodes") is None
    assert history.newer() == "jobs user=alice"


# -- what a line may become --------------------------------------------------------------------------------------------

HERE = cluster(
    nodes=[node(f"gpu{n}", rack=rack) for n, rack in ((10, "R1"), (9, "R2"), (1, "R 3"))],
    jobs=[job("101", user="alice"), job("102", "PENDING", user="bob"), job("103", user="alan")],
)
WORDS = {kind: completion.field_values(HERE, kind) for kind in ("node", "job")}


@pytest.mark.parametrize(
    ("kind", "text", "becomes"),
    [
        ("node", "rack=", ["rack=R1", "rack=R2", 'rack="R 3"']),
        ("node", "RACK!=r2", ["RACK!=R2"]),
        ("node", "idle rack=R1", ["idle rack=R1"]),
        ("node", "(rack=R1 | rack=R2", ["(rack=R1 | rack=R2"]),
        ("node", "nonsense=x", []),
        ("node", "gpu>", ["gpu>"]),
        ("job", "user=al", ["user=alan", "user=alice"]),
        ("job", "user=alice & st", ["user=alice & state="]),
        ("node", "@m", ["@mine"]),
    ],
)
def test_a_filter_becomes(kind, text, becomes):
    found = completion.filter_candidates(
        text, kind, WORDS[kind], HERE.nodes if kind == "node" else (), ("mine", "other")
    )
    assert found == becomes


@given(st.text(max_size=40), st.sampled_from(["node", "job"]))
def test_any_text_is_offered_what_goes_on_with_it(text, kind):
    for one in completion.filter_candidates(text, kind, WORDS[kind], HERE.nodes):
        assert len(one) >= len(text) - 1


@pytest.mark.parametrize("kind", ["node", "job"])
def test_every_value_that_is_offered_is_a_filter(kind):
    for field, values in WORDS[kind].items():
        assert values or field in {"by", "version", "reason", "res", "type", "feature", "qos", "account"}
        for offer in completion.filter_candidates(f"{field}=", kind, WORDS[kind], ()):
            try:
                compile_filter(offer, kind)
            except FilterError as error:
                raise AssertionError(f"{offer}: {error}") from None


def test_a_name_with_a_quote_is_still_a_filter():
    odd = cluster(jobs=[job("1", user='o"neil'), job("2", user="d'arcy")])
    for offer in completion.filter_candidates("user=", "job", completion.field_values(odd, "job"), ()):
        compile_filter(offer, "job")


# -- on the screen -----------------------------------------------------------------------------------------------------


async def written(op: Operator, text: str) -> None:
    path = Path(os.environ["XDG_STATE_HOME"]) / "wacht" / "history"
    await op.until(lambda: path.exists() and text in path.read_text().splitlines(), f"{text} in the history")


@pytest.mark.slow
async def test_the_next_console_walks_what_this_one_typed():
    async with console() as op:
        await op.press("2")
        await op.burst("/rack=R01\n")
        await op.burst(":nodes state=drained\n")
        await written(op, ":nodes state=drained")
        await written(op, "/rack=R01")
    async with console() as op:
        await op.until(lambda: op.app.input.histories[":"].entries, "the history")
        await op.press("3", "colon", "up")
        assert op.list.prompt.value == "nodes state=drained"
        await op.press("escape", "slash", "up")
        assert op.list.prompt.value == "rack=R01"
        await op.press("escape", "colon")
        await op.burst("drained")
        await op.press("ctrl+r")
        assert op.list.prompt.value == "nodes state=drained"


async def test_every_screen_has_the_same_history():
    async with console() as op:
        await op.burst(":jobs\n")
        await op.press("1", "colon", "up")
        assert op.app.screen.prompt.value == "jobs"


async def test_a_home_that_cannot_be_written_is_told_of_once(monkeypatch, tmp_path):
    (tmp_path / "wacht").mkdir(mode=0o700)
    (tmp_path / "wacht" / "history").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with console() as op:
        await op.comes("what is typed is not kept")
        await op.burst(":jobs\n")
        await op.press("2")
        assert op.list.crumb == "nodes"


async def test_tab_goes_through_what_the_machine_has():
    async with console() as op:
        await op.press("3", "slash")
        await op.until(lambda: op.app.input.completions.values.get("job", {}).get("user"), "the users")
        first, second = op.app.input.completions.values["job"]["user"][:2]
        await op.burst("user=")
        await op.press("tab")
        assert op.list.prompt.value == f"user={first}"
        await op.press("tab")
        assert op.list.prompt.value == f"user={second}"
        await op.press("shift+tab")
        assert op.list.prompt.value == f"user={first}"


async def test_a_long_paste_is_no_line():
    async with console() as op:
        await op.press("2", "colon")
        op.app.post_message(events.Paste("x" * (LINE + 1)))
        await op.pilot.pause()
        assert len(op.list.prompt.value) <= LINE


async def test_what_it_may_become_stands_beneath_and_half_a_filter_is_no_mistake():
    async with console() as op:
        await op.press("2", "slash")
        await op.until(lambda: op.app.input.completions.values.get("node", {}).get("rack"), "the racks")
        await op.burst("rack=")
        op.sees("rack=R01  rack=R02")
        op.sees_not("needs a value")
        await op.press("enter")
        op.sees("needs a value")
        await op.burst("R0")
        op.sees("rack=R01  rack=R02")
        assert op.list.prompt.is_open
        await op.burst("xx~")
        op.sees_not("rack=R01")
