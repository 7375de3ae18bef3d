"""What a start costs: nothing that the first frame can do without is imported, and nothing is looked for as garbage."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from collectors.sim import SimSettings
from collectors.sim.sources import forget
from console.app.app import WachtApp
from console.config.settings import Config
from console.session import cluster_sources
from tests.support.paths import ROOT

_ACTION, _JUDGED, _ROWS = "an action", "facts, once there are any", "a list, or a row that is opened"
#: What others of the console's modules or libraries may come with, and why it can wait.
LATER = {
    "importlib.metadata": "versions, for a crash report",
    "email.message": "comes with importlib.metadata, and with HTTP",
    "httpx": "an opened source",
    "requests": "an opened source",
    "prometheus_api_client": "an opened source",
    "pynvml": "lives in a child",
    "ClusterShell": "node sets have their own reader",
    "markdown_it": "a widget that wacht does not have",
    "pygments": "a traceback",
    "hashlib": "a reading that is shared, the journal",
    "statistics": _JUDGED,
    "tomllib": "a configuration, where there is one; the policy",
    "click.shell_completion": "a Tab",
    "console.cli.shell_files": "make man",
    "console.pages.generated": "make docs",
    "widgets.textual_ext.browser_driver": "a browser",
    "console.screens.alerts": "a screen that is not opened",
    "console.screens.help": "a screen that is not opened",
    "console.screens.layout.list_screen": _ROWS,
    "console.screens.node": _ROWS,
    "console.screens.job": _ROWS,
    "console.tables.inspection_lines": _ROWS,
    "console.filters.language": _ROWS,
    "widgets.table": _ROWS,
    "console.triage.attention": _JUDGED,
    "console.alerts.groups": _JUDGED,
    "console.health.drain_reasons": _JUDGED,
    "console.gate.gate": _ACTION,
    "console.gate.planning": _ACTION,
    "console.gate.preflight_reads": _ACTION,
    "console.app.confirm_dialog": _ACTION,
    "console.actions.targets": _ACTION,
    "console.actions.option_parsing": _ACTION,
    "console.journal.writer": "an action, and what was done before: asked after the first frame",
    "console.journal.entries": "what was done before",
    "console.journal.undo": "what was done before",
    "console.config.plugins": "a second after the start",
    "console.session.crash": "a crash",
    "collectors.slurm.commands.argv": _ACTION,
    "collectors.prometheus.query_table": "an opened source",
    "collectors.sim.machine": "the first reading",
}
_AT_FIRST_FRAME = """
import sys
import console.cli.main, console.app.app
from console.session import cluster_sources
from console.config.settings import Config
from collectors.sim import SimSettings

imported = set(sys.modules)

class First(console.app.app.WachtApp):
    def on_mount(self):  # what comes after the first frame begins with `start`
        self.clusters.start = lambda: self.exit(set(sys.modules))

shown = First(cluster_sources.demo(SimSettings(nodes=8)), Config()).run(headless=True)
print(*sorted({later!r} & shown | {{"console.screens.overview"}} & imported))
"""
#: What follows the start is there before a key asks for it: no key that is pressed then imports anything of ours.
_KEYS = """
import asyncio, sys, time
from console.session import cluster_sources
from console.app.app import WachtApp
from console.config.settings import Config
from collectors.sim import SimSettings

async def main():
    app = WachtApp(cluster_sources.demo(SimSettings(nodes=8, jobs=4)), Config())
    async with app.run_test(size=(120, 40)) as pilot:
        end = time.monotonic() + 30
        while "console.config.plugins" not in sys.modules or not app.session.ahead or app.workers:
            assert time.monotonic() < end
            await pilot.pause(0.02)
        before = set(sys.modules)
        for key in ("2", "d", "n", "o", "enter"):
            await pilot.press(key)
        while not type(app.screen).__name__ == "ConfirmDialog":
            assert time.monotonic() < end
            await pilot.pause(0.02)
        await pilot.press("escape", "enter", "escape", "3", "enter", "escape", "question_mark")
        new = set(sys.modules) - before
    app.session.poller.stop()
    print(*sorted(one for one in new if one.partition(".")[0] in {"console", "widgets", "themes"}))

asyncio.run(main())
"""


def ran(script: str, home: Path) -> list[str]:
    """What a Python of its own prints."""
    env = {**os.environ, "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    argv = [sys.executable, "-c", script]
    ended = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def test_the_first_frame_imports_nothing_that_can_wait(tmp_path):
    assert ran(_AT_FIRST_FRAME.format(later=set(LATER)), tmp_path) == [], "it can wait"


def test_what_waited_is_there_before_a_key_asks_for_it(tmp_path):
    assert ran(_KEYS, tmp_path) == [], "the key waits while it is imported"


async def test_garbage_is_collected_again_once_the_console_is_there(tmp_path, monkeypatch):
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    before = gc.get_threshold()
    gc.disable()  # as console.cli.main.open_console does
    app = WachtApp(cluster_sources.demo(SimSettings(nodes=8)), Config())
    try:
        async with app.run_test() as pilot:
            await pilot.pause()
            assert gc.isenabled()
    finally:
        app.session.poller.stop()
        forget("demo")
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*before)
