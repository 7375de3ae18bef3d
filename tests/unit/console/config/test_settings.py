"""The configuration: layers merge, the lock wins, and every mistake names file, line, key and what is allowed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.racks import RackRule
from collectors.sim import SimSettings
from collectors.slurm import SlurmSettings
from console.config.settings import Config, load
from console.runtime.toml_file import LARGEST, ConfigError, line_of

ROOT = os.getuid() == 0


class Home:
    """A home and an /etc of a test's own."""

    def __init__(self, folder) -> None:
        self.own = folder / "own.toml"
        self.site = folder / "etc" / "config.toml"

    def load(self, own: str | bytes | None = None, site: str | None = None, **environ: str) -> Config:
        if own is not None:
            self.own.write_bytes(own if isinstance(own, bytes) else own.encode())
            self.own.chmod(0o644)
        if site is not None:
            self.site.parent.mkdir(exist_ok=True)
            self.site.write_text(site)
        return load(str(self.own) if own is not None else None, environ, self.site)

    def fails(self, own: str | bytes | None = None, **more: str) -> str:
        """What is said, with the folder's name taken off."""
        with pytest.raises(ConfigError) as caught:
            self.load(own, **more)
        return str(caught.value).replace(f"{self.own.parent}/", "")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    return Home(tmp_path)


# -- what is read ------------------------------------------------------------------------------------------------------


def test_no_file_at_all_is_an_empty_configuration(home):
    assert home.load() == Config()
    assert home.load(WACHT_CONFIG="") == Config(), "set but empty is not set"


def test_a_whole_one(home):
    config = home.load(
        'theme = "daylight"\nread_only = true\nlog = "/tmp/w"\n[cluster.groningen]\n'
        'slurm = { transport = "cli", prefix = ["sudo", "-n"], deadline_s = 20, interval_s = 15.5 }\n'
        'racks = { pattern = "gpu(?P<n>\\\\d{4})", nodes_per_rack = 18 }\n[cluster.toy.sim]\nnodes = 8\n'
    )
    assert (config.theme, config.read_only, config.log, config.screen) == ("daylight", True, "/tmp/w", None)
    assert list(config.clusters) == ["groningen", "toy"] and config.files == (str(home.own),)
    groningen, toy = config.clusters.values()
    expected = SlurmSettings(prefix=("sudo", "-n"), deadline_s=20.0, interval_s=15.5)
    assert groningen.sources == {"slurm": expected} and groningen.name == "groningen"
    assert groningen.racks == RackRule(pattern=r"gpu(?P<n>\d{4})", nodes_per_rack=18)
    assert toy.sources == {"sim": SimSettings(nodes=8)} and toy.racks is None


def test_the_first_of_three_places(home, tmp_path):
    fallback = tmp_path / "nowhere" / "wacht" / "config.toml"
    fallback.parent.mkdir(parents=True)
    fallback.write_text('theme = "of the home"\n')
    other = tmp_path / "other.toml"
    other.write_text('theme = "of the environment"\n')
    assert load(None, {}, home.site).theme == "of the home"
    assert load(None, {"WACHT_CONFIG": str(other)}, home.site).theme == "of the environment"
    home.own.write_text('theme = "of the option"\n')
    assert load(str(home.own), {"WACHT_CONFIG": str(other)}, home.site).theme == "of the option"


def test_the_sites_file_lies_beneath(home):
    config = home.load(
        'screen = "jobs"\n[cluster.a]\nslurm = { deadline_s = 5 }\n[cluster.c]\n',
        site='screen = "nodes"\ntheme = "daylight"\n[cluster.a]\nslurm = { prefix = ["sudo"] }\n'
        "racks = { topology = true }\n[cluster.b]\nsim = {}\n",
    )
    assert (config.screen, config.theme) == ("jobs", "daylight")
    assert list(config.clusters) == ["a", "b", "c"] and config.files == (str(home.site), str(home.own))
    assert config.clusters["a"].racks == RackRule(topology=True)
    assert config.clusters["a"].sources["slurm"] == SlurmSettings(deadline_s=5.0), "a key is taken whole"


def test_the_lock_wins(home):
    lock = '[lock]\nread_only = true\njournal = "/var/log/wacht"\n'
    config = home.load('read_only = false\njournal = "/dev/null"\ntheme = "daylight"\n', site=lock)
    assert (config.read_only, config.journal, config.theme) == (True, "/var/log/wacht", "daylight")
    assert home.load(site=lock).read_only is True


def test_a_lock_that_locks_nothing_is_refused(home):
    """Who writes it into the own file believes to be safe."""
    said = home.fails("\n[lock]\nread_only = true\n")
    assert said.startswith("own.toml:2: lock: locks only in etc/config.toml; here, write the keys without [lock]")


# -- what is refused ---------------------------------------------------------------------------------------------------


A = "[cluster.a]\n"
AT = "own.toml:2: cluster.a"
MISTAKES = {
    "\ntehme = 1\n": "own.toml:2: tehme: unknown key; allowed: automation, bell, cluster, ",
    "theme = 1\n": "own.toml:1: theme: must be str, is int",
    "read_only = 'yes'\n": "own.toml:1: read_only: must be bool, is str",
    "cluster = 3\n": "own.toml:1: cluster: needs a name, as in [cluster.groningen]",
    "[cluster]\na = 3\n": "own.toml:2: cluster.a: must be a table",
    "[cluster.'a b']\n": "own.toml:1: cluster.a b: a cluster's name is letters, digits, dots and dashes",
    f"{A}slrum = {{}}\n": f"{AT}.slrum: unknown key; allowed: ",
    f"{A}slurm = 3\n": f"{AT}.slurm: Expected `object`, got `int`; keys: transport, prefix",
    f"{A}slurm = {{ prefx = [] }}\n":
        f"{AT}.slurm.prefx: unknown key; allowed: transport, prefix, deadline_s, interval_s",
    f"{A}slurm = {{ transport = 'ssh' }}\n":
        f"{AT}.slurm.transport: Invalid enum value 'ssh'; allowed: cli, rest, native; keys: transport, ",
    f"{A}slurm = {{ transport = 'rest' }}\n": f"{AT}.slurm: rest needs either url or socket; keys: transport, ",
    f"{A}slurm = {{ transport = 'rest', url = 'http://ctl' }}\n": f"{AT}.slurm: url must begin with https://",
    f"{A}slurm = {{ socket = '/run/slurm' }}\n": f"{AT}.slurm: url, socket, token_file, user and ca are for",
    f"{A}slurm = {{ fallback = ['cli'] }}\n": f"{AT}.slurm: fallback names a transport twice",
    "[cluster.a.slurm]\n# prefix = 1\nprefix = 'sudo -n'\n":
        "own.toml:3: cluster.a.slurm.prefix: Expected `array`, got `str`; keys: transport, prefix",
    f"{A}slurm.prefix = ['sudo']\nslurm.deadline_s = 'x'\n":
        "own.toml:3: cluster.a.slurm.deadline_s: Expected `float`, got `str`",
    f"{A}slurm.prefix = ['sudo', 3]\n": f"{AT}.slurm.prefix: Expected `str`, got `int`",
    f"{A}slurm = {{ deadline_s = 0 }}\n": f"{AT}.slurm.deadline_s: Expected `float` > 0",
    f"{A}slurm = {{ interval_s = 0.1 }}\n": f"{AT}.slurm.interval_s: Expected `float` >= 1",
    f"{A}slurm = {{ interval_s = nan }}\n": f"{AT}.slurm.interval_s: Expected `float` >= 1",
    f"{A}slurm = {{ deadline_s = inf }}\n": f"{AT}.slurm.deadline_s: Expected `float` <= 3600",
    f"{A}slurm = {{ racks = {{}} }}\n": f"{AT}.slurm.racks: unknown key; it belongs in [cluster.a], beside slurm",
    f"{A}racks = {{}}\n": f"{AT}.racks: racks needs one of pattern, file and topology",
    "[cluster.a.racks]\npattern = 'gpu(?P<n>x)'\n": "own.toml:1: cluster.a.racks: racks.pattern needs a group named",
    f"{A}racks.pattern = 'gpu('\n": f"{AT}.racks: racks.pattern is no regular expression",
    f"{A}racks = {{ file = '/nowhere/racks' }}\n": f"{AT}.racks: /nowhere/racks: No such file",
    f"{A}racks = {{ rows = 3 }}\n": f"{AT}.racks.rows: unknown key; allowed: pattern, nodes_per_rack, file, topology",
    f"{A}theme = 'x'\n[cluster.ab]\n": f"{AT}.theme: unknown key; allowed: ",
    f"theme = 'x'\n{A}[cluster.ab]\ntheme = 'x'\n": "own.toml:4: cluster.ab.theme: unknown key",
    "theme = \n": "own.toml: Invalid value (at line 1, column 9)",
    "a = 1\na = 2\n": "own.toml: Cannot overwrite a value (at line 2",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(home, text):
    assert home.fails(text).startswith(MISTAKES[text])


def test_what_is_no_text_of_a_person_is_refused(home):
    assert home.fails(b"theme = '\xff'\n") == "own.toml: is not UTF-8 text"
    assert home.fails(b"#" * (LARGEST + 1)) == "own.toml: is larger than 1 MB"
    assert home.load(b"#" * LARGEST) == Config(files=(str(home.own),))


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        ("[lock]\ntheme = 'x'\n", "etc/config.toml:2: lock.theme: unknown key; allowed: journal, read_only"),
        ("[lock]\nread_only = 1\n", "etc/config.toml:2: lock.read_only: must be bool, is int"),
        ("lock = true\n", "etc/config.toml:1: lock: must be a table"),
    ],
)
def test_mistakes_in_the_lock_are_named(home, lock, says):
    assert home.fails(site=lock) == says


def test_files_that_cannot_be_read(home, tmp_path):
    for path, says in ((tmp_path / "none.toml", "none.toml: No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=says):
            load(str(path), {}, home.site)
        with pytest.raises(ConfigError, match=says):
            load(None, {"WACHT_CONFIG": str(path)}, home.site)


def test_a_sites_file_that_is_there_must_be_read(home):
    """It may hold the lock: passing over it would unlock."""
    home.site.mkdir(parents=True)
    with pytest.raises(ConfigError, match="Is a directory"):
        home.load()


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_sites_file_that_may_not_be_read_is_an_error(home):
    home.load(site="")
    home.site.parent.chmod(0)
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            home.load()
    finally:
        home.site.parent.chmod(0o755)


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o664, 0o620, 0o602])
def test_what_others_can_write_is_refused(home, mode):
    home.load("theme = 'daylight'\n")
    home.own.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load(str(home.own), {}, home.site)
    assert str(caught.value) == f"{home.own}: others can write it; try: chmod go-w {home.own}"
    home.own.chmod(0o644)
    assert load(str(home.own), {}, home.site).theme == "daylight"


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_what_belongs_to_another_user_is_refused(home):
    home.load("theme = 'daylight'\n")
    os.chown(home.own, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to another user \\(uid 12345\\)"):
        load(str(home.own), {}, home.site)


# -- lines -------------------------------------------------------------------------------------------------------------

KEY = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)


@given(KEY, KEY, KEY, st.integers(0, 5), st.sampled_from(["head", "dotted", "inline", "quoted"]))
def test_the_line_is_found_however_it_is_written(table, inner, key, above, how):
    blank = "# a comment\n" * above
    if how == "head":
        text, number = f"{blank}[{table}.{inner}]\nbeside_it = 1\n{key} = 2\n", above + 3
    elif how == "dotted":
        text, number = f"{blank}[{table}]\n{inner}.{key} = 2\n", above + 2
    elif how == "inline":
        text, number = f"{blank}[{table}]\n{inner} = {{ beside_it = 1, {key} = 2 }}\n", above + 2
    else:
        text, number = f'{blank}[ {table} . "{inner}" ]\n"{key}" = 2\n', above + 2
    assert line_of(text, f"{table}.{inner}", key) == number


@given(st.text(), st.text(), st.text())
def test_looking_for_a_line_never_fails(text, table, key):
    found = line_of(text, table, key)
    assert found is None or 1 <= found <= len(text.splitlines())
