"""What leaves the console as a file or for the clipboard: all rows as shown, nothing that a reader would run."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import threading

import pytest
from msgspec.structs import replace

from collectors.model import Cluster, Load, Node, Power, Totals
from console.app import export_commands
from console.clusters.cluster_summary import ClusterSummary
from console.config.commands import CommandError, completer, parse
from console.export import output_file
from console.export.export_fields import TABLES, fields_of
from console.export.markdown import escaped, item
from console.export.output_file import CannotWrite, save
from console.export.table_export import TableExport, guarded, plain, shown, written
from console.fields.common_cells import Ctx
from console.fields.job_fields import JOBS
from console.fields.node_fields import NODES
from console.tables.cluster_columns import CLUSTERS, ClusterRow
from tests.support import make
from tests.support.operator import console
from tests.support.yardstick import cost
from widgets.bars import gauge
from widgets.table_column import Column


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))


def nodes_sheet(*nodes: Node, loads=()) -> TableExport:
    rows = {node.name: node for node in nodes}
    cluster = make.cluster(nodes=nodes, loads=loads or None)
    return TableExport(name="nodes", columns=NODES, fields=fields_of(NODES)[1], rows=rows, keys=tuple(rows),
                 ctx=Ctx(cluster, 1000.0))  # fmt: skip


def text(sheet: TableExport, form: str) -> str:
    return b"".join(written(sheet, form)).decode()


# The forms.


@pytest.mark.parametrize("bad", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=cmd|'/c calc'!A1", "＝1"])
def test_a_spreadsheet_calculates_nothing_that_somebody_wrote(bad):
    node = make.node("n1", "DOWN", reason=bad, partitions=(bad, "gpu"))
    (row,) = csv.DictReader(io.StringIO(text(nodes_sheet(node), "csv"), newline=""))
    assert row["reason"] == f"'{bad}"
    assert row["partitions"].startswith("'")


def test_a_number_below_nought_stays_a_number():
    assert guarded(-5.5) == -5.5
    assert guarded("-5.5") == "'-5.5"
    assert (guarded(None), guarded(True), guarded(("a", "b"))) == ("", "true", "a,b")


def test_commas_quotes_and_line_breaks_come_back_as_they_were():
    reason = 'a "bad" one, and\nanother ü'
    out = text(nodes_sheet(make.node("n1", "IDLE", reason=reason)), "csv")
    assert next(csv.DictReader(io.StringIO(out, newline="")))["reason"] == reason
    assert out.endswith("\r\n")


def test_unknown_is_null_and_never_nought():
    known = make.node("a", cpu_load=0.0)
    sheet = nodes_sheet(known, make.node("b", gpus=None, gpus_alloc=None), loads=[Load(node="a", power_w=612.5)])
    one, other = json.loads(text(sheet, "json"))
    assert (one["gpus"], one["gpus_alloc"], one["cpu_load"], one["power_w"]) == (8, 0, 0.0, 612.5)
    assert {other[key] for key in ("gpus", "gpus_alloc", "cpu_load", "power_w", "reason_at", "rack", "jobs")} == {None}
    row = list(csv.DictReader(io.StringIO(text(sheet, "csv"), newline="")))[1]
    assert row["gpus"] == row["power_w"] == ""


def test_a_dash_on_the_screen_is_null_for_a_program():
    assert shown(Column("x", "x", 1, lambda row, _: (row, "text-dim"))).value("—", None) is None
    assert shown(Column("x", "x", 1, lambda row, _: row)).value("a", None) == "a"


def test_an_empty_sheet_is_an_empty_list_and_a_header():
    assert json.loads(text(nodes_sheet(), "json")) == []
    assert text(nodes_sheet(), "csv").count("\r\n") == 1


def test_moments_are_in_utc_and_lengths_are_seconds():
    job = make.job("7", started=400, time_limit_s=3600)
    rows = {"7": job}
    sheet = TableExport(name="jobs", columns=JOBS, fields=fields_of(JOBS)[1], rows=rows, keys=("7",),
                  ctx=Ctx(make.cluster(jobs=rows), 1000.0))  # fmt: skip
    (row,) = json.loads(text(sheet, "json"))
    assert (row["started"], row["elapsed_s"], row["left_s"]) == ("1970-01-01T00:06:40Z", 600, 3000)


def test_markdown_shows_what_a_text_says():
    node = make.node("n1", "DOWN", reason="a|b <img src=x> [x](javascript:y) `c` *d*")
    line = text(nodes_sheet(node), "md").splitlines()[-1]
    assert r"a\|b \<img src=x> [x]\(javascript:y) \`c\` \*d\* |" in line
    assert line.replace(r"\|", "").count("|") == len(NODES) + 1
    assert escaped("gpu[001-004] 7 < 8 a_b") == "gpu[001-004] 7 < 8 a_b", "what harms nothing stays readable"


@pytest.mark.parametrize(
    ("mark", "tame"),
    [("# x", r"\# x"), ("## x", r"\## x"), ("- x", r"\- x"), ("+ x", r"\+ x"), ("> x", r"\> x"), (">x", r"\>x"),
     ("1. x", r"1\. x"), ("12) x", r"12\) x"), ("===", r"\==="), ("---", r"\---"), ("#", r"\#"),
     ("14.5 h", "14.5 h"), ("-5 h", "-5 h"), ("#12 x", "#12 x")],
)  # fmt: skip
def test_no_line_of_a_point_begins_another_block(mark, tame):
    assert item(mark) == f"- {tame}"
    assert item("x" * 77 + f" {mark}").splitlines()[1] == f"  {tame}"


def test_a_bar_is_not_told():
    assert plain([*gauge(0.5, 6), (" 50 %", "")]) == "50 %"
    assert plain("━━") == "━━", "a text of somebody is no bar"


@pytest.mark.parametrize(("columns", "name"), TABLES, ids=[name for _, name in TABLES])
def test_each_field_has_one_name(columns, name):
    names = [field.name for field in fields_of(columns)[1]]
    assert len(set(names)) == len(names), names


# The file.


def test_a_file_is_the_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        assert save(tmp_path / "a.csv", [b"ab", b"c"]) == 3
        assert save(tmp_path / "a.csv", [b"new"], over=True) == 3
    finally:
        os.umask(before)
    assert (tmp_path / "a.csv").read_bytes() == b"new"
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("over", [False, True])
def test_nothing_is_written_through_a_link(tmp_path, over):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("link", "dangling"):
        with pytest.raises(CannotWrite, match="symbolic link"):
            save(tmp_path / name, [b"x"], over)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "gone").exists()


def test_a_file_that_is_there_stays_unless_it_is_asked_for(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(CannotWrite, match="a file is there already"):
        save(tmp_path / "a", [b"new"])
    assert (tmp_path / "a").read_text() == "old"
    with pytest.raises(CannotWrite, match="no such folder"):
        save(tmp_path / "nowhere" / "a", [b"new"])
    assert not (tmp_path / "nowhere").exists()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotWrite, match="no plain file"):
        save(tmp_path / "pipe", [b"new"], over=True)


@pytest.mark.parametrize("over", [False, True])
def test_a_full_disk_leaves_nothing_and_what_was_there(tmp_path, monkeypatch, over):
    if over:
        (tmp_path / "a").write_text("old")
    write, calls = os.write, []

    def full(fd, data):
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(output_file.os, "write", full)
    with pytest.raises(CannotWrite, match="the disk is full, nothing was left there"):
        save(tmp_path / "a", [b"one", b"two"], over)
    assert [one.name for one in tmp_path.iterdir()] == (["a"] if over else [])
    assert not over or (tmp_path / "a").read_text() == "old"


def test_what_breaks_while_it_is_made_leaves_nothing(tmp_path):
    def broken():
        yield b"one"
        raise ValueError("a column")

    with pytest.raises(ValueError, match="a column"):
        save(tmp_path / "a", broken())
    assert not list(tmp_path.iterdir())


# The command.


def test_what_can_be_typed():
    assert parse(":export! csv /tmp/a b.csv").over
    assert parse("export csv").rest == "csv"
    assert parse("exp json").verb == "export"
    with pytest.raises(CommandError, match="take a !"):
        parse("nodes! idle")
    with pytest.raises(CommandError, match="take a !"):
        parse("drain! gpu0001")
    complete = completer(lambda: make.cluster(""), ())
    assert complete("export c") == ["export csv"]
    assert complete("export csv ") == ["export csv clipboard"]


def heard(op) -> list[str]:
    """What is told from now on."""
    said, tell = [], op.app.notifications.show_for

    def told(at, text, severity="information"):
        said.append(text)
        tell(at, text, severity)

    op.app.notifications.show_for = told
    return said


async def out(op, line: str) -> str:
    """What is told of a command; no line is typed for it."""
    said = heard(op)
    op.app.exports.carry_out(parse(line))
    await op.until(lambda: said, line)
    return said[0]


@pytest.mark.slow
async def test_all_rows_go_out_as_filtered_and_ordered_not_only_those_that_are_seen(tmp_path):
    async with console((80, 24)) as op:
        said = heard(op)
        await op.press("2")
        op.list.set_filter("gpu[0001-0040]")
        await op.press("O")
        keys = list(op.list.table.keys)
        assert len(keys) == 40 > op.list.table.page and keys[0] == "gpu0040"
        await op.command("export csv")
        await op.until(lambda: said, "it is told")
        (made,) = tmp_path.glob("wacht-demo-groningen-nodes-*Z.csv")
        assert said == [f"{len(keys)} rows of nodes: {made} ({made.stat().st_size / 1e3:.0f} kB)"]
        assert [row["name"] for row in csv.DictReader(made.open(newline=""))] == keys
        assert made.stat().st_mode & 0o777 == 0o600


async def test_marked_rows_go_out_alone_those_that_a_filter_hides_too(tmp_path):
    async with console((80, 24)) as op:
        await op.press("2")
        op.list.table.mark(["gpu0003", "gpu0040", "gpu0001"])
        op.list.set_filter("rack=R01")
        await out(op, f"export json {tmp_path}/a.json")
        names = [row["name"] for row in json.loads((tmp_path / "a.json").read_text())]
        assert names == ["gpu0001", "gpu0003", "gpu0040"]
        said = heard(op)
        await op.press("Y")
        assert said[-1] == "copied: gpu[0001,0003,0040]  (3)"
        assert op.app.clipboard == "gpu[0001,0003,0040]"


@pytest.mark.slow
async def test_every_table_there_is_can_go_out(tmp_path):
    async with console((120, 40)) as op:
        for key in "34567i":
            await op.press(key)
            for form in ("csv", "json", "md"):
                assert "rows of" in await out(op, f"export {form} {tmp_path}/{key}.{form}")
            rows = json.loads((tmp_path / f"{key}.json").read_text())
            assert len(rows) == len(list(csv.reader((tmp_path / f"{key}.csv").open(newline="")))) - 1 > 0
            assert "\x1b" not in (tmp_path / f"{key}.md").read_text()
        await op.press("7", "tab")
        await out(op, f"export json {tmp_path}/r.json")
        assert {row["name"] for row in json.loads((tmp_path / "r.json").read_text())} == set(op.cluster.reservations)


async def test_a_rack_that_is_zoomed_into_has_a_row_a_gpu(tmp_path):
    async with console((120, 40)) as op:
        await op.press("4", "z")
        await out(op, f"export json {tmp_path}/g.json")
        rows = json.loads((tmp_path / "g.json").read_text())
        rack = op.app.screen.rack
        assert {row["node"] for row in rows} <= set(op.cluster.racks[rack])
        assert rows[0]["index"] == 0 and rows[0]["power_w"] > 0


@pytest.mark.slow
async def test_the_screen_goes_out_without_the_line_and_fetches_nothing(tmp_path):
    async with console((80, 24)) as op:
        said = heard(op)
        await op.until(lambda: all(one.tried for one in op.cluster.sources.values()), "all was read")
        await op.pilot.pause()
        seen = op.screen()
        for form in ("text", "svg"):
            await op.command(f"export {form} ~/s.{form}")
            await op.until(lambda: said, form)
            assert said.pop().startswith("the screen: ")
        told = (tmp_path / "s.text").read_text()
        assert told.splitlines()[5:-2] == seen.splitlines()[5:-2]
        assert "export text" not in told
        drawn = (tmp_path / "s.svg").read_text()
        assert drawn.startswith("<svg") and "Attention" in drawn and "export&#160;svg" not in drawn
        assert "@font-face" not in drawn and "url(http" not in drawn and "cdnjs" not in drawn


async def test_the_clipboard_takes_what_a_terminal_takes_and_no_part_of_more(monkeypatch):
    async with console((80, 24)) as op:
        await op.press("2")
        told = await out(op, "export csv clipboard")
        assert "64 rows of nodes: sent to the terminal's clipboard" in told
        held = op.app.clipboard
        assert len(list(csv.reader(io.StringIO(held, newline="")))) == 65
        monkeypatch.setattr(export_commands, "CLIPBOARD_MOST", len(held) - 1)
        told = await out(op, "export csv clipboard")
        assert "clipboard takes" in told and "mark fewer rows, or name a file" in told
        assert op.app.clipboard is held


@pytest.mark.slow
async def test_what_cannot_be_exported_says_why():
    async with console((80, 24)) as op:
        none = "there is no table here: :export svg or :export text takes the screen"
        assert await out(op, "export csv") == none
        await op.press("2")
        op.list.set_filter("name=nothing")
        assert (await out(op, "export csv")).startswith("nothing to export: no nodes match")
        await op.command("export pdf")
        op.sees("export csv | json | md | svg | text")


async def test_a_disk_that_hangs_holds_no_key_up(tmp_path, monkeypatch):
    async with console((80, 24)) as op:
        release, begun, main = threading.Event(), threading.Event(), threading.current_thread()
        said = heard(op)

        def hangs(path, chunks, over):
            assert threading.current_thread() is not main
            begun.set()
            release.wait(20)
            return 7

        monkeypatch.setattr(export_commands, "save", hangs)
        monkeypatch.setattr(export_commands, "SLOW_S", 0.01)
        await op.press("2")
        op.app.exports.carry_out(parse(f"export csv {tmp_path}/a.csv"))
        await op.until(begun.is_set, "it is being written")
        await op.press("3")
        op.sees("Jobs")
        await op.until(lambda: said, "that it takes its time")
        assert said.pop() == "nodes: it is being written …" and not said
        release.set()
        await op.until(lambda: said, "it is told")
        assert said == [f"64 rows of nodes: {tmp_path}/a.csv (7 B)"]


def test_a_hundred_thousand_rows_never_hold_another_thread_up_for_long():
    """The longest time for which a thread that writes 100,000 jobs lets no other run is that of one batch."""
    rows = {str(i): make.job(str(i), "PENDING", name=f"job{i}", priority=i) for i in range(100_000)}
    sheet = TableExport(name="jobs", columns=JOBS, fields=fields_of(JOBS)[1], rows=rows, keys=tuple(rows),
                  ctx=Ctx(make.cluster(jobs=rows), 1000.0))  # fmt: skip
    pieces = written(sheet, "json")
    next(pieces)
    sizes: list[int] = []
    # 0.6 of the yardstick each where it was measured.
    assert cost(lambda: sizes.extend(len(next(pieces)) for _ in range(8))) / 8 < 2
    assert len(sizes) == 40 and max(sizes) < 1 << 18


def test_the_power_of_a_cluster_is_what_its_power_screen_says():
    """Of nodes that are silent only the PDUs tell; where nothing but the nodes does it is their sum."""
    told = Cluster(name="b", totals=Totals(power_w=1.6e6), power=Power(source="PDU", site_w=1.66e6))
    for one, watts, text in ((told, 1.66e6, "1.66 MW"), (replace(told, power=None), 1.6e6, "1.60 MW")):
        row = ClusterRow(standing=ClusterSummary(name="b", cluster=one))
        assert next(column for column in CLUSTERS if column.key == "power").cell(row, None) == text
        assert next(field for field in fields_of(CLUSTERS)[1] if field.name == "power_w").value(row, None) == watts
