"""The screenshots of docs/tour.md: `python -m tests.tools.shots docs/tour`, or `make docs`.

The real console on the simulated cluster with a fixed seed and a manual clock: the same tree gives the same bytes. They
are SVG, without the web fonts that Rich refers to.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from collectors.clock import ManualClock
from console.export.svg import blanks_kept
from console.journal import syslog_witness
from tests.support.operator import console

SIZE = (100, 30)
#: A day without a change of daylight saving time, 03:00 in Groningen.
STARTS = 1_795_053_600.0
#: Seconds until the PDU of `--incident pdu` has failed and its alerts are active.
LATER_S = 75.0


async def tour() -> dict[str, str]:
    """The pictures by name, in the order of the tour."""
    shots: dict[str, str] = {}
    async with console(SIZE, nodes=256, incident="pdu", clock=ManualClock(STARTS), theme="groningen") as op:
        await op.until(lambda: {"alerts", "power", "xids"} <= op.cluster.known, "every reading")

        async def shoot(name: str) -> None:
            await op.app.workers.wait_for_complete()
            op.app.clear_notifications()
            await op.pilot.pause()
            await op.pilot.pause()
            shots[name] = blanks_kept(plain(op.app.export_screenshot(title=f"wacht: {name}")))

        await shoot("overview")
        op.app.clock.advance(LATER_S)
        await op.look_again()
        await op.comes("R09-pdu-b")
        await shoot("incident")
        await op.press("6")
        await op.comes("PduPowerLost")
        await op.press("home")
        await shoot("alerts")
        await op.press("d")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.missing_reason and op.dialog._armed_at is not None, "the plan")
        await shoot("preview")
        await op.type("8")
        await op.press("enter")
        await op.until(lambda: not op.app.session.sending and "Send" not in op.screen(), "it is sent")
        await op.command("nodes rack=R09")
        await op.look_again()
        await op.comes("drain")
        await shoot("nodes")
        await op.select("gpu0136")
        await op.press("enter")
        await op.comes("XID 48")
        await shoot("node")
        await op.press("escape")
        await op.command("jobs state=pending & gpus>8")
        await op.press("home")
        await shoot("jobs")
        await op.press("5")
        await shoot("power")
    return shots


def plain(svg: str) -> str:
    """The SVG without web fonts and without the run's id in its class names."""
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.S)
    svg = re.sub(r"terminal-\d+-", "t-", svg)
    return svg.replace("Fira Code, monospace", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace")


async def take() -> dict[str, str]:
    """Take the tour with an environment of its own."""
    names = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "TZ", "LOGNAME")
    before = {name: os.environ.get(name) for name in names}
    syslog = syslog_witness.SYSLOG
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.environ |= dict.fromkeys(before, folder) | {"TZ": "Europe/Amsterdam", "LOGNAME": "alice"}
            syslog_witness.SYSLOG = Path("/nonexistent/log")
            time.tzset()
            return await tour()
        finally:
            syslog_witness.SYSLOG = syslog
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            time.tzset()


if __name__ == "__main__":
    to = Path(sys.argv[1])
    to.mkdir(exist_ok=True)
    for name, svg in asyncio.run(take()).items():
        path = to / f"{name}.svg"
        if not path.exists() or path.read_text(encoding="utf-8") != svg:
            path.write_text(svg, encoding="utf-8")
            sys.stdout.write(f"written: {path}\n")
