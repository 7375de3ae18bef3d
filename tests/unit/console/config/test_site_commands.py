"""A site's own commands: who may write them, what is refused in one, and what becomes of names that are taken."""

from __future__ import annotations

import pytest

from collectors import files
from collectors.site_command import error_lines, output_lines
from console.actions.registry import ACTIONS, BY_ID
from console.config.commands import SITE_COMMANDS, CommandError, completer, hint, parse
from console.config.settings import load
from console.config.site_commands import SiteCommand, register
from console.runtime.toml_file import ConfigError
from tests.support.make import cluster, node

LOG = """[command.bmc-log]
label = "BMC log"
key = "f6"
target = "node"
argv = ["/opt/bmc", "--host={node}", "$(id); a b", "{cluster}"]
"""


@pytest.fixture(autouse=True)
def tables():
    """The tables of actions and commands as they were before."""
    actions, by_id = list(ACTIONS), dict(BY_ID)
    yield
    ACTIONS[:] = actions
    BY_ID.clear()
    BY_ID.update(by_id)
    SITE_COMMANDS.clear()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    whole = files.read_with_owner

    def loaded(text: str, owner: int = 0, own: str | None = None):
        (tmp_path / "site.toml").write_text(text)
        monkeypatch.setattr(files, "read_with_owner", lambda *given: (whole(*given)[0], owner))
        if own is not None:
            (tmp_path / "own.toml").write_text(own)
        return load(str(tmp_path / "own.toml") if own is not None else None, {}, tmp_path / "site.toml")

    return loaded


def test_one_is_read_from_the_sites_file(site):
    (one,) = site(LOG).commands.values()
    assert one.argv == ("/opt/bmc", "--host={node}", "$(id); a b", "{cluster}")
    assert (one.label, one.key, one.target, one.changes, one.timeout_s) == ("BMC log", "f6", "node", False, 30.0)


def test_only_roots_file_and_only_the_sites(site):
    with pytest.raises(ConfigError, match=r"site.toml:1: command: .*belongs to root"):
        site(LOG, owner=1000)
    with pytest.raises(ConfigError, match=r"own.toml:1: command: commands are accepted only in .*site.toml"):
        site("", own=LOG)
    assert site("", owner=1000).commands == {}, "without a command the file may be one's own"


def test_one_that_others_can_write_is_not_read_at_all(site, tmp_path):
    (tmp_path / "site.toml").write_text(LOG)
    (tmp_path / "site.toml").chmod(0o664)
    with pytest.raises(ConfigError, match="writ"):
        load(None, {}, tmp_path / "site.toml")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('argv = ["/bin/x"]', "label"),
        ('label = "x"\nargv = ["x"]', "absolute path"),
        ('label = "x"\nargv = "/bin/x a"', "argv"),
        ('label = "x"\nargv = []', "must be a list"),
        ('label = "x"\nargv = ["/bin/x", "{node}"]', "there is no {node} without a target"),
        ('label = "x"\ntarget = "node"\nargv = ["/bin/x"]', "{node} must be in it"),
        ('label = "x"\ntarget = "node"\nargv = ["/bin/x", "{node}", "{job}"]', "there is no {job} for a node"),
        ('label = "x"\ntarget = "node"\nargv = ["/bin/x", "{node}{node}"]', "one field in braces"),
        ('label = "x"\ntarget = "node"\nargv = ["/bin/x", "{node}", "{reason}"]', "there is no {reason} for a node"),
        ('label = "x"\nchanges = true\nargv = ["/bin/x"]', "needs a target"),
        ('label = "x"\nargv = ["/bin/x"]\nkey = "j"', "moves the cursor"),
        ('label = "x"\nargv = ["/bin/x"]\nkey = "y"', "answers what an action asks"),
        ('label = "x"\nargv = ["/bin/x"]\nkey = "enter"', "same under every set"),
        ('label = "x"\nargv = ["/bin/x"]\nkey = "super+a"', "ctrl+ and a letter"),
        ('label = "x"\nargv = ["/bin/x"]\ntimeout_s = 0', "timeout_s"),
        ('label = "x"\nargv = ["/bin/x"]\ntimeout_s = 1e9', "timeout_s"),
        ('label = "x"\nargv = ["/bin/x"]\nshell = true', "shell: unknown key; allowed: label, argv"),
        ('label = "a\\u001b[2J"\nargv = ["/bin/x"]', "plain text"),
    ],
)  # fmt: skip
def test_a_wrong_one_ends_the_start_with_its_line(site, lines, words):
    with pytest.raises(ConfigError) as caught:
        site(f"[command.x]\n{lines}\n")
    assert "site.toml:" in str(caught.value) and words in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["Upper", '"a b"', '"-x"', '"a;b"', '"x\\u001b"'])
def test_a_name_is_one_plain_word(site, name):
    with pytest.raises(ConfigError, match="a command's name is lower case letters"):
        site(f'[command.{name}]\nlabel = "x"\nargv = ["/bin/x"]\n')


def command(**more) -> SiteCommand:
    return SiteCommand(label="BMC log", argv=("/bin/x", *(["{node}"] if more.get("target") == "node" else [])), **more)


@pytest.mark.parametrize("name", ["drain", "nodes", "no", "quit", "scancel", "export"])
def test_one_whose_name_is_taken_is_left_out(name):
    added, left_out = register({name: command(), "bmc-log": command()})
    assert list(added) == ["bmc-log"]
    assert left_out == [f"command.{name} is left out: {name} is a command already"]


def test_one_that_reads_is_typed_and_completed_and_one_that_changes_is_an_action():
    both = {"bmc-log": command(target="node"), "bmc-reset": command(target="node", changes=True)}
    assert register(both) == (both, []) == register(both), "a second console of this process has them too"
    assert "bmc-log" not in BY_ID and BY_ID["bmc-reset"].argv == ("/bin/x", "{node}")
    assert [one.id for one in ACTIONS].count("bmc-reset") == 1
    parsed = parse(":bmc-log gpu0001")
    assert (parsed.verb, parsed.rest) == ("bmc-log", "gpu0001")
    assert "BMC log: /bin/x" in hint("bmc-log")
    there = cluster(nodes=[node("gpu0001"), node("cpu0001")])
    assert completer(lambda: there, ())("bmc-log g") == ["bmc-log gpu0001"]
    with pytest.raises(CommandError):
        parse(":bmc")  # either of them


def test_a_reason_is_asked_for_where_it_is_an_argument():
    one = SiteCommand(label="x", argv=("/bin/x", "{node}", "{reason}"), target="node", changes=True)
    register({"with-reason": one, "without": command(target="node", changes=True)})
    assert BY_ID["with-reason"].needs_reason and not BY_ID["without"].needs_reason


def test_an_output_is_cleaned_and_cut():
    assert output_lines(b"a\tb\n\x1b]52;c;QUJD\x07\nlast") == ("a       b", "\\e]52;c;QUJD\\x07", "last")
    assert output_lines(b"") == ()
    long = output_lines(b"x" * 5000 + b"\n" + b"y\n" * 6000)
    assert len(long[0]) == 1001 and len(long) == 5001 and long[-1] == "… and 1,001 more lines"
    assert error_lines("one\\ntwo") == ("one", "two") and error_lines("") == ()
