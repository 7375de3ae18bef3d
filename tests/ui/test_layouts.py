"""What must be in sight on every size and under every theme: nothing that matters cut, collided or left blank."""

from __future__ import annotations

import pytest

from collectors.model import JobDetail
from console.actions.registry import keys_for
from console.app.confirm_dialog import ConfirmDialog, _shorten
from console.gate.preview import Fact
from console.plant import gpus
from console.tables import inspection_lines
from tests.support.operator import Operator, console
from widgets.cells import wrap_spans
from widgets.pane import PaneLine

pytestmark = pytest.mark.slow

SMALL, LARGE = (80, 24), (120, 40)


def _text(lines: list[PaneLine]) -> list[str]:
    return ["".join(text for text, _ in line.spans) for line in lines]


async def _listens(op: Operator) -> None:
    await op.until(
        lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at is not None, "the dialog listens"
    )


async def test_an_empty_table_says_the_whole_sentence_and_no_empty_box_stands_below():
    async with console(SMALL) as op:
        await op.command("domains")
        await op.comes("no NVLink domain is known")
        op.sees("exporter reports a fabric between nodes")
        op.sees_not("╰")


async def test_on_80_columns_a_dialog_over_hundreds_of_jobs_stays_readable():
    async with console(SMALL, screen="jobs", jobs=600) as op:
        jobs = list(op.app.cluster.jobs)
        assert len(jobs) > 100
        op.app.acting.ask("cancel", jobs)
        await _listens(op)
        await op.comes(f"type {len(jobs)}, then Enter")
        op.sees(f"Cancel {len(jobs)} jobs on", "kills", "runs")
        assert op.dialog._box.body_lines < 50


async def test_on_80_columns_the_overview_says_how_near_the_site_is_to_its_budget():
    async with console(SMALL) as op:
        await op.arrive({"power", "loads"})
        await op.command("overview")
        await op.comes(" % of ")


async def test_on_80_columns_a_reservation_says_when_it_ends():
    async with console(SMALL) as op:
        await op.command("partitions")
        await op.comes("maint-nvswi")
        op.sees("starts", "ends")


@pytest.mark.parametrize("width", [80, 100, 120])
async def test_on_a_narrow_screen_the_line_of_the_inbox_under_the_cursor_is_read_in_full(width):
    async with console((width, 24), nodes=256) as op:
        await op.command("inbox")
        await op.comes("Inconsistencies")
        screen = op.app.screen
        for table in (screen.upper, screen.lower):
            for key in table.keys[:4]:
                table.select(key)
                await op.pilot.pause()
                row = table.row_of(key)
                full_text = " ".join("".join(_text(screen.full_text.lines)).split())
                assert (row.reason if table is screen.upper else row.text).split()[-1].strip(".") in full_text
                assert len(screen.full_text.lines) <= 3 and "…" not in full_text
            await op.press("tab")
        # What, where, since when: of every line.
        heads = [line for line in op.screen().split("\n") if "nodes  " in line or "node  " in line]
        assert "state" in heads[0] and "out for" in heads[0] and "reason" in heads[0] and "since" in heads[1]


async def test_how_bad_a_contradiction_is_stands_before_its_words_on_80_columns():
    async with console(SMALL, nodes=256) as op:
        await op.command("inbox")
        await op.comes("where 1")
        op.sees("▲ driver 575.57.08 where")


@pytest.mark.slow
async def test_that_it_kills_is_read_on_80_columns_whatever_else_stands_in_the_line():
    async with console(SMALL, nodes=256) as op:
        await op.command("nodes state=alloc")
        await op.press("asterisk", "D")
        await _listens(op)
        await op.type("PSU burns")
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.missing_reason and op.dialog._armed_at is not None, "the plan")
        op.sees("it kills running work", "type the words")


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, (100, 30)])
@pytest.mark.parametrize("key", ["d", "D"])
async def test_what_is_asked_of_a_person_is_in_sight_however_many_jobs_are_hit(size, key):
    async with console(size, nodes=256) as op:
        await op.command("nodes state=alloc")
        await op.press("asterisk", key)
        await _listens(op)
        op.sees("reason, then Enter", "runs ", "scontrol update", "Esc cancels")
        await op.type("PSU burns")
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.missing_reason and op.dialog._armed_at is not None, "the plan")
        asked = ("reason        PSU burns", "runs ", "scontrol update", "type the word", "Esc cancels")
        op.sees(*asked)
        before = op.screen()
        await op.press("pagedown", "pagedown")
        op.sees(*asked)
        assert ("PgDn reads on" in before) is op.dialog._pinned.display is (op.screen() != before)
        assert op.dialog._pinned.display or size != SMALL
        lines = op.screen().split("\n")
        first = next(at for at, line in enumerate(lines) if "reason  " in line)
        typed = next(at for at, line in enumerate(lines) if "type the word" in line)
        assert first < typed < len(lines) - 1


def test_of_a_long_reason_and_a_long_command_some_of_each_is_shown():
    asked = [*(Fact("" if at else "reason", f"word {at}") for at in range(9)),
             *(Fact("" if at else "runs", f"node {at}") for at in range(9))]  # fmt: skip
    shown = _shorten(asked, 6)
    assert [row.text for row in shown] == ["word 0", "word 1", "word 2 …", "node 0", "node 1", "node 2 …"]
    assert _shorten(asked[:1] + asked[9:], 4)[-1].text == "node 2 …"
    assert _shorten(asked[:1] + asked[9:10], 6) == [asked[0], asked[9]] and _shorten([], 6) == []


async def test_a_preview_that_fits_is_one_box():
    async with console(LARGE, nodes=256) as op:
        await op.press("2")
        await op.select(op.node("idle")[0])
        await op.press("d")
        await _listens(op)
        assert not op.dialog._pinned.display
        op.sees("scontrol update")


async def test_all_of_what_an_action_does_is_read_on_80_columns():
    async with console(SMALL) as op:
        await op.command("incident R01 cooling")
        await _listens(op)
        op.sees("declare an incident: shown to everybody", "silence take one key")


@pytest.mark.parametrize("theme", ["monochrome", "16-colour"])
async def test_where_nothing_can_be_tinted_the_screen_stands_below_a_dialog(theme):
    async with console(SMALL, theme=theme) as op:
        await op.command("nodes gpu0001")
        await op.press("home", "d")
        await _listens(op)
        op.sees("Drain gpu", "/ gpu0001")


async def test_help_parts_every_name_from_what_is_said_of_it():
    async with console((LARGE[0], 200)) as op:
        await op.press("question_mark")
        op.sees(*(f" {action.label if action.key else action.id}  " for action in keys_for("node")))
        await op.burst("/partitions")
        op.sees(":partitions                   Partitions and Reservations")


async def test_a_map_that_leaves_room_is_followed_by_charts():
    async with console(LARGE, nodes=256) as op:
        await op.arrive({"power"})
        await op.command("gpus")
        await op.comes("GPU utilisation")
        await op.press("z")
        op.sees_not("GPU utilisation")
        await op.press("z")
        op.sees("GPU utilisation")


@pytest.mark.slow
async def test_on_100_columns_every_pane_of_a_node_has_its_lower_border():
    async with console((100, 30)) as op:
        await op.command("node gpu0001")
        await op.comes("sampled")
        shown = op.screen()
        assert shown.count("╭") == shown.count("╰") == 4, shown


def test_a_job_on_whole_nodes_says_its_gpus_in_one_line():
    lines = inspection_lines.detail_lines(
        JobDetail(id="1", gpu_indices={"gpu0001": "0-7", "gpu0003": "0-3", "gpu0002": "0-7"})
    )
    assert [one for one in _text(lines) if one.startswith("GPUs")] == [
        "GPUs           gpu[0001-0002]: 0-7",
        "GPUs           gpu0003: 0-3",
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("short", ["short"]),
        ("drain, reset the GPU", ["drain,", "  reset", "  the GPU"]),
        ("abcdefghijklmnop", ["abcdefgh", "  ijklmnop"]),
        ("drain, now  ", ["drain, now"]),
        ("a  bcdefghijk", ["a", "  bcdefghi", "  jk"]),
        ("日本語日本語", ["日本語日", "  本語"]),
    ],
)
def test_long_text_goes_on_below_and_only_a_word_longer_than_a_line_is_broken(text, rows):
    assert ["".join(piece for piece, _ in row) for row in wrap_spans([(text, "warn")], 10, 2)] == rows


@pytest.mark.slow
async def test_the_policy_of_an_xid_is_read_to_its_end_on_80_columns():
    async with console(SMALL, nodes=256) as op:
        await op.arrive({"xids"})
        name = gpus.newest_xids(op.cluster)[0].node
        await op.command(f"node {name}")
        await op.until(lambda: any("policy" in text for text in _text(op.app.screen.problems.lines)), "the policy")
        await op.pilot.pause()
        pane = op.app.screen.problems
        assert all(len(text) <= pane.size.width - 4 for text in _text(pane.lines)), _text(pane.lines)
        assert "…" not in "".join(_text(pane.lines))


@pytest.mark.parametrize("typed", ["timelimit", "priority", "comment"])
async def test_an_action_typed_without_targets_opens_its_line_with_those_of_the_cursor(typed):
    async with console((100, 30), nodes=64) as op:
        await op.press("2" if typed == "comment" else "3")
        await op.command(typed)
        await op.pilot.pause()
        key = op.list.table.cursor_key
        prompt = op.app.screen.prompt
        assert prompt.is_open and prompt.value.startswith(f"{typed} {key} ")
