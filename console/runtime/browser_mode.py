"""Detects textual-serve, which runs the console behind a websocket for a browser. Imports little: the command line
needs it before the screen exists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def in_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether textual-serve runs this process. Only the driver that it names counts: the environment loads no other
    code.
    """
    return environ.get("TEXTUAL_DRIVER") == "textual.drivers.web_driver:WebDriver"
