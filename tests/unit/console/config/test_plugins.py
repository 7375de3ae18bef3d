"""A site's own package, installed for real: its collector, column and action; and what is broken is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collectors.model import Change, Facts, Power, SourceFault
from collectors.site_command import Template, calls, template_fault
from console.actions.registry import ACTIONS, BY_ID
from console.app import app
from console.config import plugins
from console.config.plugin_fields import own_fields
from console.config.plugins import CheckedCollector, OwnField
from console.fields import filter_fields
from console.filters.language import compile_filter
from tests.support.make import change_of, cluster, node
from tests.support.operator import console
from tests.support.paths import ROOT

ONE = """
from console.config.plugins import OwnAction, OwnField
TICKET = OwnAction(id="case", key="E", kind="node", label="case", help="open a case", needs_reason=True,
                   argv=("/bin/true", "{node}", "--reason={reason}"))
COLUMN = OwnField(on="node", name="own", title="own title", width=14, priority=0, read=lambda row: f"own {row.name}")
"""
EXAMPLE = ROOT / "docs" / "plugin-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The example, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
            "--target", str(folder), str(EXAMPLE)]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def package(folder: Path, module: str, text: str, **groups: str) -> None:
    """A package as pip leaves it."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[wacht.{group}]\n{lines}\n" for group, lines in groups.items()))


def asked(path: Path, code: str) -> dict:
    """What a fresh process with this folder on its path says, as JSON."""
    script = f"import json\nfrom console.config import plugins\n{code}"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{path}"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ALL = """
found = {"collectors": [*plugins.collectors()], "actions": [one.id for one in plugins.actions()],
         "fields": [one.name for one in plugins.fields()]}
print(json.dumps({**found, "told": plugins.messages(), "again": plugins.messages()}))
"""


def test_the_example_is_found_whole(installed):
    found = asked(installed, ALL)
    assert found == {"collectors": ["meter"], "actions": ["case"], "fields": ["warranty"], "told": [], "again": []}


def test_without_packages_nothing_is_there_and_nothing_is_told(tmp_path):
    assert asked(tmp_path, ALL) == {"collectors": [], "actions": [], "fields": [], "told": [], "again": []}


@pytest.mark.slow
def test_what_is_broken_is_told_once_and_left_out(tmp_path):
    own = "from console.config.plugins import OwnAction, OwnField\n"
    action = "OwnAction(id={id!r}, key={key!r}, kind='node', label='x', help='x', argv={argv})"
    package(
        tmp_path, "raises", "raise RuntimeError('no \\x1b[31mlicence')", actions="a = raises:A", fields="c = raises:C"
    )
    package(tmp_path, "leaves", "raise SystemExit(3)", actions="b = leaves:B")
    package(tmp_path, "hangs", "import time\ntime.sleep(60)", collectors="h = hangs:H")
    package(
        tmp_path, "other", "X = 1", actions="t = other:X", collectors="t = other:X", fields="t = other:X\nm = other:Y"
    )
    good = ("/bin/true", "{node}")
    lines = {
        "key": action.format(id="own-drain", key="d", argv=good), "name": action.format(id="drain", key="", argv=good),
        "shell": action.format(id="shell", key="", argv=("sh", "-c", "echo {node}")),
        "two": action.format(id="two", key="", argv=("/bin/true", "{node}{reason}")),
        "text": action.format(id="text", key="", argv="'/bin/true {node}'"),
        "fine": action.format(id="fine", key="E", argv=good), "twin": action.format(id="twin", key="E", argv=good),
    }  # fmt: skip
    package(
        tmp_path, "several", own + "".join(f"{name} = {text}\n" for name, text in lines.items()),
        actions="\n".join(f"{name} = several:{name}" for name in lines),
    )  # fmt: skip
    began = time.monotonic()
    found = asked(tmp_path, ALL)
    assert time.monotonic() - began < 30
    assert found["actions"] == ["fine"] and not found["collectors"] and not found["fields"]
    assert found["again"] == []
    told = "\n".join(found["told"])
    for words in (
        "actions a of raises is left out: RuntimeError: no \\e[31mlicence",
        "actions b of leaves is left out: SystemExit",
        "collectors h of hangs is left out: its import took longer than 2 s",
        "other:X is no OwnAction, it is of the type int",
        "fields m of other is left out: AttributeError", "actions key of several is left out: the key d is taken",
        "actions name of several is left out: an action drain is there already", "must be an absolute path, is sh",
        "one field in braces is what an element may hold: {node}{reason}",
        "actions text of several is left out: Expected `array`",
        "actions twin of several is left out: the key E is taken",
    ):  # fmt: skip
        assert words in told, told
    assert len(found["told"]) == 14


# -- for real ----------------------------------------------------------------------------------------------------------


def wacht(path: Path, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{path}", "XDG_STATE_HOME": str(tmp_path / "state"),
           "XDG_CONFIG_HOME": str(tmp_path / "config")}  # fmt: skip
    argv = [sys.executable, "-c", "from console.cli.main import main; main()", *words]
    return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)


def test_its_collector_reads_and_a_wrong_key_says_what_there_is(installed, tmp_path):
    meter, config = tmp_path / "hall.watts", tmp_path / "wacht.toml"
    meter.write_text("412000\n")
    config.write_text(f'[cluster.a]\nsim = {{ nodes = 4 }}\nmeter = {{ file = "{meter}" }}\n')
    done = wacht(installed, tmp_path, "snapshot", "--json", "--config", str(config))
    assert done.returncode == 0, done.stderr
    sources = {one["name"]: one for one in json.loads(done.stdout)["sources"]}
    assert sources["meter.power"]["ok"] is True
    meter.write_text("\x1b]52;c;QUJD\x07")
    done = wacht(installed, tmp_path, "snapshot", "--json", "--config", str(config))
    assert done.returncode == 1 and "\x1b" not in done.stdout
    done = wacht(tmp_path, tmp_path, "snapshot", "--config", str(config))
    assert done.returncode == 2 and "meter: unknown key; allowed:" in done.stderr


def test_its_action_is_not_run_on_the_simulated_cluster_nor_under_read_only(installed, tmp_path):
    for words, why in (("--yes", "the simulated cluster does not run it"), ("--read-only", "read-only")):
        done = wacht(installed, tmp_path, "act", "case", "gpu0001", "--demo", "--nodes", "4", "--reason", "x", words)
        assert done.returncode == 2 and why in done.stderr


async def test_the_console_takes_them_in_and_tells_of_the_broken(tmp_path, monkeypatch):
    """In this very process, as the installed package would come; afterwards the table is as it was."""
    package(tmp_path, "own_one", ONE, actions="case = own_one:TICKET", fields="own = own_one:COLUMN\nbad = own_one:BAD")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(app, "PLUGINS_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for one in (plugins.actions, plugins.fields):
        one.cache_clear()
    try:
        async with console((200, 40)) as op:
            await op.comes("fields bad of own_one is left out: AttributeError")
            await op.press("2")
            await op.comes("own title")
            op.sees("own gpu0001")
            op.sees("E case")
            await op.press("question_mark", "escape", "E")
            await op.comes("case refused: case is a command of this site's")
            assert any("(the simulated cluster does not run it)" in one.message for one in op.app._notifications)
    finally:
        ACTIONS[:] = [one for one in ACTIONS if not one.argv]
        BY_ID.pop("case", None)
        for one in (plugins.actions, plugins.fields):
            one.cache_clear()


# -- the parts ---------------------------------------------------------------------------------------------------------


def change(*targets: str, reason: str | None = None) -> Change:
    return change_of(action="case", kind="node", targets=targets, reason=reason)


def test_each_element_stays_one_element_whatever_is_in_it():
    template = Template(kind="node", argv=("/bin/ticket", "--node={node}", "--why", "{reason}", "{cluster}", "a b"))
    nasty = '$(rm -rf /) "; -x\n'
    assert calls(template, change("gpu1", "gpu2", reason=nasty), "groningen", "op") == [
        ("/bin/ticket", f"--node={name}", "--why", nasty.replace("\n", "\\n"), "groningen", "a b")
        for name in ("gpu1", "gpu2")
    ]


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a;b", "$(x)", "a b", "", "../x", "gpu[1-2]", "a\n"])
def test_only_a_plain_name_gets_into_a_command(name):
    with pytest.raises(ValueError, match="is no name of a node"):
        calls(Template(kind="node", argv=("/bin/ticket", "{node}")), change(name), "a", "op")


def test_what_would_be_read_as_an_option_or_is_not_there_is_refused():
    template = Template(kind="node", argv=("/bin/ticket", "{node}", "{reason}"))
    with pytest.raises(ValueError, match="begins with - would be read as an option"):
        calls(template, change("gpu1", reason="--force"), "a", "op")
    with pytest.raises(ValueError, match="there is no reason to put into it"):
        calls(template, change("gpu1"), "a", "op")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "must be a list"),
        (("/bin/x", ""), "none of them empty"),
        (("/bin/x", "{node}\x1b"), "plain texts"),
        (("x", "{node}"), "absolute path"),
        (("/bin/{node}",), "absolute path"),
        (("/bin/x", "{job}"), "there is no {job} for a node"),
        (("/bin/x", "{nodes}"), "there is no {nodes} for a node"),
        (("/bin/x", "{node"), "one field in braces"),
        (("/bin/x", "--all"), "{node} must be in it"),
    ],
)
def test_a_template_that_is_none(argv, words):
    assert words in (template_fault("node", argv) or "")
    assert template_fault("node", ("/bin/x", "--n={node}", "{reason}")) is None


class Gives:
    name, floor_s = "own.power", 0.0

    def __init__(self, facts):
        self.facts = facts

    def collect(self):
        return self.facts

    def close(self):
        pass


def test_facts_of_a_package_are_checked_and_cleaned():
    got = CheckedCollector("own", Gives(Facts(power=Power(source="a\x1b[31mb", site_w=1.0)))).collect()
    assert got.power == Power(source="a\\e[31mb", site_w=1.0)
    for facts, words in (
        (Facts(power=Power(source="a", site_w="much")), "site_w"),
        (Facts(nodes={}), "nodes, which only Slurm may return"),
        ({}, "gave no Facts but dict"),
    ):
        with pytest.raises(SourceFault) as caught:
            CheckedCollector("own", Gives(facts)).collect()
        assert words in str(caught.value.fault)
    one = CheckedCollector("own", Gives(Facts()))
    assert (one.name, one.floor_s) == ("own.power", 1.0)


def test_a_field_that_breaks_shows_that_it_does():
    def text(row):
        return {"a": "x\x1b[2J", "b": None}[row.name]

    (made,) = own_fields([OwnField(on="node", name="own", title="own", width=8, read=text)])["node"]
    rows = {name: node(name=name) for name in "abc"}
    column = made.column
    assert column.cell(rows["a"], None) == "x\\e[2J"
    assert column.cell(rows["b"], None) == "—"
    assert column.cell(rows["c"], None) == ("broken", "warn")
    assert [column.sort(row) for row in rows.values()] == ["x\\e[2J", None, "broken"]


def test_a_field_of_a_plugin_is_filtered_by_like_every_other(monkeypatch):
    monkeypatch.setitem(filter_fields.FIELDS, "node", filter_fields.FIELDS["node"])  # what is added goes again
    cores = OwnField(on="node", name="heat", title="heat", width=6, shape="watts", read=lambda row: row.cpus * 10)
    taken = OwnField(on="node", name="gpus", title="gpus", width=6, read=lambda row: "never")
    added = filter_fields.register("node", own_fields([cores, taken])["node"])
    assert [one.name for one in added] == ["heat"]
    (heat,) = added
    small, large = node("gpu0001", cpus=100), node("gpu0002", cpus=300)
    found = compile_filter("heat>2kW", "node")
    there = cluster(nodes=[small, large])
    assert [one.name for one in (small, large) if found.matches(one, there)] == ["gpu0002"]
    assert [one.name for one in heat.column.export] == ["heat_w"]


def test_names_that_are_taken_are_told(tmp_path):
    own = "from console.config.plugins import OwnAction, OwnField\n"
    action = 'OwnAction(id="{0}", kind="node", label="x", help="x", argv=("/bin/true", "{{node}}"))'
    row = 'OwnField(on="node", name="{0}", title="x", width=4, read=str)'
    names = ("export", "nodes", "help", "queue")
    fields = ("gpus", "partitions", "jobs", "rack")
    text = own + "".join(f"A_{one} = {action.format(one)}\n" for one in names)
    text += "".join(f"F_{one} = {row.format(one)}\n" for one in fields)
    package(tmp_path, "taken", text, actions="\n".join(f"{one} = taken:A_{one}" for one in names),
            fields="\n".join(f"{one} = taken:F_{one}" for one in fields))  # fmt: skip
    found = asked(tmp_path, ALL)
    assert found["actions"] == [] == found["fields"]
    assert sum("is there already" in one for one in found["told"]) == len(names) + len(fields)
