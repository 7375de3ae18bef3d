"""Whether what is painted goes to a browser: textual-serve runs the console behind a websocket, and tells it so.

It is no part of wacht, and nothing here needs it. Light: the command line asks before there is a screen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def in_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Only the very driver that textual-serve names counts: the environment loads no other code."""
    return environ.get("TEXTUAL_DRIVER") == "textual.drivers.web_driver:WebDriver"
