"""What docs/ takes from the code is current (`make docs`), and what its pages say by hand is what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from collectors.nodestate import DISPLAYS, display_word, parse_state
from collectors.slurm.native.write import NativeWriter
from console.actions.registry import ACTIONS, BY_ID, keys_for
from console.cli.main import cli
from console.config.settings import ConfigError, load
from console.health.xid_policy import default_policy
from console.pages import action_pages, generated, settings_page, states_page
from tests.support import make
from tests.support.paths import DOCS
from tests.tools import shots
from themes.roles import JOB_LOOK

PAGES = [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"]


@pytest.mark.parametrize("name", sorted(generated.pages(DOCS)))
def test_a_page_is_current(name):
    assert (DOCS / name).read_text() == generated.pages(DOCS)[name], "write it: make docs"


def test_every_part_stands_somewhere():
    found = [name for page in DOCS.glob("*.md") for name in re.findall(r"<!-- made: (\w+) -->", page.read_text())]
    assert sorted(found) == sorted(generated.PARTS)


def test_a_part_that_is_old_is_made_anew(tmp_path):
    (tmp_path / "x.md").write_text("before\n<!-- made: guard -->\nold\n<!-- end -->\nafter\n")
    assert generated.pages(tmp_path)["x.md"].splitlines()[2].startswith("| `[guard]`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if not path.startswith(("http:", "https:")):
            to = (page.parent / path) if path else page
            assert to.exists(), target
            if anchor:
                heads = re.findall(r"^#+ (.*)$", to.read_text(), re.M)
                assert anchor in {re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in heads}, target


def blocks(page: Path, language: str) -> list[str]:
    """What stands between fences of that language."""
    parts = re.split(r"^```(\w*)\n", page.read_text(), flags=re.M)[1:]
    return [text for word, text in zip(parts[::4], parts[1::4], strict=True) if word == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_line_that_is_told_is_one(page):
    """Every `wacht …` in a block: its command is there and knows its options."""
    for line in "".join(blocks(page, "")).splitlines():
        typed = re.match(r"(?:\$ |\S*/bin/)?wacht(?: (\S.*))?$", line.partition("#")[0].strip())
        if typed is None or not typed[1]:
            continue
        words = re.split(r" {3,}|, | \| ", typed[1].replace("[--json]", "--json"))[0].split()
        command: click.Command = cli
        known = {one for param in cli.params for one in param.opts}
        for word in words:
            ctx = click.Context(command)
            if isinstance(command, click.Group) and (below := command.get_command(ctx, word)) is not None:
                command = below
                known |= {one for param in command.params for one in param.opts}
        assert command is not cli or words[0].startswith("-"), line
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", ["first-day.md", "browser.md"])
def test_an_example_is_a_configuration_of_the_site(page, tmp_path):
    empty = tmp_path / "own.toml"
    empty.touch(mode=0o600)
    for nth, example in enumerate(blocks(DOCS / page, "toml")):
        file = tmp_path / f"{nth}.toml"
        file.write_text(example.replace('owner = "wacht"', 'owner = "root"'))
        file.chmod(0o600)
        assert list(load(str(empty), {}, file).clusters) == ["groningen"]


# -- configuration -----------------------------------------------------------------------------------------------------


def config(tmp_path, text: str):
    file = tmp_path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load(str(file), {}, tmp_path / "no-site-file")


def test_the_example_is_a_configuration(tmp_path):
    found = config(tmp_path, settings_page.EXAMPLE)
    assert f"```toml\n{settings_page.EXAMPLE}```" in settings_page.page()
    assert found.theme == "daylight" and set(found.clusters["groningen"].sources) == {
        "slurm", "prometheus", "alertmanager",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["x = 1", "guard = { x = 1 }", "recording = { x = 1 }", "[cluster.a]\nx = 1",
     *(f"[cluster.a]\n{one} = {{ x = 1 }}" for one in ("slurm", "prometheus", "alertmanager", "nvml", "sim", "racks",
                                                       "power")),
     "[cluster.a]\nslurm = { budget = { x = 1 } }"],
)  # fmt: skip
def test_every_key_that_is_allowed_is_told(tmp_path, text):
    with pytest.raises(ConfigError, match="allowed: ") as error:
        config(tmp_path, text)
    for name in str(error.value).partition("allowed: ")[2].split(", "):
        assert re.search(rf"[`.\[]{name}[`.\]]", settings_page.page()), name


# -- actions -----------------------------------------------------------------------------------------------------------


def section(title: str) -> str:
    return action_pages.page().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("action", [one.id for one in ACTIONS if one.result_kind in {"node", "job"}])
def test_pyslurm_is_told_what_the_page_says(action):
    told = re.findall(r"^native   (.*)$", section(action), re.M)
    changes = [action_pages.change(BY_ID[action])]
    changes += [action_pages.change(BY_ID[action], **more) for _, more in BY_ID[action].samples]
    assert len(told) == len(changes)
    for line, change in zip(told, changes, strict=True):
        refused = NativeWriter().unsupported_targets(change)
        if refused:
            assert line == f"no: {refused[change.targets[0]]}"
        else:
            (words,) = NativeWriter().commands(change)
            assert shlex.split(line)[1:] == list(words[words.index("-m") + 2 :])


def acts(action: str, **row: object) -> bool:
    kind = BY_ID[action].kind
    made_row = make.job(**row) if kind == "job" else make.node(state=row["state"])
    return BY_ID[action].refuse(make.cluster(), made_row) is None


@pytest.mark.parametrize(
    ("action", "left", "taken"),
    [
        ("drain", [{"state": "IDLE+DRAIN"}], {"state": "IDLE"}),
        ("undrain", [{"state": "IDLE"}, {"state": "IDLE+DRAIN+INVALID_REG"}], {"state": "IDLE+DRAIN"}),
        ("resume", [{"state": "IDLE"}, {"state": "IDLE+DRAIN+INVALID_REG"}], {"state": "DOWN"}),
        ("down", [{"state": "DOWN"}], {"state": "IDLE"}),
        ("reboot", [{"state": "IDLE@"}, {"state": "IDLE~"}, {"state": "FUTURE"}], {"state": "DOWN"}),
        ("requeue", [{"state": "PENDING"}, {"state": "COMPLETING"}, {"state": "FAILED"}], {"state": "RUNNING"}),
        ("hold", [{"state": "RUNNING"}, {"state": "PENDING", "reason": "JobHeldAdmin"}],
         {"state": "PENDING", "reason": "JobHeldUser"}),
        ("uhold", [{"state": "RUNNING"}, {"state": "PENDING", "reason": "JobHeldUser"}], {"state": "PENDING"}),
        ("release", [{"state": "PENDING"}], {"state": "PENDING", "reason": "JobHeldUser"}),
        ("priority", [{"state": "RUNNING"}, {"state": "PENDING", "reason": "JobHeldUser"}], {"state": "PENDING"}),
        ("cancel", [{"state": "COMPLETING"}, {"state": "FAILED"}], {"state": "RUNNING"}),
    ],
)  # fmt: skip
def test_it_leaves_alone_what_the_page_says(action, left, taken):
    assert [acts(action, **row) for row in left] == [False] * len(left) and acts(action, **taken)
    assert "Left alone: " in section(action)


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", DISPLAYS)
def test_slurms_states_are_shown_as_the_page_says(word):
    said, _ = states_page.NODES[word]
    assert [display_word(*parse_state(one)) for one in said] == [word] * len(said)


def test_no_state_is_forgotten():
    assert list(states_page.NODES) == list(DISPLAYS) and list(states_page.JOBS) == list(JOB_LOOK)
    for action in (*keys_for("node"), *keys_for("job")):
        assert not action.key or f"`{action.key}`" in states_page.page()


# -- XIDs --------------------------------------------------------------------------------------------------------------


def test_every_code_is_told_once():
    told: list[int] = []
    for cell in re.findall(r"^\| ([0-9][0-9, -]*) \|", (DOCS / "xids.md").read_text(), re.M):
        for span in cell.split(", "):
            low, _, high = span.partition("-")
            told += range(int(low), int(high or low) + 1)
    assert sorted(told) == sorted(default_policy().advice)


# -- the tour ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_pictures_of_the_tour_are_current():
    made_now = await shots.take()
    assert {path.stem for path in (DOCS / "tour").iterdir()} == set(made_now)
    assert [name for name, svg in made_now.items() if (DOCS / f"tour/{name}.svg").read_text() != svg] == [], "make docs"
    told = re.findall(r"\]\(tour/([a-z]+)\.svg\)", (DOCS / "tour.md").read_text())
    assert told == list(made_now)
    for svg in made_now.values():
        assert len(svg) < 150_000 and "url(http" not in svg
